// Picture: what a view shows, drawn from the model; it answers nobody yet. Fourth of the five files; see
// attention_view.py.

const NAMED = 5; // keys named in words
const NARROW = 560; // as in the style sheet

/** What is pointed at lives here, everything else in the model. */
class Picture {
  constructor(model, el) {
    this.model = model;
    this.ui = build();
    this.pinned = { row: 0, column: 0 };
    this.hovered = null;
    this.stale = new Set();
    this.theme = null;
    this.read();
    el.append(this.ui.root);
  }

  /** Take the picture out of the model; keep pointing at the last token while the text grows. */
  read() {
    const get = (name) => this.model.get(name);
    const before = this.tokens?.length ?? 0;
    const followed = this.pinned.row === before - 1 || before === 0;
    this.tokens = get("tokens");
    this.weights = new Weights(get("attention"), get("encoding"), get("levels"), get("shape"));
    const last = this.tokens.length - 1;
    const row = followed ? last : Math.min(this.pinned.row, last);
    this.hovered = null;
    this.pinned = { row, column: this.strongest(row) };
  }

  get chosen() {
    return this.weights.head(this.model.get("layer"), this.model.get("head"));
  }

  get place() {
    return `layer ${this.model.get("layer")}, head ${this.model.get("head")}`;
  }

  row(i) {
    return this.chosen.subarray(i * this.tokens.length, (i + 1) * this.tokens.length);
  }

  strongest(i) {
    return i >= 0 && i < this.tokens.length ? (largest(this.row(i), 1)[0] ?? i) : -1;
  }

  /** Draw the named parts once, at the next frame, however many changes named them. */
  refresh(...parts) {
    for (const part of parts) this.stale.add(part);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (this.ui.root.clientWidth > 0) this.draw(); // not while hidden: there is no room to plan for
    });
  }

  draw() {
    const names = (...parts) => parts.some((part) => stale.has(part));
    const stale = this.stale;
    this.stale = new Set();
    if (!this.theme) {
      this.ui.root.dataset.theme = isDark() ? "dark" : "light";
      this.theme = readTheme(this.ui.root);
    }
    if (names("picture")) {
      this.read();
      this.drawTokens();
    }
    if (names("picture", "controls")) this.drawControls();
    if (names("picture", "live")) this.drawLive();
    if (names("picture", "room")) this.prepareAtlas();
    if (names("picture", "room", "choice")) this.prepareHead();
    this.drawPoint();
  }

  drawTokens() {
    const options = this.tokens.map((token, i) => {
      const option = make("span", { className: "ca-token", role: "option", tabIndex: -1, "data-i": i });
      if (token.startsWith("␣") && token.length > 1) option.append(make("i", {}, "␣"), token.slice(1));
      else option.textContent = token;
      return option;
    });
    this.ui.strip.replaceChildren(...options);
  }

  drawControls() {
    const { ui, model } = this;
    const [layers, heads] = model.get("shape");
    for (const [name, count] of Object.entries({ layer: layers, head: heads })) {
      const options = Array.from({ length: count }, (_, k) => make("option", { value: k }, k));
      if (ui[name].length !== count) ui[name].replaceChildren(...options);
      ui[name].value = model.get(name);
    }
    ui[model.get("view")].checked = true;
    ui.atlas.setAttribute("aria-label", `All heads. Chosen: ${this.place}. Arrow keys choose another.`);
  }

  drawLive() {
    const { ui, model } = this;
    const latency = model.get("latency_ms");
    const facts = [model.get("model_name"), model.get("device"), latency > 0 && `${Math.round(latency)} ms`];
    ui.ask.hidden = !model.get("is_live");
    ui.status.textContent = facts.filter(Boolean).join(" · ");
    ui.status.classList.toggle("ca-busy", model.get("answered") !== model.get("text"));
    ui.error.textContent = model.get("error") || "";
    ui.box.setAttribute("aria-invalid", String(Boolean(model.get("error"))));
    ui.gpuLabel.hidden = model.get("webgpu") === undefined; // only a page has it, and only where the browser does
    ui.gpu.checked = Boolean(model.get("webgpu"));
    ui.caption.textContent = model.get("caption");
    const mask = model.get("mask");
    ui.nextTitle.textContent = mask ? `Behind ${mask}` : "Next token";
    const rows = model.get("next_tokens").map((next) => nextRow(next, model.get("is_live"), mask));
    ui.predict.hidden = rows.length === 0;
    const focused = Array.from(ui.next.children).findIndex((row) => row.contains(document.activeElement));
    ui.next.replaceChildren(...rows);
    if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.firstChild.focus();
  }

  prepareAtlas() {
    const room = this.ui.root.clientWidth;
    this.atlasPlan = planAtlas(room < NARROW ? Math.min(room - 8, 300) : 212, this.model.get("shape"));
    this.atlasImage = atlasImage(this.weights, this.atlasPlan, this.theme);
  }

  /** Prepare what depends on which head is chosen, but not on which of its cells. */
  prepareHead() {
    const { ui, theme, model, tokens, chosen } = this;
    const n = tokens.length;
    const tops = tokens.map((_, i) => this.row(i).reduce((a, b) => Math.max(a, b), 0));
    this.most = ui.scale.checked ? (k) => tops[Math.floor(k / n)] : () => 1;
    ui.legendEnd.textContent = ui.scale.checked ? "the row’s largest" : "1";
    const [layer, head] = [model.get("layer"), model.get("head")];
    drawAtlas(ui.atlas, this.atlasPlan, { image: this.atlasImage, layer, head, theme });
    this.plan = plan(ui.canvas, tokens, ui.stage.clientWidth, model.get("view"), theme);
    this.image = model.get("view") === "matrix" && toImage(chosen, n, this.most, theme);
    this.backdrop = model.get("view") === "arcs" && largest(chosen, 4 * n).filter((k) => chosen[k] > 0.02);
  }

  drawPoint() {
    const { ui, theme, tokens, plan: g, most, image, backdrop, chosen } = this;
    const { row, column } = this.hovered ?? this.pinned;
    const mine = this.row(row);
    if (image) drawMatrix(ui.canvas, g, { labels: tokens, image, row, column, theme });
    else drawArcs(ui.canvas, g, { labels: tokens, weights: chosen, backdrop, row, column, most, theme });
    const number = this.weights.say(mine[column]);
    const what = `Attention ${this.model.get("view")}, ${this.place}: ${tokens[row]} to ${tokens[column]}, ${number}.`;
    ui.canvas.setAttribute("aria-label", `${what} Arrow keys move.`);
    this.drawTip(row, column, number);
    Array.from(ui.strip.children).forEach((option, i) => {
      option.style.setProperty("--w", Math.sqrt(mine[i]).toFixed(3));
      option.setAttribute("aria-selected", String(i === row));
      option.tabIndex = i === this.pinned.row ? 0 : -1;
    });
    this.drawWords(row, mine);
    if (ui.details.open) this.drawTable(row, mine);
  }

  drawTip(row, column, number) {
    const { ui, plan: g } = this;
    ui.tip.hidden = !this.hovered && document.activeElement !== ui.canvas;
    ui.tip.replaceChildren(this.tokens[row], make("i", {}, " → "), this.tokens[column], make("b", {}, number));
    const x = g.view === "arcs" ? g.left + 24 : g.left + (column + 1) * g.cell + 6;
    ui.tip.style.left = `${Math.max(0, Math.min(x, ui.stage.clientWidth - ui.tip.offsetWidth))}px`;
    ui.tip.style.top = `${g.top + (row + 1) * g.cell + 6}px`;
  }

  drawWords(row, mine) {
    const { ui, tokens, weights } = this;
    const top = largest(mine, NAMED);
    ui.keysTitle.replaceChildren(make("b", {}, tokens[row]), " looks at");
    const bars = top.map((j) => make("div", {}, ...barParts(tokens[j], mine[j], weights.say(mine[j]))));
    ui.keys.replaceChildren(...bars.map((bar) => make("li", {}, bar)));
    const said = top.map((j) => `${tokens[j]} ${weights.say(mine[j])}`).join(", ") || "nothing";
    clearTimeout(this.speech);
    this.speech = setTimeout(() => {
      ui.summary.textContent = `${tokens[row]} (token ${row}) in ${this.place} looks at ${said}.`;
    }, 200); // not each step of a held key
  }

  drawTable(row, mine) {
    const line = (tag, ...texts) => make("tr", {}, ...texts.map((text) => make(tag, {}, text)));
    const head = line("th", "position", "token", "weight");
    for (const cell of head.children) cell.scope = "col";
    const rows = this.tokens.map((token, j) => line("td", j, token, this.weights.say(mine[j])));
    const title = make("caption", {}, `What ${this.tokens[row]} (token ${row}) looks at`);
    this.ui.table.replaceChildren(title, make("thead", {}, head), make("tbody", {}, ...rows));
  }
}
