// Picture: what a view shows, drawn from the model; it answers nobody yet.

import { drawArcs, drawOverlay } from "./arcs.js";
import { atlasImage, drawAtlas, planAtlas } from "./atlas.js";
import { barParts, isDark, make } from "./elements.js";
import { KIND_NAMES, sidesOf } from "./kinds.js";
import { Lens } from "./lens.js";
import { headName, lookOf, MOST_HEADS, markOf, pinRows } from "./overlay.js";
import { drawMatrix, plan, readTheme, toImage } from "./paint.js";
import { arePaired, keptPart, PAIR_NAMES } from "./pairs.js";
import { largest } from "./weights.js";

/** @import { Model, Most, Theme } from "./types" */

const NAMED = 5; // keys named in words
const NARROW = 560; // as in the style sheet
const SINK = 0.2; // of all weight: a key that gets more can be set aside

/** @param {number} part */
const roundPercent = (part) => `${Math.round(100 * part)} %`;

export class Picture extends Lens {
  /** @type {Theme | null} */
  theme = null;
  /** @type {ReturnType<typeof this.prepareAtlas> | null} */
  atlas = null;
  /** @type {ReturnType<typeof this.prepareHead> | null} */
  shown = null;
  /** @type {Set<string>} */
  stale = new Set();
  /** @type {number | undefined} */
  frame = undefined;
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  speech = undefined;

  /**
   * @param {Model} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    super(model);
    el.append(this.ui.root);
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
    if (names("picture")) this.read();
    if (names("picture", "tokens")) this.drawTokens();
    if (names("picture", "controls")) this.drawControls();
    if (names("picture", "live")) this.drawLive();
    if (!this.atlas || names("picture", "room")) this.atlas = this.prepareAtlas(this.theme);
    if (!this.shown || names("picture", "room", "choice")) {
      this.drawHeads(this.theme, this.atlas);
      this.shown = this.prepareHead(this.theme);
    }
    this.drawPoint(this.theme, this.shown);
  }

  /**
   * @param {Theme} theme
   * @param {ReturnType<typeof this.prepareAtlas>} atlas
   */
  drawHeads(theme, { plan: geometry, image }) {
    const [layer, head] = this.head;
    const { of } = this.lens;
    const framed = { first: of === "rollout" ? 0 : layer, layer, head: of ? -1 : head };
    drawAtlas(this.ui.atlas, geometry, { image, ...framed, overlay: this.model.get("overlay"), theme });
  }

  drawTokens() {
    const { ui, model } = this;
    const segments = arePaired(model.get("segments")) ? model.get("segments") : [];
    const spans = (/** @type {string[]} */ tokens, role = {}) =>
      tokens.map((token, i) => {
        const span = make("span", { className: "ca-token", "data-i": i, ...role });
        if (segments[i] !== segments[i - 1]) span.dataset.starts = "AB"[segments[i]] ?? "";
        if (token.startsWith("␣") && token.length > 1) span.append(make("i", {}, "␣"), token.slice(1));
        else span.textContent = token;
        return span;
      });
    ui.strip.replaceChildren(...spans(this.tokens, { role: "option", tabIndex: -1 }));
    ui.otherStrip.hidden = !this.across;
    ui.otherStrip.replaceChildren(...(this.across ? spans(this.others) : []));
  }

  drawControls() {
    const { ui, model, lens } = this;
    const [layers, heads] = model.get("shape");
    const fill = (
      /** @type {HTMLSelectElement} */ list,
      /** @type {Record<string, string> | string[]} */ names,
      /** @type {string} */ chosen,
    ) => {
      const all = Object.entries(names);
      const same = all.map(([value]) => value).join() === Array.from(list.options, ({ value }) => value).join();
      if (!same) list.replaceChildren(...all.map(([value, name]) => make("option", { value }, name)));
      list.value = chosen;
    };
    const numbers = (/** @type {number} */ count) => Array.from({ length: count }, (_, k) => String(k));
    if (!this.rolls && lens.of === "rollout") lens.of = "";
    const more = this.rolls ? { mean: "mean", rollout: "rollout" } : { mean: "mean" };
    fill(ui.layer, numbers(layers), String(model.get("layer")));
    fill(ui.head, { ...numbers(heads), ...more }, lens.of || String(model.get("head")));
    fill(
      ui.kind,
      Object.fromEntries(model.get("kinds").map(({ kind }) => [kind, KIND_NAMES[kind]])),
      model.get("kind"),
    );
    ui.kindField.hidden = model.get("kinds").length < 2;
    fill(ui.pair, PAIR_NAMES, this.pair);
    ui.pairField.hidden = !arePaired(model.get("segments"));
    ui[model.get("view")].checked = true;
    ui[lens.read ? "read" : "looks"].checked = true;
    const { key, part } = this.weights.sink;
    ui.asideLabel.hidden = this.across || part < SINK || this.tokens.length < 3;
    if (ui.asideLabel.hidden) lens.aside = false;
    ui.aside.checked = lens.aside;
    ui.sink.replaceChildren(make("b", {}, sidesOf(model).keys[key]), `, ${roundPercent(part)} of all weight`);
    const space = "Arrow keys choose another, Space lays it over others.";
    ui.atlas.setAttribute("aria-label", `All heads. Chosen: ${this.place}. ${space}`);
    this.drawPins();
  }

  drawPins() {
    const { ui, model } = this;
    const overlay = model.get("overlay");
    const [layer, head] = this.head;
    const isIn = overlay.some(([l, h]) => l === layer && h === head);
    ui.pin.disabled = Boolean(this.lens.of) || (!isIn && overlay.length === MOST_HEADS);
    ui.pin.textContent = isIn ? "Take it out (Space)" : "Overlay this head (Space)";
    const held = ui.pins.contains(document.activeElement);
    ui.pins.hidden = overlay.length === 0;
    ui.pins.replaceChildren(...pinRows(overlay));
    if (held) ui.pin.focus();
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
    const { ui, model, tokens, others, chosen, kept } = this;
    const [n, view] = [others.length, model.get("view")];
    const top = (/** @type {Float32Array} */ row) => (ui.scale.checked ? row.reduce((a, b) => Math.max(a, b), 0) : 1);
    const tops = tokens.map((_, i) => top(this.row(i)));
    /** @type {Most} */
    const most = (k) => tops[Math.floor(k / n)];
    ui.legendEnd.textContent = ui.scale.checked ? "the row’s largest" : "1";
    ui.root.classList.toggle("ca-over", this.over.length > 0);
    return {
      top,
      most,
      parts: this.pair ? this.drawn.map((weights) => keptPart(weights, n, kept)) : [],
      plan: plan(ui.canvas, tokens, others, ui.stage.clientWidth, view, theme, this.across),
      image: view === "matrix" ? toImage(chosen, n, most, theme, kept) : null,
      backdrop: view === "matrix" ? [] : largest(chosen, 4 * n).filter((k) => chosen[k] > 0.02),
    };
  }

  /**
   * @param {HTMLCanvasElement} canvas
   * @param {Theme} theme
   * @param {ReturnType<typeof this.prepareHead>} shown
   */
  paint(canvas, theme, { plan: g, most, top, image, backdrop }) {
    const { over, tokens: labels, others, kept } = this;
    const { row, column } = this.hovered ?? this.pinned;
    const what = { labels, others, row, column, theme, kept };
    const segments = arePaired(this.model.get("segments")) ? this.model.get("segments") : [];
    const starts = [...segments.keys()].filter((i) => i && segments[i] !== segments[i - 1]);
    const heads = this.drawn.map((weights, k) => ({ mine: this.row(row, weights), ...lookOf(theme, k) }));
    if (image) drawMatrix(canvas, g, { ...what, image, starts });
    else if (over.length)
      drawOverlay(canvas, g, { ...what, heads: heads.map((one) => ({ ...one, most: top(one.mine) })) });
    else drawArcs(canvas, g, { ...what, weights: this.chosen, backdrop, most });
  }

  /**
   * @param {Theme} theme
   * @param {ReturnType<typeof this.prepareHead>} shown
   */
  drawPoint(theme, shown) {
    const { ui, tokens, others, weights } = this;
    const { plan: g } = shown;
    const { row, column } = this.hovered ?? this.pinned;
    const rows = this.drawn.map((drawn) => this.row(row, drawn));
    this.paint(ui.canvas, theme, shown);
    const numbers = rows.map((mine) => weights.say(mine[column]));
    const pointed = [tokens[row], others[column]];
    const [from, to] = this.lens.read ? pointed.reverse() : pointed;
    const what = `Attention ${this.model.get("view")}, ${this.place}: ${from} to ${to}, ${numbers.join(" and ")}.`;
    ui.canvas.setAttribute("aria-label", `${what} Arrow keys move.`);
    ui.tip.hidden = !this.hovered && document.activeElement !== ui.canvas;
    const said = numbers.map((number, k) => make("b", {}, this.over.length ? markOf(k) : "", number));
    ui.tip.replaceChildren(from, make("i", {}, " → "), to, ...said);
    const x = g.view === "arcs" ? g.left + 24 : g.left + (column + 1) * g.cell + 6;
    ui.tip.style.left = `${Math.max(0, Math.min(x, ui.stage.clientWidth - ui.tip.offsetWidth))}px`;
    ui.tip.style.top = `${g.top + (row + 1) * g.cell + 6}px`;
    this.drawStrips(row, rows);
    this.drawWords(row, rows, shown.parts);
    if (ui.details.open) this.drawTable(row);
  }

  /**
   * The tokens, shaded by the weight they get; of heads over each other, a line and the mark of each.
   *
   * @param {number} row
   * @param {Float32Array[]} rows
   */
  drawStrips(row, rows) {
    const { ui, kept } = this;
    const tops = rows.map((mine) => largest(mine, 1)[0]);
    for (const [i, option] of /** @type {HTMLElement[]} */ ([...ui.strip.children]).entries()) {
      option.setAttribute("aria-selected", String(i === row));
      option.tabIndex = i === this.pinned.row ? 0 : -1;
    }
    const strip = this.across ? ui.otherStrip : ui.strip;
    for (const [j, token] of /** @type {HTMLElement[]} */ ([...strip.children]).entries()) {
      const part = kept(row, j) ? 1 : 0.2;
      // of heads that are taken out, too: their lines go
      for (let k = 0; k < MOST_HEADS; k += 1)
        token.style.setProperty(`--w${k}`, (k < rows.length ? part * Math.sqrt(rows[k][j]) : 0).toFixed(3));
      const marks = this.over.map((_, k) => (tops[k] === j ? lookOf(/** @type {Theme} */ (this.theme), k).mark : ""));
      token.dataset.top = marks.join("");
    }
  }

  /**
   * What the filter leaves in, and what a rollout is, in a sentence.
   *
   * @param {number} row
   * @param {Float32Array[]} rows
   * @param {ReturnType<typeof keptPart>[]} parts
   */
  told(row, rows, parts) {
    const { model, kept, tokens } = this;
    const [[layers], all] = [model.get("shape"), model.get("model_layers")];
    const said = [];
    if (this.lens.of === "rollout") {
      const last = model.get("layer");
      said.push(`Rollout: layers 0 to ${last}, each half the mean of its heads and half the token itself, multiplied.`);
      if (all) said.push(`Only ${layers} of the model’s ${all} layers have a map here; the others are left out.`);
    }
    for (const [k, { weight, cells }] of parts.entries()) {
      const ofRow = keptPart(rows[k], rows[k].length, (_, j) => kept(row, j)).weight;
      const of = `${roundPercent(weight)} of the weight of ${this.places[k]}, in ${roundPercent(cells)} of the cells`;
      said.push(`${PAIR_NAMES[this.pair]}: ${of}; of the row of ${tokens[row]}, ${roundPercent(ofRow)}.`);
    }
    return said.join(" ");
  }

  /**
   * @param {number} row
   * @param {Float32Array[]} rows
   * @param {ReturnType<typeof keptPart>[]} parts
   */
  drawWords(row, rows, parts) {
    const { ui, tokens, others, weights, kept, places } = this;
    const isOver = this.over.length > 0;
    const count = isOver ? Math.ceil(6 / rows.length) : NAMED;
    const tops = rows.map((mine) => largest(mine, count));
    ui.keysTitle.replaceChildren(make("b", {}, tokens[row]), ` ${this.verb}`);
    const bars = rows.flatMap((mine, k) =>
      tops[k].map((j) => {
        const bar = make("div", { className: kept(row, j) ? "" : "ca-dim" });
        bar.append(...barParts(others[j], mine[j], weights.say(mine[j])));
        if (isOver) bar.firstElementChild?.prepend(markOf(k), " ");
        if (isOver) bar.children[1].classList.add(`ca-of-${k}`);
        return bar;
      }),
    );
    ui.keys.replaceChildren(...bars.map((bar) => make("li", {}, bar)));
    const told = this.told(row, rows, parts);
    ui.told.textContent = told;
    clearTimeout(this.speech);
    this.speech = setTimeout(() => {
      const sentences = rows.map((mine, k) => {
        const said = tops[k].map((j) => `${others[j]} ${weights.say(mine[j])}`).join(", ") || "nothing";
        return `${tokens[row]} (token ${row}) in ${places[k]} ${this.verb} ${said}.`;
      });
      ui.summary.textContent = [...sentences, told].join(" ");
    }, 200); // not each step of a held key
  }

  /**
   * The chosen row, with a column for each head that lies over the others.
   *
   * @param {number} row
   */
  drawTable(row) {
    const overlay = this.lens.of ? [] : this.model.get("overlay");
    const columns = overlay.map((head, k) => ({
      title: make("th", { scope: "col" }, markOf(k), ` ${headName(head)}`),
      mine: this.row(row, this.seenAs("", head)),
    }));
    if (!this.over.length) columns.unshift({ title: make("th", { scope: "col" }, "weight"), mine: this.row(row) });
    const titles = ["position", "token"].map((text) => make("th", { scope: "col" }, text));
    const rows = this.others.map((token, j) => {
      const texts = [String(j), token, ...columns.map(({ mine }) => this.weights.say(mine[j]))];
      const className = this.kept(row, j) ? "" : "ca-dim";
      return make("tr", { className }, ...texts.map((text) => make("td", {}, text)));
    });
    const caption = make("caption", {}, `${this.tokens[row]} (token ${row}) ${this.verb}`);
    const head = make("thead", {}, make("tr", {}, ...titles, ...columns.map(({ title }) => title)));
    this.ui.table.replaceChildren(caption, head, make("tbody", {}, ...rows));
  }
}
