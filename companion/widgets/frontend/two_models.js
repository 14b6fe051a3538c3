// TwoModels: the heads of two models over one text, answering to the reader.

import { onTheme } from "./elements.js";
import { TwoPicture } from "./two_models_picture.js";

/** @import { Model, Place, TwoState } from "./types" */

const KEY_PAUSE = 15; // ms without a keystroke before the models are asked
/** @type {(keyof TwoState)[]} */
const PICTURE = ["tokens", "shapes", "encodings", "levels", "first", "second", "layers"];
/** @type {(keyof TwoState)[]} */
const CHOICE = ["layer", "head", "other_layer", "other_head", "query", "compare"];
/** @type {(keyof TwoState)[]} */
const ASKED_OF_TWO = ["text", "shown", "is_live", "error", "device", "latency_ms", "prediction"];
/** @type {Record<string, [down: number, right: number]>} */
const WAYS = {
  ArrowUp: [-1, 0],
  ArrowDown: [1, 0],
  ArrowLeft: [0, -1],
  ArrowRight: [0, 1],
  Home: [0, -Infinity],
  End: [0, Infinity],
  PageUp: [-Infinity, 0],
  PageDown: [Infinity, 0],
};

/**
 * Where a key leads from a cell of a grid, if it leads anywhere.
 *
 * @param {KeyboardEvent} event
 * @param {[number, number]} from
 * @param {[number, number]} size
 */
export function stepped(event, from, size) {
  const way = WAYS[event.key];
  if (!way) return undefined;
  event.preventDefault();
  const to = from.map((at, k) => Math.max(0, Math.min(size[k] - 1, at + way[k])));
  return /** @type {[number, number]} */ (to);
}

class TwoView extends TwoPicture {
  /** @type {(() => void)[]} */
  forget = [];

  /**
   * @param {Model<TwoState>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    super(model, el);
    this.listen();
    this.refresh("picture");
  }

  listen() {
    const { model, ui } = this;
    const follow = (/** @type {(keyof TwoState)[]} */ names, /** @type {string} */ part) => {
      for (const name of names) {
        const listener = () => this.refresh(part);
        model.on(`change:${name}`, listener);
        this.forget.push(() => model.off(`change:${name}`, listener));
      }
    };
    follow(PICTURE, "picture");
    follow(CHOICE, "choice");
    follow([...ASKED_OF_TWO, "offer", "loading", "loaded", "caption"], "live");
    ui.box.oninput = () => this.timers.later("text", KEY_PAUSE, () => this.set({ text: ui.box.value }));
    ui.load.onclick = () => this.set({ loading: true });
    ui.cancel.onclick = () => this.set({ loading: false });
    ui.paired.onchange = () => this.set({ compare: "paired" });
    ui.chosen.onchange = () => this.set({ compare: "chosen" });
    ui.query.onchange = () => {
      this.key = -1;
      this.set({ query: Number(ui.query.value) });
    };
    for (const side of [0, 1]) this.listenToHeads(side);
    for (const number of ui.maps.keys()) this.listenToMap(number);
    ui.grid.onclick = ({ target }) => {
      const cell = target instanceof Element ? target.closest("td") : null;
      if (cell) this.chooseHead(1, Number(cell.dataset.row), Number(cell.dataset.head));
    };
    ui.grid.onkeydown = (event) => {
      const [, size] = model.get("shapes");
      const to = stepped(event, [model.get("other_layer"), model.get("other_head")], size);
      if (to) this.chooseHead(1, ...to);
    };
    let width = ui.root.clientWidth;
    const resize = new ResizeObserver(() => {
      if (width !== ui.root.clientWidth) this.refresh("room");
      width = ui.root.clientWidth;
    });
    resize.observe(ui.root);
    const recolour = () => {
      this.theme = null;
      this.refresh("room");
    };
    this.forget.push(() => resize.disconnect(), onTheme(recolour));
  }

  /** @param {number} side 0 = of the first model */
  listenToHeads(side) {
    const { ui } = this;
    const { canvas } = ui.atlases[side];
    const choose = () => this.chooseHead(side, Number(ui.layers[side].value), Number(ui.heads[side].value));
    ui.layers[side].onchange = ui.heads[side].onchange = choose;
    canvas.onpointerdown = ({ offsetX, offsetY }) => {
      const { gutter, cell } = this.atlasPlan(side);
      const [layer, head] = [offsetY, offsetX].map((offset) => Math.floor((offset - gutter) / cell));
      const [layers, heads] = this.model.get("shapes")[side];
      if (layer >= 0 && layer < layers && head >= 0 && head < heads) this.chooseHead(side, layer, head);
    };
    canvas.onkeydown = (event) => {
      const to = stepped(event, this.headOf(side), this.model.get("shapes")[side]);
      if (to) this.chooseHead(side, ...to);
    };
  }

  /** @param {number} number of the map: of the first model, of the second, of their difference */
  listenToMap(number) {
    const { canvas } = this.ui.maps[number];
    const n = () => this.model.get("tokens").length;
    const at = (/** @type {PointerEvent} */ { offsetX, offsetY }) => {
      const { left, top, cell } = this.drawn[number].plan;
      const [row, column] = [Math.floor((offsetY - top) / cell), Math.floor((offsetX - left) / cell)];
      return row >= 0 && row < n() && column >= 0 && column < n() ? { row, column } : null;
    };
    canvas.onpointermove = (event) => this.hover(at(event));
    canvas.onpointerleave = () => this.hover(null);
    canvas.onpointerdown = (event) => this.pin(at(event));
    canvas.onkeydown = (event) => {
      const to = stepped(event, [this.row, this.column], [n(), n()]);
      if (to) this.pin({ row: to[0], column: to[1] });
    };
    for (const change of ["focus", "blur"]) canvas.addEventListener(change, () => this.refresh("point"));
  }

  /** @param {Partial<TwoState>} values */
  set(values) {
    const entries = /** @type {[keyof TwoState, TwoState[keyof TwoState]][]} */ (Object.entries(values));
    for (const [name, value] of entries) this.model.set(name, value);
    this.model.save_changes();
  }

  /**
   * Choose a head in one model; the other follows where both are paired.
   *
   * @param {number} side
   * @param {number} layer
   * @param {number} head
   */
  chooseHead(side, layer, head) {
    const layers = this.model.get("layers");
    const [paired, partner] = [this.model.get("compare") === "paired", layers.indexOf(layer)];
    if (side) this.set({ other_layer: layer, other_head: head, ...(paired && { layer: layers[layer], head }) });
    else this.set({ layer, head, ...(paired && partner >= 0 && { other_layer: partner, other_head: head }) });
  }

  /** @param {Place | null} place */
  hover(place) {
    const { hovered } = this;
    if (place?.row === hovered?.row && place?.column === hovered?.column) return;
    this.hovered = place;
    this.refresh("point");
  }

  /** @param {Place | null} place */
  pin(place) {
    if (!place) return;
    this.key = place.column;
    this.hovered = null;
    if (place.row === this.row) this.refresh("point");
    else this.set({ query: place.row });
  }

  stop() {
    for (const forget of this.forget) forget();
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.timers.stop();
  }
}

/**
 * Draw two models into an element; the function returned takes the view away from all that it listens to.
 *
 * @param {{ model: Model<TwoState>, el: HTMLElement }} host
 */
export function renderTwo({ model, el }) {
  const view = new TwoView(model, el);
  return () => view.stop();
}

export default { render: renderTwo };
