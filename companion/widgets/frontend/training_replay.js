// TrainingReplay: the attention view with a slider over checkpoints, and the curves of the training above it.

import { View } from "./attention_view.js";
import { make } from "./elements.js";
import { Weights } from "./weights.js";

/** @import { Model, Replayed } from "./types" */

const WIDE = 600;
const HIGH = 96;
const EDGE = 6;
const BEAT = 400; // ms for which a checkpoint is shown while the training is played
const SVG = "http://www.w3.org/2000/svg";

/**
 * @param {string} tag
 * @param {Record<string, string | number>} attributes
 */
function svg(tag, attributes) {
  const element = /** @type {SVGElement} */ (document.createElementNS(SVG, tag));
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, String(value));
  return element;
}

/** @param {number} value in three digits at most, none beyond the thousandths */
export const inWords = (value) => String(Number(Number(value.toPrecision(3)).toFixed(3)));

/**
 * The points of a curve, over its own smallest and largest value.
 *
 * @param {number[]} steps
 * @param {number[]} values
 */
export function points(steps, values) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const [first, span] = [steps[0], steps[steps.length - 1] - steps[0] || 1];
  return steps.map((step, k) => {
    const x = EDGE + ((WIDE - 2 * EDGE) * (step - first)) / span;
    const y = HIGH - EDGE - ((HIGH - 2 * EDGE) * (values[k] - low)) / (high - low || 1);
    return /** @type {[x: number, y: number]} */ ([x, y]);
  });
}

class Replay extends View {
  /** @type {ReturnType<typeof setInterval> | undefined} */
  beat = undefined;

  /**
   * @param {Model<Replayed>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    super(/** @type {any} */ (model), el);
    this.run = model;
    const [steps, curves] = [model.get("steps"), model.get("curves")];
    const last = steps.length - 1;
    this.slider = make("input", { type: "range", min: 0, max: last, step: 1, "aria-label": "Checkpoint" });
    this.play = make("button", { type: "button", className: "ca-button" });
    this.said = make("output", { className: "ca-at" });
    this.chart = svg("svg", {
      viewBox: `0 0 ${WIDE} ${HIGH}`,
      preserveAspectRatio: "none",
      class: "ca-curves",
      "aria-hidden": "true",
    });
    this.mark = svg("line", { y1: 0, y2: HIGH, class: "ca-mark" });
    const lines = Object.values(curves).map((values, k) => {
      const path = points(steps, values).map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`);
      return svg("polyline", { points: path.join(" "), class: `ca-curve ca-curve-${k % 2}` });
    });
    this.chart.append(...lines, this.mark);
    const names = Object.entries(curves).map(([name, values], k) => {
      const range = `${inWords(values[0])} → ${inWords(values[last])}`;
      return make("span", { className: `ca-key ca-key-${k % 2}` }, `${name} ${range}`);
    });
    const line = make("div", { className: "ca-run" }, this.play, this.slider, this.said);
    const ends = make("div", { className: "ca-ends" }, `step ${steps[0]}`, ...names, `step ${steps[last]}`);
    this.ui.root.prepend(make("div", { className: "ca-replay" }, this.chart, ends, line));
    this.listenToRun();
    this.drawRun();
  }

  listenToRun() {
    const steps = this.run.get("steps");
    const listener = () => {
      this.drawRun();
      this.refresh("picture");
    };
    this.run.on("change:frame", listener);
    this.forget.push(() => this.run.off("change:frame", listener));
    this.slider.oninput = () => this.go(Number(this.slider.value));
    this.play.onclick = () => (this.beat === undefined ? this.start() : this.halt());
    this.chart.onpointerdown = ({ clientX }) => {
      const { left, width } = this.chart.getBoundingClientRect();
      const apart = points(steps, steps).map(([x]) => Math.abs(x / WIDE - (clientX - left) / width));
      this.go(apart.indexOf(Math.min(...apart)));
    };
  }

  /** @param {number} frame */
  go(frame) {
    this.run.set("frame", frame);
    this.run.save_changes();
  }

  start() {
    const last = this.run.get("steps").length - 1;
    if (this.run.get("frame") === last) this.go(0);
    this.beat = setInterval(() => {
      if (this.run.get("frame") < last) this.go(this.run.get("frame") + 1);
      else this.halt();
    }, BEAT);
    this.drawRun();
  }

  halt() {
    clearInterval(this.beat);
    this.beat = undefined;
    this.drawRun();
  }

  drawRun() {
    const [frame, steps] = [this.run.get("frame"), this.run.get("steps")];
    const values = Object.entries(this.run.get("curves")).map(([name, curve]) => `${name} ${inWords(curve[frame])}`);
    const said = [`step ${steps[frame]}`, ...values].join(" · ");
    this.play.textContent = this.beat === undefined ? "Play" : "Pause";
    this.slider.value = String(frame);
    this.slider.setAttribute("aria-valuetext", said);
    this.said.textContent = said;
    const [x] = points(steps, steps)[frame];
    for (const end of ["x1", "x2"]) this.mark.setAttribute(end, x.toFixed(1));
  }

  /** The weights of the checkpoint that is shown. */
  readWeights() {
    const model = /** @type {Model<Replayed>} */ (/** @type {any} */ (this.model));
    const view = model.get("attention");
    const size = view.byteLength / model.get("steps").length;
    const part = new DataView(view.buffer, view.byteOffset + size * model.get("frame"), size);
    return new Weights(part, model.get("encoding"), model.get("levels"), model.get("shape"));
  }

  stop() {
    clearInterval(this.beat);
    super.stop();
  }
}

/**
 * Draw a replay into an element; the function returned takes it away from all that it listens to.
 *
 * @param {{ model: Model<Replayed>, el: HTMLElement }} host
 */
export function renderReplay({ model, el }) {
  const view = new Replay(model, el);
  return () => view.stop();
}

export default { render: renderReplay };
