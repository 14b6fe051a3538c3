// AttentionView: the picture and everything around it. Last of the three files; see attention_view.py.
// Text reaches the page through textContent only: a token is never markup.

const NAMED = 5; // keys named in words
const PAUSE = 15; // ms without a keystroke before the model is asked
let instances = 0;

function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role" || key === "for") element.setAttribute(key, value);
    else element[key] = value;
  }
  element.append(...children);
  return element;
}

/** Dark when the book, JupyterLab, VS Code or Colab says so; else what the reader's system prefers. */
function isDark() {
  const [page, body] = [document.documentElement, document.body];
  const said = page.dataset.theme || page.getAttribute("theme") || body.dataset.vscodeThemeKind;
  if (said) return said.includes("dark");
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/** All elements of one view; ids are unique on the page so that labels find their controls. */
function build(model) {
  instances += 1;
  const id = `ca${instances}-${Math.random().toString(36).slice(2, 8)}`;
  const select = (name) => make("select", { id: `${id}-${name}` });
  const radio = (value) => make("input", { type: "radio", name: `${id}-view`, value, id: `${id}-${value}` });
  const ui = {
    box: make("textarea", { id: `${id}-text`, rows: 2, spellcheck: false, autocomplete: "off" }),
    status: make("p", { className: "ca-status" }),
    error: make("p", { className: "ca-error", role: "alert" }),
    gpu: make("input", { type: "checkbox" }),
    layer: select("layer"),
    head: select("head"),
    matrix: radio("matrix"),
    arcs: radio("arcs"),
    scale: make("input", { type: "checkbox" }),
    canvas: make("canvas", { tabIndex: 0, role: "application" }),
    tip: make("div", { className: "ca-tip", hidden: true, "aria-hidden": "true" }),
    atlas: make("canvas", { tabIndex: 0, role: "application" }),
    keys: make("ol", { className: "ca-bars" }),
    keysTitle: make("p", { className: "ca-title" }),
    next: make("ol", { className: "ca-bars ca-next" }),
    strip: make("div", { className: "ca-strip", role: "listbox", "aria-label": "Tokens: choose the one that looks" }),
    summary: make("p", { className: "ca-hidden", "aria-live": "polite" }),
    table: make("table"),
    caption: make("p", { className: "ca-caption" }),
  };
  const label = (text, input) => make("label", { htmlFor: input.id }, text);
  ui.gpuLabel = make("label", { className: "ca-check", hidden: true }, ui.gpu, " run on WebGPU");
  ui.ask = make("div", { className: "ca-ask" }, label("Type: the model reads along", ui.box), ui.box);
  ui.ask.append(make("div", { className: "ca-line" }, ui.status, ui.gpuLabel), ui.error);
  ui.stage = make("div", { className: "ca-stage" }, ui.canvas, ui.tip);
  ui.predict = make("div", {}, make("p", { className: "ca-title" }, "Next token"), ui.next);
  ui.details = make("details", {}, make("summary", {}, "Row as a table"), make("div", { className: "ca-scroll", tabIndex: 0, role: "region", "aria-label": "Table of the chosen row" }, ui.table));
  const choice = (input, text) => make("span", {}, input, label(text, input));
  const bar = make("div", { className: "ca-bar" },
    make("span", { className: "ca-field" }, label("Layer", ui.layer), ui.layer),
    make("span", { className: "ca-field" }, label("Head", ui.head), ui.head),
    make("span", { className: "ca-switch", role: "radiogroup", "aria-label": "View" }, choice(ui.matrix, "Matrix"), choice(ui.arcs, "Arcs")),
    make("label", { className: "ca-check" }, ui.scale, " scale each row"));
  ui.side = make("div", { className: "ca-side" },
    make("div", { className: "ca-heads" }, make("p", { className: "ca-title" }, "All heads, layer by layer"), ui.atlas),
    make("div", { className: "ca-read" }, make("div", {}, ui.keysTitle, ui.keys), ui.predict));
  const legend = make("div", { className: "ca-legend", "aria-hidden": "true" }, "0", make("span"), "1");
  ui.legendEnd = legend.lastChild;
  bar.append(legend);
  ui.root = make("div", { className: "ca", role: "group", "aria-label": "Attention view" },
    ui.ask, bar, make("div", { className: "ca-main" }, ui.side, ui.stage), ui.strip, ui.summary, ui.details, ui.caption);
  ui.box.value = model.get("text");
  return ui;
}

/** The view itself: what is pointed at lives here, everything else in the model. */
class View {
  constructor(model, el) {
    this.model = model;
    this.ui = build(model);
    this.pinned = { row: 0, column: 0 };
    this.hovered = null;
    this.stale = new Set();
    el.append(this.ui.root);
    this.listeners = [];
    this.listen();
    this.theme = null;
    this.read();
    this.refresh("picture", "controls", "live");
  }

  /** Follow the model, the reader and the page; remember how to stop. */
  listen() {
    const { ui, model } = this;
    const follow = (names, ...parts) => {
      for (const name of names) {
        const listener = () => this.refresh(...parts);
        model.on(`change:${name}`, listener);
        this.listeners.push(() => model.off(`change:${name}`, listener));
      }
    };
    follow(["attention", "tokens", "shape", "encoding", "levels"], "picture");
    follow(["layer", "head", "view"], "controls", "choice");
    follow(["error", "device", "latency_ms", "next_tokens", "is_live", "text", "answered", "webgpu", "caption"], "live");
    const choose = (name, value) => {
      model.set(name, value);
      model.save_changes();
    };
    ui.layer.onchange = () => choose("layer", Number(ui.layer.value));
    ui.head.onchange = () => choose("head", Number(ui.head.value));
    ui.matrix.onchange = ui.arcs.onchange = (event) => choose("view", event.target.value);
    ui.gpu.onchange = () => choose("webgpu", ui.gpu.checked);
    ui.scale.onchange = () => this.refresh("choice");
    ui.details.ontoggle = () => this.refresh("point");
    ui.box.oninput = (event) => this.type(event);
    ui.box.addEventListener("compositionend", () => this.type({}));
    this.listenToPointer();
    ui.canvas.onkeydown = (event) => this.move(event, { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] });
    ui.strip.onkeydown = (event) => this.move(event, { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [-1, 0], ArrowDown: [1, 0] });
    ui.atlas.onkeydown = (event) => this.moveHead(event);
    this.resize = new ResizeObserver(() => this.refresh("choice", "atlas"));
    this.resize.observe(ui.root);
    const recolour = () => {
      this.theme = null;
      this.refresh("choice", "atlas");
    };
    this.observer = new MutationObserver(recolour);
    for (const node of [document.documentElement, document.body]) this.observer.observe(node, { attributes: true });
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", recolour);
    this.listeners.push(() => scheme.removeEventListener("change", recolour));
  }

  listenToPointer() {
    const { ui } = this;
    const at = (event) => {
      const frame = ui.canvas.getBoundingClientRect();
      const g = this.geometry;
      const index = (distance) => Math.floor(distance / g.cell);
      const row = index(event.clientY - frame.top - g.top);
      const column = g.view === "arcs" ? this.strongest(row) : index(event.clientX - frame.left - g.left);
      const inside = (k) => k >= 0 && k < g.n;
      return inside(row) && inside(column) ? { row, column } : null;
    };
    ui.canvas.onpointermove = (event) => this.hover(at(event));
    ui.canvas.onpointerleave = () => this.hover(null);
    ui.canvas.onpointerdown = (event) => this.pin(at(event));
    const token = (event) => {
      const place = event.target.closest("[data-i]");
      if (!place) return null;
      const row = Number(place.dataset.i);
      return { row, column: this.strongest(row) };
    };
    ui.strip.onpointerover = (event) => this.hover(token(event));
    ui.strip.onpointerleave = () => this.hover(null);
    ui.strip.onclick = (event) => this.pin(token(event));
    ui.atlas.onpointerdown = (event) => {
      const frame = ui.atlas.getBoundingClientRect();
      const g = this.atlasGeometry;
      this.choose(Math.floor((event.clientY - frame.top - g.gutter) / g.cell), Math.floor((event.clientX - frame.left - g.gutter) / g.cell));
    };
    ui.next.onclick = (event) => {
      const button = event.target.closest("button");
      if (!button) return;
      ui.box.value += button.dataset.text;
      this.type({});
    };
  }

  /** Ask again after a keystroke: the newest text wins, and there is one question at a time. */
  type(event) {
    if (event.isComposing) return;
    this.wanted = this.ui.box.value;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.ask(), PAUSE);
  }

  ask() {
    const { model } = this;
    if (this.wanted === undefined || model.get("answered") !== model.get("text")) return;
    const wanted = this.wanted;
    this.wanted = undefined;
    if (wanted === model.get("text")) return;
    model.set("text", wanted);
    model.save_changes();
    this.refresh("live");
  }

  /** Draw the named parts once, at the next frame, however many changes named them. */
  refresh(...parts) {
    for (const part of parts) this.stale.add(part);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const stale = this.stale;
    this.stale = new Set();
    if (!this.theme) {
      this.ui.root.dataset.theme = isDark() ? "dark" : "light";
      this.theme = readTheme(this.ui.root);
    }
    if (stale.has("picture")) this.read();
    if (stale.has("picture")) this.drawTokens();
    if (stale.has("picture") || stale.has("controls")) this.drawControls();
    if (stale.has("picture") || stale.has("atlas")) this.drawAtlasImage();
    if (stale.has("live")) this.drawLive();
    if (stale.has("picture") || stale.has("choice")) this.drawChoice();
    else if (stale.has("point")) this.drawPoint();
  }

  /** Take the picture out of the model; keep pointing at the last token while the text grows. */
  read() {
    const get = (name) => this.model.get(name);
    const before = this.tokens ? this.tokens.length : -1;
    const last = this.pinned.row === before - 1 || before < 0;
    this.tokens = get("tokens");
    this.weights = new Weights(get("attention"), get("encoding"), get("levels"), get("shape"));
    const row = last ? this.tokens.length - 1 : Math.min(this.pinned.row, this.tokens.length - 1);
    this.hovered = null;
    this.pinned = { row, column: this.strongest(row) };
  }

  get chosen() {
    return this.weights.head(this.model.get("layer"), this.model.get("head"));
  }

  row(i) {
    return this.chosen.subarray(i * this.tokens.length, (i + 1) * this.tokens.length);
  }

  strongest(i) {
    return i >= 0 && i < this.tokens.length ? (largest(this.row(i), 1)[0] ?? i) : -1;
  }

  get point() {
    return this.hovered ?? this.pinned;
  }

  hover(place) {
    const same = place?.row === this.hovered?.row && place?.column === this.hovered?.column;
    if (same) return;
    this.hovered = place;
    this.refresh("point");
  }

  pin(place) {
    if (!place) return;
    this.pinned = place;
    this.hovered = null;
    this.refresh("point");
  }

  /** Move through rows and columns by key; in arcs and in the strip, only rows have a place. */
  move(event, steps) {
    const n = this.tokens.length;
    const clamp = (k) => Math.max(0, Math.min(n - 1, k));
    const { row, column } = this.pinned;
    const alone = event.currentTarget === this.ui.strip;
    let place = null;
    if (event.key === "Home") place = alone ? { row: 0 } : { row, column: 0 };
    else if (event.key === "End") place = alone ? { row: n - 1 } : { row, column: n - 1 };
    else if (steps[event.key]) {
      const [down, right] = steps[event.key];
      place = { row: clamp(row + down), column: right || !alone ? clamp(column + right) : undefined };
    }
    if (!place) return;
    event.preventDefault();
    this.pin({ row: place.row, column: place.column ?? this.strongest(place.row) });
    if (alone) this.ui.strip.children[place.row].focus();
  }

  moveHead(event) {
    const steps = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
    if (!steps) return;
    event.preventDefault();
    this.choose(this.model.get("layer") + steps[0], this.model.get("head") + steps[1]);
  }

  choose(layer, head) {
    const [layers, heads] = this.model.get("shape");
    if (layer < 0 || layer >= layers || head < 0 || head >= heads) return;
    this.model.set("layer", layer);
    this.model.set("head", head);
    this.model.save_changes();
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
    for (const [name, count] of [["layer", model.get("shape")[0]], ["head", model.get("shape")[1]]]) {
      if (ui[name].length !== count) ui[name].replaceChildren(...Array.from({ length: count }, (_, k) => make("option", { value: k }, k)));
      ui[name].value = model.get(name);
    }
    ui[model.get("view")].checked = true;
    ui.atlas.setAttribute("aria-label", `All heads. Chosen: layer ${model.get("layer")}, head ${model.get("head")}. Arrow keys choose another.`);
  }

  drawLive() {
    const { ui, model } = this;
    const [live, device, latency] = ["is_live", "device", "latency_ms"].map((name) => model.get(name));
    ui.ask.hidden = !live;
    if (this.wanted === undefined && model.get("answered") === model.get("text") && ui.box.value !== model.get("text")) ui.box.value = model.get("text");
    ui.status.textContent = [model.get("model_name"), device, latency > 0 ? `${Math.round(latency)} ms` : ""].filter(Boolean).join(" · ");
    ui.status.classList.toggle("ca-busy", model.get("answered") !== model.get("text"));
    ui.error.textContent = model.get("error") || "";
    ui.box.setAttribute("aria-invalid", String(Boolean(model.get("error"))));
    ui.gpuLabel.hidden = model.get("webgpu") === undefined;
    ui.gpu.checked = Boolean(model.get("webgpu"));
    ui.caption.textContent = model.get("caption");
    const next = model.get("next_tokens");
    ui.predict.hidden = next.length === 0;
    const rows = next.map(({ token, probability, text }) => {
      const parts = barParts(token, probability, `${(100 * probability).toFixed(1)} %`);
      return make("li", {}, live && text ? make("button", { type: "button", title: "Append to the text", "data-text": text }, ...parts) : make("div", {}, ...parts));
    });
    const focused = Array.from(ui.next.children).findIndex((row) => row.contains(document.activeElement));
    ui.next.replaceChildren(...rows);
    if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.firstChild.focus();
    this.ask();
  }

  drawAtlasImage() {
    const { ui } = this;
    const narrow = ui.root.clientWidth < 560;
    this.atlasGeometry = planAtlas(narrow ? Math.min(ui.root.clientWidth - 8, 300) : 212, this.model.get("shape"));
    this.atlasImage = atlasImage(this.weights, this.atlasGeometry, this.theme);
    this.stale.add("choice");
    this.drawChoice();
  }

  /** Draw what depends on which head is chosen, then what depends on which token is. */
  drawChoice() {
    const { ui, theme, weights, model, tokens } = this;
    this.stale.delete("choice");
    const [layer, head] = [model.get("layer"), model.get("head")];
    const values = this.chosen;
    const n = tokens.length;
    const tops = Float32Array.from({ length: n }, (_, i) => this.row(i).reduce((a, b) => Math.max(a, b), 0));
    this.most = ui.scale.checked ? (k) => tops[Math.floor(k / n)] : () => 1;
    ui.legendEnd.textContent = ui.scale.checked ? "row’s largest" : "1";
    if (this.atlasImage) drawAtlas(ui.atlas, this.atlasGeometry, { image: this.atlasImage, layer, head, theme });
    this.geometry = plan(ui.canvas, tokens, ui.stage.clientWidth, model.get("view"), theme);
    if (model.get("view") === "arcs") this.backdrop = largest(values, 4 * n).filter((k) => values[k] > 0.02);
    else this.image = toImage(values, n, this.most, theme);
    this.drawPoint();
  }

  drawPoint() {
    const { ui, theme, weights, tokens, model } = this;
    const { row, column } = this.point;
    const mine = this.row(row);
    const shared = { labels: tokens, row, column, theme };
    const say = (weight) => weights.say(weight);
    if (model.get("view") === "arcs") drawArcs(ui.canvas, this.geometry, { ...shared, weights: this.chosen, strongest: this.backdrop, most: this.most });
    else drawMatrix(ui.canvas, this.geometry, { ...shared, image: this.image });
    this.drawTip(row, column, say(mine[column]));
    const top = largest(mine, NAMED);
    Array.from(ui.strip.children).forEach((option, i) => {
      option.style.setProperty("--w", Math.sqrt(mine[i]).toFixed(3));
      option.setAttribute("aria-selected", String(i === row));
      option.tabIndex = i === this.pinned.row ? 0 : -1;
    });
    ui.keysTitle.replaceChildren(make("b", {}, tokens[row]), " looks at");
    ui.keys.replaceChildren(...top.map((j) => make("li", {}, make("div", {}, ...barParts(tokens[j], mine[j], say(mine[j]))))));
    const place = `layer ${model.get("layer")}, head ${model.get("head")}`;
    const words = `${tokens[row]} (token ${row}) in ${place} looks at ${top.map((j) => `${tokens[j]} ${say(mine[j])}`).join(", ") || "nothing"}.`;
    ui.canvas.setAttribute("aria-label", `Attention ${model.get("view")}, ${place}: ${tokens[row]} to ${tokens[column]}, ${say(mine[column])}. Arrow keys move.`);
    clearTimeout(this.speech);
    this.speech = setTimeout(() => { ui.summary.textContent = words; }, 200); // not each step of a held key
    if (ui.details.open) this.drawTable(row, mine, say);
  }

  drawTip(row, column, number) {
    const { ui, geometry: g } = this;
    ui.tip.hidden = !this.hovered && document.activeElement !== ui.canvas;
    ui.tip.replaceChildren(this.tokens[row], make("i", {}, " → "), this.tokens[column], make("b", {}, number));
    const x = g.view === "arcs" ? g.left + 24 : g.left + (column + 1) * g.cell + 6;
    ui.tip.style.left = `${Math.max(0, Math.min(x, ui.stage.clientWidth - ui.tip.offsetWidth))}px`;
    ui.tip.style.top = `${g.top + (row + 1) * g.cell + 6}px`;
  }

  drawTable(row, mine, say) {
    const line = (tag, ...texts) => make("tr", {}, ...texts.map((text) => make(tag, {}, text)));
    const head = line("th", "position", "token", "weight");
    for (const cell of head.children) cell.scope = "col";
    this.ui.table.replaceChildren(make("caption", {}, `What ${this.tokens[row]} (token ${row}) looks at`), make("thead", {}, head),
      make("tbody", {}, ...this.tokens.map((token, j) => line("td", j, token, say(mine[j])))));
  }

  stop() {
    for (const forget of this.listeners) forget();
    this.resize.disconnect();
    this.observer.disconnect();
    cancelAnimationFrame(this.frame);
    clearTimeout(this.pause);
    clearTimeout(this.speech);
  }
}

function barParts(token, share, number) {
  const bar = make("span", { className: "ca-share", "aria-hidden": "true" });
  bar.style.setProperty("--share", share.toFixed(4));
  return [make("span", { className: "ca-name" }, token), bar, make("span", { className: "ca-number" }, number)];
}

export default {
  render({ model, el }) {
    const view = new View(model, el);
    return () => view.stop();
  },
};
