// Picture: what a view shows, drawn from the model; it answers nobody yet.

import { barParts, build, isDark, make, nextRow } from "./elements.js";
import { atlasImage, drawArcs, drawAtlas, drawMatrix, plan, planAtlas, readTheme, toImage } from "./paint.js";
import { byKey, largest, Weights, without } from "./weights.js";

/** @import { Model, Most, Place, Theme } from "./types" */

const NAMED = 5; // keys named in words
const NARROW = 560; // as in the style sheet
const SOON = 400; // ms before a picture is called old
const QUOTED = 60; // characters of its text
const SINK = 0.2; // of all weight: a key that gets more can be set aside
const MEAN = "mean"; // in the list of heads
const READING = "The model reads your text.";

/** What is pointed at lives here, everything else in the model. */
export class Picture {
  /** @type {Theme | null} */
  theme = null;
  /** @type {ReturnType<typeof this.prepareAtlas> | null} */
  atlas = null;
  /** @type {ReturnType<typeof this.prepareHead> | null} */
  shown = null;
  /** @type {Place | null} */
  hovered = null;
  /** @type {Place} */
  pinned = { row: -1, column: -1 };
  /** @type {string[]} */
  tokens = [];
  example = -1;
  lens = { mean: false, aside: false, read: false };
  /** @type {{ key: string, of: Weights, found: Float32Array } | undefined} */
  seen = undefined;
  /** @type {Set<string>} */
  stale = new Set();
  /** @type {number | undefined} */
  frame = undefined;
  /** @type {number | undefined} */
  speech = undefined;
  /** @type {number | undefined} */
  ageing = undefined;

  /**
   * @param {Model} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.model = model;
    this.ui = build();
    this.weights = this.readWeights();
    this.read();
    el.append(this.ui.root);
  }

  /** Take the picture out of the model; keep pointing at the last token while the text grows. */
  read() {
    const { model } = this;
    const followed = this.pinned.row === this.tokens.length - 1;
    this.tokens = model.get("tokens");
    this.weights = this.readWeights();
    const last = this.tokens.length - 1;
    let row = followed ? last : Math.min(this.pinned.row, last);
    const [chosen, number] = [model.get("examples")[model.get("example")], model.get("example")];
    if (chosen && number !== this.example && chosen.text === model.get("shown")) {
      this.example = number;
      row = chosen.row;
    }
    this.hovered = null;
    this.pinned = { row, column: this.strongest(row) };
  }

  readWeights() {
    const { model } = this;
    return new Weights(model.get("attention"), model.get("encoding"), model.get("levels"), model.get("shape"));
  }

  /** The weights that are drawn: of the chosen head or of all heads of its layer, as the reader wants to see them. */
  get chosen() {
    const { weights, lens, model } = this;
    const key = JSON.stringify([lens, model.get("layer"), model.get("head")]);
    if (this.seen?.key !== key || this.seen.of !== weights) {
      let found = lens.mean ? weights.mean(model.get("layer")) : weights.head(model.get("layer"), model.get("head"));
      if (lens.aside) found = without(found, weights.n, weights.sink.key);
      if (lens.read) found = byKey(found, weights.n);
      this.seen = { key, of: weights, found };
    }
    return this.seen.found;
  }

  get place() {
    const { lens, weights, model, tokens } = this;
    const head = lens.mean ? "mean of its heads" : `head ${model.get("head")}`;
    const rest = lens.aside ? `, without ${tokens[weights.sink.key]}` : "";
    return `layer ${model.get("layer")}, ${head}${rest}`;
  }

  /** What a row says of its token. */
  get verb() {
    return this.lens.read ? "is read by" : "looks at";
  }

  /** @param {number} i */
  row(i) {
    return this.chosen.subarray(i * this.tokens.length, (i + 1) * this.tokens.length);
  }

  /** @param {number} i */
  strongest(i) {
    return i >= 0 && i < this.tokens.length ? (largest(this.row(i), 1)[0] ?? i) : -1;
  }

  /**
   * Draw the named parts once, at the next frame, however many changes named them.
   *
   * @param {...string} parts
   */
  refresh(...parts) {
    for (const part of parts) this.stale.add(part);
    this.frame ??= requestAnimationFrame(() => {
      this.frame = undefined;
      if (this.ui.root.clientWidth > 0) this.draw(); // not while hidden: there is no room to plan for
    });
  }

  draw() {
    const stale = this.stale;
    const names = (/** @type {string[]} */ ...parts) => parts.some((part) => stale.has(part));
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
    if (!this.atlas || names("picture", "room")) this.atlas = this.prepareAtlas(this.theme);
    if (!this.shown || names("picture", "room", "choice")) {
      const [layer, head] = [this.model.get("layer"), this.model.get("head")];
      const framed = this.lens.mean ? -1 : head;
      drawAtlas(this.ui.atlas, this.atlas.plan, { image: this.atlas.image, layer, head: framed, theme: this.theme });
      this.shown = this.prepareHead(this.theme);
    }
    this.drawPoint(this.theme, this.shown);
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
    const fill = (
      /** @type {HTMLSelectElement} */ list,
      /** @type {string[]} */ names,
      /** @type {string} */ chosen,
    ) => {
      const options = names.map((name) => make("option", { value: name }, name));
      if (list.length !== names.length) list.replaceChildren(...options);
      list.value = chosen;
    };
    const numbers = (/** @type {number} */ count) => Array.from({ length: count }, (_, k) => String(k));
    fill(ui.layer, numbers(layers), String(model.get("layer")));
    fill(ui.head, [...numbers(heads), MEAN], this.lens.mean ? MEAN : String(model.get("head")));
    ui[model.get("view")].checked = true;
    ui[this.lens.read ? "read" : "looks"].checked = true;
    const { key, part } = this.weights.sink;
    ui.asideLabel.hidden = part < SINK || this.tokens.length < 3;
    if (ui.asideLabel.hidden) this.lens.aside = false;
    ui.aside.checked = this.lens.aside;
    ui.sink.replaceChildren(make("b", {}, this.tokens[key]), `, ${Math.round(100 * part)} % of all weight`);
    ui.atlas.setAttribute("aria-label", `All heads. Chosen: ${this.place}. Arrow keys choose another.`);
  }

  drawLive() {
    const { ui, model } = this;
    const latency = model.get("latency_ms");
    const facts = [model.get("model_name"), model.get("device"), latency > 0 && `${Math.round(latency)} ms`];
    ui.ask.hidden = !model.get("is_live");
    ui.status.textContent = facts.filter(Boolean).join(" · ");
    const busy = model.get("asking") || model.get("answered") !== model.get("text");
    ui.status.classList.toggle("ca-busy", busy);
    this.drawChoice();
    ui.error.textContent = model.get("error");
    ui.box.setAttribute("aria-invalid", String(Boolean(model.get("error"))));
    ui.gpuLabel.hidden = model.get("webgpu") === undefined;
    ui.gpu.checked = Boolean(model.get("webgpu"));
    ui.caption.textContent = model.get("caption");
    const mask = model.get("mask");
    ui.nextTitle.textContent = mask ? `Behind ${mask}` : "Next token";
    const rows = model.get("next_tokens").map((next) => nextRow(next, model.get("is_live"), mask));
    ui.predict.hidden = rows.length === 0;
    const focused = Array.from(ui.next.children).findIndex((row) => row.contains(document.activeElement));
    ui.next.replaceChildren(...rows);
    if (focused >= 0) rows[Math.min(focused, rows.length - 1)]?.querySelector("button")?.focus();
    this.drawOffer();
    this.drawSending();
  }

  /** The texts to choose from; what there is to see is said of the text as it was chosen, and of no other. */
  drawChoice() {
    const { ui, model } = this;
    const examples = model.get("examples");
    ui.choice.hidden = examples.length === 0;
    if (ui.pick.length !== examples.length) {
      ui.pick.replaceChildren(...examples.map(({ text }, k) => make("option", { value: k }, text)));
    }
    ui.pick.value = String(model.get("example"));
    const chosen = examples[model.get("example")];
    ui.look.textContent = chosen && chosen.text === model.get("shown") ? chosen.look : "";
  }

  /** A model that is loaded on a click: what it weighs, then how far it is. */
  drawOffer() {
    const { ui, model } = this;
    const [offer, loading, loaded] = [model.get("offer"), Boolean(model.get("loading")), model.get("loaded") ?? 0];
    const [held, offered] = [ui.offer.contains(document.activeElement), !ui.offer.hidden];
    ui.offer.hidden = !offer;
    ui.load.hidden = loading;
    ui.progress.hidden = ui.cancel.hidden = !loading;
    ui.progress.value = loaded;
    if (offer) {
      const [size, more] = [offer.bytes, offer.runtime].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
      ui.load.textContent = `Load ${offer.title}, ${size}`;
      ui.note.textContent = `and what runs it, ${more}: once, your browser keeps both.`;
    }
    if (held) (offer ? [ui.load, ui.cancel][Number(loading)] : ui.box).focus();
    if (loading) ui.said.textContent = `Loading the model: ${25 * Math.floor(4 * loaded)} %`;
    else if (offer) ui.said.textContent = ui.said.textContent && "The model is not loaded.";
    else if (offered) ui.said.textContent = "The model is loaded.";
  }

  /** A model that a button asks: whether it waits, or reads. */
  drawSending() {
    const { ui, model } = this;
    const [asking, offer] = [model.get("asking"), model.get("offer")];
    ui.question.textContent = asking === undefined ? "Type: the model reads along" : "Type, then ask the model";
    ui.sending.hidden = asking === undefined || Boolean(offer);
    ui.send.textContent = asking ? "Reading …" : "Ask";
    if (asking && !offer) ui.said.textContent = READING;
    else if (ui.said.textContent === READING) ui.said.textContent = model.get("error") ? "" : "The model has answered.";
  }

  /** A picture that is not of the text in the box is dimmed, and says so, if its answer does not come soon. */
  drawAge() {
    const { ui, model } = this;
    const of = model.get("shown");
    const old = model.get("is_live") && ui.box.value !== of;
    if (!old) {
      clearTimeout(this.ageing);
      this.ageing = undefined;
      ui.root.classList.remove("ca-old");
      ui.stale.hidden = true;
      return;
    }
    const quoted = of.length > QUOTED ? `${of.slice(0, QUOTED)} …` : of;
    ui.stale.textContent = `Not your text yet: the picture is of “${quoted}”`;
    this.ageing ??= setTimeout(() => {
      ui.root.classList.add("ca-old");
      ui.stale.hidden = false;
    }, SOON);
  }

  /** @param {Theme} theme */
  prepareAtlas(theme) {
    const room = this.ui.root.clientWidth;
    const geometry = planAtlas(room < NARROW ? Math.min(room - 8, 300) : 212, this.model.get("shape"));
    const aside = this.lens.aside ? this.weights.sink.key : -1;
    return { plan: geometry, image: atlasImage(this.weights, geometry, theme, aside) };
  }

  /**
   * Prepare what depends on which head is chosen, but not on which of its cells.
   *
   * @param {Theme} theme
   */
  prepareHead(theme) {
    const { ui, model, tokens, chosen } = this;
    const n = tokens.length;
    const matrix = model.get("view") === "matrix";
    const tops = tokens.map((_, i) => this.row(i).reduce((a, b) => Math.max(a, b), 0));
    /** @type {Most} */
    const most = ui.scale.checked ? (k) => tops[Math.floor(k / n)] : () => 1;
    ui.legendEnd.textContent = ui.scale.checked ? "the row’s largest" : "1";
    return {
      most,
      plan: plan(ui.canvas, tokens, ui.stage.clientWidth, model.get("view"), theme),
      image: matrix ? toImage(chosen, n, most, theme) : null,
      backdrop: matrix ? [] : largest(chosen, 4 * n).filter((k) => chosen[k] > 0.02),
    };
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Theme} theme
   * @param {ReturnType<typeof this.prepareHead>} shown
   */
  paint(canvas, theme, { plan: g, most, image, backdrop }) {
    const { row, column } = this.hovered ?? this.pinned;
    const what = { labels: this.tokens, row, column, theme };
    if (image) drawMatrix(canvas, g, { ...what, image });
    else drawArcs(canvas, g, { ...what, weights: this.chosen, backdrop, most });
  }

  /**
   * @param {Theme} theme
   * @param {ReturnType<typeof this.prepareHead>} shown
   */
  drawPoint(theme, shown) {
    const { ui, tokens } = this;
    const { plan: g } = shown;
    const { row, column } = this.hovered ?? this.pinned;
    const mine = this.row(row);
    this.paint(ui.canvas, theme, shown);
    const number = this.weights.say(mine[column]);
    const [from, to] = this.lens.read ? [column, row] : [row, column];
    const what = `Attention ${this.model.get("view")}, ${this.place}: ${tokens[from]} to ${tokens[to]}, ${number}.`;
    ui.canvas.setAttribute("aria-label", `${what} Arrow keys move.`);
    ui.tip.hidden = !this.hovered && document.activeElement !== ui.canvas;
    ui.tip.replaceChildren(tokens[from], make("i", {}, " → "), tokens[to], make("b", {}, number));
    const x = g.view === "arcs" ? g.left + 24 : g.left + (column + 1) * g.cell + 6;
    ui.tip.style.left = `${Math.max(0, Math.min(x, ui.stage.clientWidth - ui.tip.offsetWidth))}px`;
    ui.tip.style.top = `${g.top + (row + 1) * g.cell + 6}px`;
    for (const [i, option] of /** @type {HTMLElement[]} */ ([...ui.strip.children]).entries()) {
      option.style.setProperty("--w", Math.sqrt(mine[i]).toFixed(3));
      option.setAttribute("aria-selected", String(i === row));
      option.tabIndex = i === this.pinned.row ? 0 : -1;
    }
    this.drawWords(row, mine);
    if (ui.details.open) this.drawTable(row, mine);
  }

  /**
   * @param {number} row
   * @param {Float32Array} mine
   */
  drawWords(row, mine) {
    const { ui, tokens, weights } = this;
    const top = largest(mine, NAMED);
    ui.keysTitle.replaceChildren(make("b", {}, tokens[row]), ` ${this.verb}`);
    const bars = top.map((j) => make("div", {}, ...barParts(tokens[j], mine[j], weights.say(mine[j]))));
    ui.keys.replaceChildren(...bars.map((bar) => make("li", {}, bar)));
    const said = top.map((j) => `${tokens[j]} ${weights.say(mine[j])}`).join(", ") || "nothing";
    clearTimeout(this.speech);
    this.speech = setTimeout(() => {
      ui.summary.textContent = `${tokens[row]} (token ${row}) in ${this.place} ${this.verb} ${said}.`;
    }, 200); // not each step of a held key
  }

  /**
   * @param {number} row
   * @param {Float32Array} mine
   */
  drawTable(row, mine) {
    const titles = ["position", "token", "weight"].map((text) => make("th", { scope: "col" }, text));
    const cells = this.tokens.map((token, j) => [String(j), token, this.weights.say(mine[j])]);
    const rows = cells.map((texts) => make("tr", {}, ...texts.map((text) => make("td", {}, text))));
    const title = make("caption", {}, `${this.tokens[row]} (token ${row}) ${this.verb}`);
    this.ui.table.replaceChildren(title, make("thead", {}, make("tr", {}, ...titles)), make("tbody", {}, ...rows));
  }
}
