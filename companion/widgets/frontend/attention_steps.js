// AttentionSteps: one token's way through the formula, with the numbers of a real head.

import { followTheme, make } from "./elements.js";
import { inDigits, largestOf, Products, signedBar, stripOf, timesEach, weightBar } from "./steps_numbers.js";
import { keyRow, numberTable, STEP_NAMES, STEP_ORDER, scrollInto, stepsParts } from "./steps_parts.js";
import { stepArithmetic, stepSentence } from "./steps_words.js";

/** @import { Model, Step, Steps } from "./types" */

const STEP_COLUMNS = {
  compare: ["key: orange below 0, blue above", "", "q · k"],
  scale: ["", "q · k", "÷ √d"],
  mask: ["", "before", "masked"],
  softmax: ["", "exp", "weight"],
  add: ["weight × value: orange below 0", "", "weight"],
};

class StepsView {
  /** @type {(() => void)[]} */
  forget = [];
  component = 0;

  /**
   * @param {Model<Steps>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.model = model;
    this.ui = stepsParts();
    this.products = this.numbers();
    this.row = this.computed();
    const { ui } = this;
    const field = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
      make("span", { className: "ca-field" }, make("label", { htmlFor: input.id }, text), input);
    const fields = [field(ui.layer, "Layer"), field(ui.head, "Head"), field(ui.query, "Token that reads")];
    const walk = make(
      "div",
      { className: "ca-walk" },
      ui.tabs,
      make("span", { className: "ca-turn" }, ui.previous, ui.next),
    );
    ui.details.append(ui.tables);
    ui.panel.append(ui.formula, ui.say, ui.heading, ui.list, ui.close, ui.said, ui.details);
    const group = { className: "ca ca-walkthrough", role: "group", "aria-label": "Attention, step by step" };
    this.root = make("div", group, make("div", { className: "ca-bar" }, ...fields), walk, ui.panel, ui.caption);
    el.append(this.root);
    this.forget.push(followTheme(this.root));
    this.listenToModel();
    this.listen();
    this.read();
  }

  listenToModel() {
    const follow = (/** @type {(keyof Steps)[]} */ names, /** @type {() => void} */ listener) => {
      for (const name of names) {
        this.model.on(`change:${name}`, listener);
        this.forget.push(() => this.model.off(`change:${name}`, listener));
      }
    };
    follow(["tokens", "products", "mask", "shape", "layers", "scale"], () => this.read());
    follow(["layer", "head", "query", "key", "step", "caption"], () => this.draw());
  }

  listen() {
    const { ui } = this;
    ui.layer.onchange = () => this.choose({ layer: Number(ui.layer.value) });
    ui.head.onchange = () => this.choose({ head: Number(ui.head.value) });
    ui.query.onchange = () => this.choose({ query: Number(ui.query.value) });
    ui.previous.onclick = () => this.go(-1);
    ui.next.onclick = () => this.go(1);
    for (const tab of this.tabs()) tab.onclick = () => this.set({ step: /** @type {Step} */ (tab.dataset.step) });
    ui.tabs.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -STEP_ORDER.length, End: STEP_ORDER.length }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      this.go(by);
      this.tabs()[STEP_ORDER.indexOf(this.model.get("step"))].focus();
    };
    ui.list.onkeydown = (event) => this.move(event);
    ui.list.onclick = ({ target }) => {
      const row = target instanceof Element ? target.closest("[data-j]") : null;
      if (row instanceof HTMLElement) this.set({ key: Number(row.dataset.j) });
    };
    for (const part of [ui.list, ui.close]) {
      for (const event of /** @type {const} */ (["pointermove", "pointerdown"])) {
        part.addEventListener(event, (pointer) => this.pointAt(pointer));
      }
    }
    ui.details.ontoggle = () => this.draw();
  }

  tabs() {
    return /** @type {HTMLElement[]} */ (Array.from(this.ui.tabs.children));
  }

  /** @param {Partial<Steps>} values */
  set(values) {
    const entries = /** @type {[keyof Steps, Steps[keyof Steps]][]} */ (Object.entries(values));
    for (const [name, value] of entries) this.model.set(name, value);
    this.model.save_changes();
  }

  /**
   * Another layer, head or query, and in it the key with the largest weight.
   *
   * @param {Partial<Steps>} values
   */
  choose(values) {
    const { weight } = this.computed(values);
    this.set({ ...values, key: weight.indexOf(Math.max(...weight)) });
  }

  /** @param {number} by */
  go(by) {
    const place = STEP_ORDER.indexOf(this.model.get("step")) + by;
    this.set({ step: STEP_ORDER[Math.max(0, Math.min(STEP_ORDER.length - 1, place))] });
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const last = this.model.get("tokens").length - 1;
    const key = this.model.get("key");
    const to = { ArrowUp: key - 1, ArrowDown: key + 1, Home: 0, End: last }[event.key];
    const along = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (to === undefined && along === undefined) return;
    event.preventDefault();
    if (to !== undefined) {
      this.set({ key: Math.max(0, Math.min(last, to)) });
      /** @type {HTMLElement} */ (this.ui.list.children[this.model.get("key")]).focus();
    } else if (this.strips) {
      this.component = Math.max(0, Math.min(this.width - 1, this.component + (along ?? 0)));
      this.drawClose();
    }
  }

  /**
   * The number of a strip that is under the pointer.
   *
   * @param {PointerEvent} event
   */
  pointAt({ target, clientX }) {
    if (!(target instanceof HTMLElement) || !target.classList.contains("ca-vector") || !this.strips) return;
    const { left, width } = target.getBoundingClientRect();
    const found = Math.min(this.width - 1, Math.floor(((clientX - left) / width) * this.width));
    if (found === this.component) return;
    this.component = Math.max(0, found);
    this.drawClose();
  }

  /** Whether the step is about vectors, and not only about one number for each key. */
  get strips() {
    return ["compare", "add"].includes(this.model.get("step"));
  }

  /** How many numbers a vector of this step has. */
  get width() {
    return this.model.get("shape")[this.model.get("step") === "add" ? 4 : 3];
  }

  numbers() {
    const { model } = this;
    return new Products(model.get("products"), model.get("mask"), model.get("shape"), model.get("scale"));
  }

  /**
   * What the chosen token computes, or one of another layer, head or place.
   *
   * @param {Partial<Steps>} values
   */
  computed(values = {}) {
    const { model } = this;
    const { layer, head, query } = {
      layer: model.get("layer"),
      head: model.get("head"),
      query: model.get("query"),
      ...values,
    };
    return this.products.row(model.get("layers").indexOf(layer), head, query);
  }

  /** What each token hands over: its value times its weight. */
  parts() {
    const { values, weight } = this.row;
    return values.map((value, j) => value.map((one) => one * weight[j]));
  }

  /** Take over other numbers, and make a row for each token. */
  read() {
    const { model, ui } = this;
    const [tokens, shape] = [model.get("tokens"), model.get("shape")];
    this.products = this.numbers();
    const option = (/** @type {number} */ value, text = String(value)) => make("option", { value }, text);
    ui.layer.replaceChildren(...model.get("layers").map((layer) => option(layer)));
    ui.head.replaceChildren(...Array.from({ length: shape[1] }, (_, head) => option(head)));
    ui.query.replaceChildren(...tokens.map((token, i) => option(i, `${i}: ${token}`)));
    ui.list.replaceChildren(...tokens.map(keyRow));
    this.draw();
  }

  draw() {
    const { model, ui } = this;
    const step = model.get("step");
    this.row = this.computed();
    ui.layer.value = String(model.get("layer"));
    ui.head.value = String(model.get("head"));
    ui.query.value = String(model.get("query"));
    ui.caption.textContent = model.get("caption");
    for (const tab of this.tabs()) {
      tab.setAttribute("aria-selected", String(tab.dataset.step === step));
      tab.tabIndex = tab.dataset.step === step ? 0 : -1;
      if (tab.dataset.step === step) ui.panel.setAttribute("aria-labelledby", tab.id);
    }
    ui.previous.disabled = step === STEP_ORDER[0];
    ui.next.disabled = step === STEP_ORDER[STEP_ORDER.length - 1];
    for (const part of ui.formula.querySelectorAll(".ca-part")) {
      part.classList.toggle("ca-on", part instanceof HTMLElement && part.dataset.step === step);
    }
    ui.formula.setAttribute(
      "aria-label",
      `o i is the sum over j of softmax over j of (q i times k j, divided by the root of d k, plus m i j), times v j. Marked: ${STEP_NAMES[step]}.`,
    );
    ui.say.replaceChildren(
      ...stepSentence(step, this.row, model.get("tokens")[model.get("query")], model.get("scale")),
    );
    this.component = Math.min(this.component, this.width - 1);
    this.drawKeys(step);
    this.drawClose();
    if (ui.details.open) this.drawTables();
  }

  /** @param {Step} step */
  drawKeys(step) {
    const { row, model, ui } = this;
    const [picture, before, after] = STEP_COLUMNS[step];
    const columns = ["token", picture, before, after].map((name) => make("span", {}, name));
    ui.heading.replaceChildren(...columns);
    ui.panel.classList.toggle("ca-vectors", this.strips);
    const along = this.strips ? ", left and right a number of its vector" : "";
    const numbers = [before, after].filter(Boolean).join(", then ");
    ui.list.setAttribute("aria-label", `Keys, each with ${numbers}: up and down choose a key${along}`);
    const [ofKeys, parts] = [largestOf([row.query, ...row.keys]), this.parts()];
    const ofParts = largestOf([...parts, row.output]);
    const ofScores = largestOf([row.product]);
    /** @type {Record<Step, (j: number) => [picture: string, before: string, after: string]>} */
    const cells = {
      compare: (j) => [stripOf(row.keys[j], ofKeys), "", inDigits(row.product[j])],
      scale: (j) => [signedBar(row.scaled[j], ofScores), inDigits(row.product[j]), inDigits(row.scaled[j])],
      mask: (j) => [
        row.may[j] ? signedBar(row.scaled[j], largestOf([row.scaled])) : "none",
        inDigits(row.scaled[j]),
        inDigits(row.masked[j]),
      ],
      softmax: (j) => [weightBar(row.weight[j]), inDigits(row.exponential[j], 3), inDigits(row.weight[j], 3)],
      add: (j) => [stripOf(parts[j], ofParts), "", inDigits(row.weight[j], 3)],
    };
    for (const [j, one] of /** @type {HTMLElement[]} */ (Array.from(ui.list.children)).entries()) {
      const [, drawing, first, second] = /** @type {HTMLElement[]} */ (Array.from(one.children));
      const [background, old, now] = cells[step](j);
      drawing.style.background = background;
      drawing.classList.toggle("ca-hollow", background === "none");
      Object.assign(first, { textContent: old });
      Object.assign(second, { textContent: now });
      const chosen = j === model.get("key");
      one.setAttribute("aria-selected", String(chosen));
      one.classList.toggle("ca-away", ["mask", "softmax", "add"].includes(step) && !row.may[j]);
      one.tabIndex = chosen ? 0 : -1;
      if (chosen) scrollInto(ui.list, one);
    }
  }

  /** The vectors of the chosen key, closely, and its arithmetic. */
  drawClose() {
    const { row, model, ui, component } = this;
    const [step, j] = [model.get("step"), model.get("key")];
    const [ofKeys, ofValues] = [largestOf([row.query, ...row.keys]), largestOf(row.values)];
    const products = timesEach(row.query, row.keys[j]);
    const parts = this.parts();
    const ofParts = largestOf([...parts, row.output]);
    /** @type {Partial<Record<Step, [string, Float32Array, number][]>>} */
    const vectors = {
      compare: [
        ["q", row.query, ofKeys],
        ["k", row.keys[j], ofKeys],
        ["q × k", products, largestOf([products])],
      ],
      add: [
        ["v", row.values[j], ofValues],
        ["a × v", parts[j], ofParts],
        ["o", row.output, ofParts],
      ],
    };
    ui.close.replaceChildren(
      ...(vectors[step] ?? []).map(([name, numbers, most]) => {
        const drawing = make("span", { className: "ca-vector" });
        drawing.style.background = stripOf(numbers, most);
        drawing.style.setProperty("--at", ((component + 0.5) / numbers.length).toFixed(4));
        const parts = [make("span", { className: "ca-name" }, name), drawing];
        return make("div", { className: "ca-row", "aria-hidden": "true" }, ...parts);
      }),
    );
    const token = make("b", { dir: "auto" }, model.get("tokens")[j]);
    ui.said.replaceChildren(token, `: ${stepArithmetic(step, row, j, component, model.get("scale"))}`);
  }

  drawTables() {
    const { row, model, ui } = this;
    const [tokens, j] = [model.get("tokens"), model.get("key")];
    const scores = tokens.map((token, k) => [
      token,
      inDigits(row.product[k]),
      inDigits(row.scaled[k]),
      inDigits(row.masked[k]),
      inDigits(row.exponential[k], 3),
      inDigits(row.weight[k], 3),
    ]);
    const products = timesEach(row.query, row.keys[j]);
    const numbers = Array.from(row.query, (q, c) => [
      String(c),
      ...[q, row.keys[j][c], products[c]].map((x) => inDigits(x, 3)),
    ]);
    const values = Array.from(row.output, (o, c) => [
      String(c),
      ...[row.values[j][c], row.weight[j] * row.values[j][c], o].map((x) => inDigits(x, 3)),
    ]);
    ui.tables.replaceChildren(
      numberTable("Scores and weights", ["token", "q · k", "÷ √d", "masked", "exp", "weight"], scores),
      numberTable(`Query and key of ${tokens[j]}`, ["number", "q", "k", "q × k"], numbers),
      numberTable(`Value of ${tokens[j]}, and the output`, ["number", "v", "a × v", "o"], values),
    );
  }

  stop() {
    for (const forget of this.forget) forget();
  }
}

/**
 * Draw the steps into an element; the function returned takes them away from all that they listen to.
 *
 * @param {{ model: Model<Steps>, el: HTMLElement }} host
 */
export function renderSteps({ model, el }) {
  const view = new StepsView(model, el);
  return () => view.stop();
}

export default { render: renderSteps };
