// AttentionView: the picture, answering to the reader.

import { onTheme } from "./elements.js";
import { savePng, saveSvg, toSvg } from "./export.js";
import { turned } from "./kinds.js";
import { overlaid } from "./overlay.js";
import { Picture } from "./picture.js";

/** @import { Head, Kind, Model, Place, State } from "./types" */

const PAUSE = 15; // ms without a keystroke before the model is asked
/** @type {Record<string, [down: number, right: number]>} */
const ARROWS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/**
 * The element under the pointer, or around it, that a selector names.
 *
 * @param {Event} event
 * @param {string} selector
 */
function closest(event, selector) {
  const found = event.target instanceof Element ? event.target.closest(selector) : null;
  return found instanceof HTMLElement ? found : null;
}

export class View extends Picture {
  /** @type {(() => void)[]} */
  forget = [];
  /** @type {string | undefined} */
  wanted = undefined;
  /** @type {number | undefined} */
  pause = undefined;

  /**
   * @param {Model} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    super(model, el);
    this.ui.box.value = model.get("text");
    this.listenToModel();
    this.listenToControls();
    this.listenToPointer();
    this.listenToPage();
    this.refresh("picture");
  }

  listenToModel() {
    const follow = (/** @type {(keyof State)[]} */ names, /** @type {string[]} */ ...parts) => {
      for (const name of names) {
        const listener = () => this.refresh(...parts);
        this.model.on(`change:${name}`, listener);
        this.forget.push(() => this.model.off(`change:${name}`, listener));
      }
    };
    follow(["attention", "tokens", "target", "segments", "shape", "kind", "encoding", "levels"], "picture");
    follow(["layer", "head", "view", "pair", "overlay"], "controls", "choice");
    follow(["error", "device", "latency_ms", "next_tokens", "mask", "is_live", "text", "answered"], "live");
    follow(["webgpu", "caption", "shown", "offer", "loading", "loaded", "asking"], "live");
    follow(["examples", "example"], "live");
  }

  listenToControls() {
    const { ui } = this;
    ui.layer.onchange = () => this.choose({ layer: Number(ui.layer.value) });
    ui.head.onchange = () => this.chooseHead(this.model.get("layer"), ui.head.value);
    ui.kind.onchange = () => this.choose(turned(this.model, /** @type {Kind} */ (ui.kind.value)));
    ui.pair.onchange = () => this.choose({ pair: /** @type {State["pair"]} */ (ui.pair.value) });
    ui.pin.onclick = () => this.pinHead(this.head);
    ui.pins.onclick = (event) => {
      const k = Number(closest(event, "button")?.dataset.k ?? -1);
      if (k >= 0) this.pinHead(this.model.get("overlay")[k]);
    };
    ui.matrix.onchange = () => this.choose({ view: "matrix" });
    ui.arcs.onchange = () => this.choose({ view: "arcs" });
    ui.gpu.onchange = () => this.choose({ webgpu: ui.gpu.checked });
    ui.pick.onchange = () => this.choose({ example: Number(ui.pick.value) });
    ui.load.onclick = () => this.choose({ loading: true });
    ui.cancel.onclick = () => this.choose({ loading: false });
    ui.send.onclick = () => this.send();
    ui.scale.onchange = () => this.refresh("choice");
    ui.aside.onchange = () => this.look({ aside: ui.aside.checked });
    ui.looks.onchange = () => this.look({ read: false });
    ui.read.onchange = () => this.look({ read: true });
    ui.svg.onclick = () => saveSvg(this.drawing());
    ui.png.onclick = () => savePng(this.drawing());
    ui.details.ontoggle = () => this.refresh("point");
    ui.box.oninput = (event) => {
      if (!(event instanceof InputEvent && event.isComposing)) this.type();
    };
    ui.box.addEventListener("compositionend", () => this.type());
    ui.box.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || !this.sends) return;
      event.preventDefault();
      this.send();
    };
    ui.canvas.onkeydown = (event) => this.movePoint(event);
    ui.strip.onkeydown = (event) => this.moveToken(event);
    ui.atlas.onkeydown = (event) => this.moveHead(event);
    for (const change of ["focus", "blur"]) ui.canvas.addEventListener(change, () => this.refresh("point"));
  }

  listenToPointer() {
    const { ui } = this;
    const token = (/** @type {Event} */ event) => this.query(Number(closest(event, "[data-i]")?.dataset.i ?? -1));
    ui.canvas.onpointermove = (event) => this.hover(this.placeAt(event));
    ui.canvas.onpointerleave = () => this.hover(null);
    ui.canvas.onpointerdown = (event) => this.pin(this.placeAt(event));
    ui.strip.onpointerover = (event) => this.hover(token(event));
    ui.strip.onpointerleave = () => this.hover(null);
    ui.strip.onclick = (event) => this.pin(token(event));
    ui.atlas.onpointerdown = ({ offsetX, offsetY }) => {
      if (!this.atlas) return;
      const { gutter, cell } = this.atlas.plan;
      this.chooseHead(Math.floor((offsetY - gutter) / cell), String(Math.floor((offsetX - gutter) / cell)));
    };
    ui.next.onclick = (event) => {
      const button = closest(event, "button");
      if (!button) return;
      const [text, mask] = [ui.box.value, this.model.get("mask")];
      const at = mask ? text.lastIndexOf(mask) : text.length;
      if (at < 0) return; // the mask went while its answer was on its way
      ui.box.value = text.slice(0, at) + button.dataset.text + text.slice(at + mask.length);
      this.type();
      this.send();
    };
  }

  /** Redraw when there is more or less room, or another theme. */
  listenToPage() {
    let width = this.ui.root.clientWidth;
    const resize = new ResizeObserver(() => {
      if (width !== this.ui.root.clientWidth) this.refresh("room");
      width = this.ui.root.clientWidth;
    });
    resize.observe(this.ui.root);
    const recolour = () => {
      this.theme = null;
      this.refresh("room");
    };
    this.forget.push(() => resize.disconnect(), onTheme(recolour));
  }

  /**
   * A query and what it looks at most.
   *
   * @param {number} row
   */
  query(row) {
    return row >= 0 && row < this.tokens.length ? { row, column: this.strongest(row) } : null;
  }

  /**
   * The cell under the pointer; in arcs, a row is enough.
   *
   * @param {PointerEvent} event
   */
  placeAt({ offsetX, offsetY }) {
    if (!this.shown) return null;
    const { view, top, left, cell, rows, columns } = this.shown.plan;
    const [row, column] = [Math.floor((offsetY - top) / cell), Math.floor((offsetX - left) / cell)];
    if (view === "arcs") return this.query(row);
    return row >= 0 && row < rows && column >= 0 && column < columns ? { row, column } : null;
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
    this.pinned = place;
    this.hovered = null;
    this.refresh("point");
  }

  /** @param {Partial<State>} values */
  choose(values) {
    const entries = /** @type {[keyof State, State[keyof State]][]} */ (Object.entries(values));
    for (const [name, value] of entries) this.model.set(name, value);
    this.model.save_changes();
  }

  /**
   * Choose a head by its number, or all heads of a layer by what is made of them.
   *
   * @param {number} layer
   * @param {string} head
   */
  chooseHead(layer, head) {
    const [layers, heads] = this.model.get("shape");
    if (head === "mean" || head === "rollout") this.look({ of: head });
    else if (layer >= 0 && layer < layers && Number(head) >= 0 && Number(head) < heads) {
      this.look({ of: "" });
      this.choose({ layer, head: Number(head) });
    }
  }

  /**
   * Lay a head over the others, which arcs show, or take it out.
   *
   * @param {Head} head
   */
  pinHead(head) {
    const isTakenOut = this.model.get("overlay").includes(head);
    if (this.lens.of && !isTakenOut) return;
    const overlay = overlaid(this.model.get("overlay"), head);
    this.choose(overlay.length ? { overlay, view: "arcs" } : { overlay });
  }

  /**
   * See the same weights another way; the chosen token stays chosen.
   *
   * @param {Partial<View["lens"]>} change
   */
  look(change) {
    Object.assign(this.lens, change);
    this.readSides();
    this.point(Math.min(this.pinned.row, this.tokens.length - 1));
    this.refresh("controls", "room", ...(this.across ? ["tokens"] : []));
  }

  /** The picture as it is drawn now, for a file. */
  drawing() {
    const { theme, shown, ui } = this;
    if (!theme || !shown) throw new Error("nothing is drawn yet");
    const title = ui.canvas.getAttribute("aria-label")?.replace(/ Arrow keys move\.$/, "") ?? "";
    return toSvg(shown.plan, theme, title, (canvas) => this.paint(canvas, theme, shown));
  }

  /**
   * Where a key leads from k of so many, if it leads anywhere: one step, or to an end.
   *
   * @param {KeyboardEvent} event
   * @param {number} k
   * @param {number} steps
   * @param {number} count
   */
  step(event, k, steps, count) {
    /** @type {Record<string, number>} */
    const ends = { Home: 0, End: count - 1 };
    if (event.key in ARROWS || event.key in ends) event.preventDefault();
    return ends[event.key] ?? Math.max(0, Math.min(count - 1, k + steps));
  }

  /** @param {KeyboardEvent} event */
  movePoint(event) {
    const [down, right] = ARROWS[event.key] ?? [0, 0];
    const { row, column } = this.pinned;
    if (down) this.pin({ row: this.step(event, row, down, this.tokens.length), column });
    else this.pin({ row, column: this.step(event, column, right, this.others.length) });
  }

  /** @param {KeyboardEvent} event */
  moveToken(event) {
    const [down, right] = ARROWS[event.key] ?? [0, 0];
    const row = this.step(event, this.pinned.row, down + right, this.tokens.length);
    if (row === this.pinned.row) return;
    this.pin(this.query(row));
    /** @type {HTMLElement} */ (this.ui.strip.children[row]).focus();
  }

  /** @param {KeyboardEvent} event */
  moveHead(event) {
    const [layer, head] = this.head;
    if (event.key === " ") this.pinHead([layer, head]);
    else if (event.key in ARROWS) {
      const [down, right] = ARROWS[event.key];
      this.chooseHead(layer + down, String(head + right));
    } else return;
    event.preventDefault();
  }

  /** Ask again after a keystroke: the newest text wins, and there is one question at a time. */
  type() {
    this.wanted = this.ui.box.value;
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.ask(), PAUSE);
  }

  ask() {
    const { model, wanted } = this;
    if (wanted === undefined || model.get("answered") !== model.get("text")) return;
    this.wanted = undefined;
    if (wanted !== model.get("text")) this.choose({ text: wanted });
  }

  /** Whether a button asks the model, and it is there. */
  get sends() {
    return this.model.get("asking") !== undefined && !this.model.get("offer");
  }

  /** Put the text in the box to a model that answers when it is asked. */
  send() {
    if (!this.sends || this.model.get("asking")) return;
    clearTimeout(this.pause);
    this.wanted = this.ui.box.value;
    this.ask();
    this.choose({ asking: true });
  }

  drawLive() {
    super.drawLive();
    const { model, ui } = this;
    const settled = this.wanted === undefined && model.get("answered") === model.get("text");
    if (settled && ui.box.value !== model.get("text")) ui.box.value = model.get("text"); // set from Python
    this.drawAge();
    this.ask();
  }

  stop() {
    for (const forget of this.forget) forget();
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    clearTimeout(this.pause);
    clearTimeout(this.speech);
    clearTimeout(this.ageing);
  }
}

/**
 * Draw a model's picture into an element; the function returned takes it away from all that it listens to.
 *
 * @param {{ model: Model, el: HTMLElement }} host
 */
export function render({ model, el }) {
  const view = new View(model, el);
  return () => view.stop();
}

export default { render };
