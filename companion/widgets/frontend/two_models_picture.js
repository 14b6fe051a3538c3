// What is drawn of two models side by side; it answers nobody yet.

import { drawOfferIn, statusOf, Timers } from "./ask_parts.js";
import { atlasImage, drawAtlas, planAtlas } from "./atlas.js";
import { differenceOf, drawSigns, signedImage } from "./difference.js";
import { divergenceFrom, divergenceOf, pairedDivergence } from "./divergence.js";
import { isDark, make } from "./elements.js";
import { chanceRow, isShown, signed } from "./head_lab_parts.js";
import { drawMatrix, plan, readTheme, toImage } from "./paint.js";
import { buildTwo } from "./two_models_parts.js";
import { largest, Weights } from "./weights.js";

/** @import { Geometry, Model, Place, Shape, Theme, TwoState } from "./types" */

const OLD_AFTER = 400; // ms before a picture is called old
const DARKEST = 45; // % of blue behind a number that must stay readable
const ATLAS = 212; // pixels, at most

/** What is pointed at lives here, everything else in the model. */
export class TwoPicture {
  timers = new Timers();
  /** @type {Set<string>} */
  stale = new Set();
  /** @type {number | undefined} */
  frame = undefined;
  /** @type {Theme | null} */
  theme = null;
  /** @type {Place | null} */
  hovered = null;
  key = -1; // the one that was pointed at last, below 0 the one that the first model looks at most
  /** @type {HTMLCanvasElement[]} */
  images = [];
  /** @type {{ plan: Geometry, image: HTMLCanvasElement }[]} */
  drawn = [];
  /** @type {Float32Array[]} of the chosen head of each model, and their difference */
  chosen = [];
  /** @type {{ of: Weights[], key: string, found: number[][] } | undefined} */
  kept = undefined;

  /**
   * @param {Model<TwoState>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.model = model;
    this.ui = buildTwo(model.get("names"));
    this.weights = this.readBoth();
    this.ui.box.value = model.get("text");
    el.append(this.ui.root);
  }

  /**
   * The head that is chosen in a model.
   *
   * @param {number} side
   * @returns {[layer: number, head: number]}
   */
  headOf(side) {
    const { model } = this;
    return side ? [model.get("other_layer"), model.get("other_head")] : [model.get("layer"), model.get("head")];
  }

  get row() {
    const [query, last] = [this.model.get("query"), this.model.get("tokens").length - 1];
    return query < 0 ? last : Math.min(query, last);
  }

  get column() {
    const n = this.model.get("tokens").length;
    if (this.key >= 0) return Math.min(this.key, n - 1);
    return largest(this.chosen[0].subarray(this.row * n, (this.row + 1) * n), 1)[0] ?? this.row;
  }

  /** Whether the weights of both are the models' own, to three digits. */
  get exact() {
    return this.weights.every((one) => one.exact);
  }

  /** @param {number} divergence in words */
  bits(divergence) {
    return this.exact ? divergence.toFixed(3) : `≈ ${divergence.toFixed(2)}`;
  }

  readBoth() {
    const { model } = this;
    const n = model.get("tokens").length;
    return [model.get("first"), model.get("second")].map((bytes, side) => {
      const shape = /** @type {Shape} */ ([...model.get("shapes")[side], n, n]);
      return new Weights(bytes, model.get("encodings")[side], model.get("levels")[side], shape);
    });
  }

  /**
   * Draw the named parts once, at the next frame, however many changes named them.
   *
   * @param {string} part
   */
  refresh(part) {
    this.stale.add(part);
    this.frame ??= requestAnimationFrame(() => this.drawNow());
  }

  drawNow() {
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    if (this.ui.root.clientWidth === 0) return; // while hidden: there is no room to plan for
    const names = (/** @type {string[]} */ ...parts) => parts.some((part) => this.stale.has(part));
    if (!this.theme) {
      this.ui.root.dataset.theme = isDark() ? "dark" : "light";
      this.theme = readTheme(this.ui.root);
    }
    if (names("picture")) {
      this.weights = this.readBoth();
      this.hovered = null;
    }
    if (names("picture", "live")) this.drawLive();
    if (names("picture", "room", "choice")) this.drawChoice(this.theme, names("picture", "room"));
    if (names("picture", "room", "choice", "point")) this.drawPoint(this.theme);
    this.stale = new Set();
  }

  /** The models, the text, and how old the picture is. */
  drawLive() {
    const { model, ui } = this;
    const [text, live] = [model.get("text"), model.get("is_live")];
    if (!this.timers.waits("text") && ui.box.value !== text) ui.box.value = text; // set from Python
    ui.ask.hidden = !live;
    ui.error.textContent = model.get("error");
    ui.caption.textContent = model.get("caption");
    ui.status.textContent = statusOf(model.get("names").join(" and "), model.get("device"), model.get("latency_ms"));
    drawOfferIn(ui, model.get("offer"), {
      loading: model.get("loading"),
      loaded: model.get("loaded"),
      brings: "With both, the text can be yours",
    });
    const old = () => live && model.get("text") !== model.get("shown");
    const show = () => {
      ui.root.classList.toggle("ca-old", old());
      ui.stale.hidden = !old();
    };
    ui.status.classList.toggle("ca-busy", old() && !model.get("error") && !model.get("offer"));
    if (old()) this.timers.later("ageing", OLD_AFTER, show);
    else show();
    this.drawPrediction();
  }

  drawPrediction() {
    const { model, ui } = this;
    const { mask, chances, divergence } = model.get("prediction");
    const [one, other] = model.get("names");
    ui.predicted.hidden = chances.length === 0;
    ui.nextTitle.textContent = mask ? `Behind ${mask}` : "Next token";
    ui.chances.replaceChildren(...chances.filter(isShown).map(chanceRow));
    ui.divergence.textContent = `KL(${one} ‖ ${other}) = ${(divergence ?? 0).toFixed(3)} bits`;
  }

  /** @param {number} side */
  atlasPlan(side) {
    const shape = /** @type {Shape} */ ([...this.model.get("shapes")[side], 0, 0]);
    return planAtlas(Math.min(ATLAS, this.ui.root.clientWidth - 8), shape);
  }

  /**
   * Draw what depends on the chosen heads; with `anew`, all heads too.
   *
   * @param {Theme} theme
   * @param {boolean} anew
   */
  drawChoice(theme, anew) {
    const { model, ui, weights } = this;
    const tokens = model.get("tokens");
    if (anew) {
      this.images = weights.map((one, side) => atlasImage(one, this.atlasPlan(side), theme, -1));
      ui.query.replaceChildren(...tokens.map((token, k) => make("option", { value: k }, `${k} ${token}`)));
    }
    const heads = [0, 1].map((side) => weights[side].head(...this.headOf(side)));
    for (const side of [0, 1]) {
      const [layer, head] = this.headOf(side);
      const { canvas } = ui.atlases[side];
      drawAtlas(canvas, this.atlasPlan(side), { image: this.images[side], first: 0, layer, head, overlay: [], theme });
      const name = model.get("names")[side];
      canvas.setAttribute("aria-label", `${name}: layer ${layer}, head ${head}. Arrow keys choose another.`);
    }
    const difference = differenceOf(heads[0], heads[1]);
    this.chosen = [...heads, difference];
    const images = heads.map((head) =>
      toImage(
        head,
        tokens.length,
        () => 1,
        theme,
        () => true,
      ),
    );
    images.push(signedImage(difference, tokens.length, theme));
    this.drawn = images.map((image, k) => {
      const room = ui.maps[k].stage.clientWidth;
      return { plan: plan(ui.maps[k].canvas, tokens, tokens, room, "matrix", theme), image };
    });
    this.drawControls();
    this.drawGrid();
    this.drawSaid(divergenceOf(heads[0], heads[1], tokens.length));
  }

  drawControls() {
    const { model, ui } = this;
    const fill = (/** @type {HTMLSelectElement} */ list, /** @type {number} */ count, /** @type {number} */ chosen) => {
      const options = Array.from({ length: count }, (_, k) => make("option", { value: k }, String(k)));
      if (list.length !== count) list.replaceChildren(...options);
      list.value = String(chosen);
    };
    for (const side of [0, 1]) {
      const [layers, heads] = model.get("shapes")[side];
      const [layer, head] = this.headOf(side);
      fill(ui.layers[side], layers, layer);
      fill(ui.heads[side], heads, head);
      ui.maps[side].heading.textContent = `${model.get("names")[side]}, layer ${layer}, head ${head}`;
    }
    ui.query.value = String(this.row);
    const [[, ours], [, theirs]] = model.get("shapes");
    ui.ways.hidden = ours !== theirs;
    ui[model.get("compare")].checked = true;
  }

  /** The divergences of the grid; they are kept, for a token that is chosen changes none of them. */
  get grid() {
    const { model, weights } = this;
    const paired = model.get("compare") === "paired";
    const key = paired ? "" : String(this.headOf(0));
    if (this.kept?.of !== weights || this.kept.key !== key) {
      const [first, second] = weights;
      const found = paired
        ? pairedDivergence(first, second, model.get("layers"))
        : divergenceFrom(first.head(...this.headOf(0)), second);
      this.kept = { of: weights, key, found };
    }
    return this.kept.found;
  }

  drawGrid() {
    const { model, ui } = this;
    const [[one, other], layers, paired] = [model.get("names"), model.get("layers"), model.get("compare") === "paired"];
    const [row, column] = this.headOf(1);
    const together = !paired || (layers[row] === model.get("layer") && column === model.get("head"));
    const chosen = `layer ${model.get("layer")}, head ${model.get("head")} of ${one}`;
    const apart = paired && layers.some((layer, k) => layer !== k);
    const title = apart ? `, layers of ${one} · ${other}` : paired ? ", head by head" : ` of ${other} from ${chosen}`;
    ui.gridTitle.textContent = `Divergence in bits${title}`;
    ui.grid.setAttribute("aria-label", ui.gridTitle.textContent);
    const heads = model.get("shapes")[1][1];
    const names = Array.from({ length: heads }, (_, head) => make("th", { scope: "col" }, String(head)));
    const rows = this.grid.map((divergences, layer) => {
      const name = apart ? `${layers[layer]} · ${layer}` : String(layer);
      const cells = divergences.map((divergence, head) => {
        const at = layer === row && head === column;
        const state = { "aria-selected": at && together, tabIndex: at ? 0 : -1 };
        const cell = make("td", { ...state, "data-row": layer, "data-head": head }, this.bits(divergence));
        const strength = (DARKEST * Math.sqrt(Math.min(1, divergence))).toFixed(1);
        cell.style.background = `color-mix(in srgb, var(--ca-blue) ${strength}%, var(--ca-zero))`;
        return cell;
      });
      return make("tr", {}, make("th", { scope: "row" }, name), ...cells);
    });
    const corner = make("th", { scope: "col" }, apart ? "layers" : "layer");
    const focused = ui.grid.contains(document.activeElement);
    ui.grid.replaceChildren(make("thead", {}, make("tr", {}, corner, ...names)), make("tbody", {}, ...rows));
    const cell = /** @type {HTMLElement} */ (ui.grid.querySelector("td[tabindex='0']"));
    if (!focused) return;
    cell.focus();
    cell.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** @param {number} divergence of the two chosen heads */
  drawSaid(divergence) {
    const [one, other] = this.model.get("names").map((name, side) => {
      const [layer, head] = this.headOf(side);
      return `${name} ${layer}.${head}`;
    });
    const number = make("b", {}, `${this.bits(divergence)} bits`);
    const scale = " (0: they look at the same; 1: at nothing in common), the mean over all tokens that look.";
    this.ui.say.replaceChildren(`${one} and ${other} differ by `, number, scale);
  }

  /** @param {Theme} theme */
  drawPoint(theme) {
    const { model, ui, drawn, weights } = this;
    const labels = model.get("tokens");
    const { row, column } = this.hovered ?? { row: this.row, column: this.column };
    const n = labels.length;
    const [ours, theirs, difference] = this.chosen;
    const numbers = [ours, theirs].map((head, side) => weights[side].say(head[row * n + column]));
    numbers.push(signed(difference[row * n + column], this.exact ? 3 : 2));
    const where = `${labels[row]} to ${labels[column]}`;
    for (const [k, { canvas, tip, stage }] of ui.maps.entries()) {
      const { plan: g, image } = drawn[k];
      drawMatrix(canvas, g, { labels, others: labels, image, row, column, starts: [], theme });
      if (k === 2) drawSigns(canvas, g, difference, n, theme);
      const what = k < 2 ? model.get("names")[k] : "Difference";
      canvas.setAttribute("aria-label", `${what}: ${where}, ${numbers[k]}. Arrow keys move.`);
      tip.hidden = !this.hovered && document.activeElement !== canvas;
      tip.replaceChildren(labels[row], make("i", {}, " → "), labels[column], make("b", {}, numbers[k]));
      const left = g.left + (column + 1) * g.cell + 6;
      tip.style.left = `${Math.max(0, Math.min(left, stage.clientWidth - tip.offsetWidth))}px`;
      tip.style.top = `${g.top + (row + 1) * g.cell + 6}px`;
    }
    ui.rowTitle.replaceChildren(make("b", {}, labels[row]), ` (token ${row}) looks at`);
    const rows = labels.map((token, j) => {
      const [a, b] = [ours[row * n + j], theirs[row * n + j]];
      const cells = [weights[0].say(a), weights[1].say(b), signed(a - b, this.exact ? 3 : 2)];
      const at = { "aria-current": j === column };
      return make("tr", at, make("th", { scope: "row" }, token), ...cells.map((text) => make("td", {}, text)));
    });
    ui.rows.replaceChildren(...rows);
    const { offsetTop, offsetHeight } = rows[column];
    const { scrollTop, clientHeight } = ui.region;
    const hidden = offsetTop < scrollTop || offsetTop + offsetHeight > scrollTop + clientHeight;
    if (hidden) ui.region.scrollTop = offsetTop - clientHeight / 2;
  }
}
