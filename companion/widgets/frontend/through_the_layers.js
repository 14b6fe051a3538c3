// ThroughTheLayers: a grid of levels by tokens; the cell that is chosen says what is likely there and who wrote it.

import { barParts, followTheme, make, percent } from "./elements.js";

/** @import { Model, Said, Stream } from "./types" */

const STRONGEST = 45; // % of blue behind a word that must stay readable
let streams = 0;

/**
 * How dark a cell is, 0 to 1: its probability, or its norm between the smallest and the largest, on a logarithmic scale.
 *
 * @param {Said[][]} levels
 * @param {Stream["shade"]} shade
 * @returns {(one: Said) => number}
 */
export function darkness(levels, shade) {
  if (shade === "probability") return ({ said }) => said[0][1];
  const norms = levels.flat().map(({ norm }) => Math.log(norm || 1e-6));
  const [least, most] = [Math.min(...norms), Math.max(...norms)];
  return ({ norm }) => (Math.log(norm || 1e-6) - least) / (most - least || 1);
}

/**
 * The parts that wrote most towards the likeliest token, the strongest first.
 *
 * @param {Said} one
 */
export function writersOf({ heads, networks, start }) {
  const named = [
    ...heads.map(([layer, head, wrote]) => /** @type {const} */ ([`head ${layer}.${head}`, wrote])),
    ...networks.map(([layer, wrote]) => /** @type {const} */ ([`network ${layer}`, wrote])),
    /** @type {const} */ (["embedding", start]),
  ];
  return named.filter(([, wrote]) => wrote > 0).sort(([, a], [, b]) => b - a);
}

function makeStream() {
  streams += 1;
  const id = `cl${streams}-${Math.random().toString(36).slice(2, 8)}`;
  const radio = (/** @type {string} */ value) =>
    make("input", { type: "radio", name: `${id}-shade`, value, id: `${id}-${value}` });
  return {
    probability: radio("probability"),
    norm: radio("norm"),
    grid: make("table", { role: "grid", "aria-label": "What the model would say next, by blocks and token" }),
    scroll: make("div", { className: "ca-levels" }),
    head: make("p", { className: "ca-say", "aria-live": "polite" }),
    said: make("ol", { className: "ca-bars" }),
    writers: make("ol", { className: "ca-bars" }),
    writersTitle: make("p", { className: "ca-title" }),
    caption: make("p", { className: "ca-caption" }),
  };
}

class StreamView {
  /** @type {(() => void)[]} */
  forget = [];

  /**
   * @param {Model<Stream>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.model = model;
    this.ui = makeStream();
    const { ui } = this;
    const choice = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
      make("span", {}, input, make("label", { htmlFor: input.id }, text));
    const shades = { className: "ca-switch", role: "radiogroup", "aria-label": "Shade" };
    const bar = make(
      "div",
      { className: "ca-bar" },
      "Shade",
      make("span", shades, choice(ui.probability, "Probability"), choice(ui.norm, "Length of the stream")),
    );
    ui.scroll.append(ui.grid);
    const title = make("p", { className: "ca-title" }, "Likeliest next tokens, if the model ended here");
    const lists = make(
      "div",
      { className: "ca-two" },
      make("div", {}, title, ui.said),
      make("div", {}, ui.writersTitle, ui.writers),
    );
    const group = { className: "ca ca-walkthrough", role: "group", "aria-label": "Through the layers" };
    this.root = make("div", group, bar, ui.scroll, ui.head, lists, ui.caption);
    el.append(this.root);
    this.forget.push(followTheme(this.root));
    const follow = (/** @type {keyof Stream} */ name, /** @type {() => void} */ listener) => {
      model.on(`change:${name}`, listener);
      this.forget.push(() => model.off(`change:${name}`, listener));
    };
    for (const name of /** @type {const} */ (["tokens", "labels", "levels"])) follow(name, () => this.read());
    for (const name of /** @type {const} */ (["level", "place", "shade", "caption"])) follow(name, () => this.draw());
    ui.probability.onchange = () => this.set({ shade: "probability" });
    ui.norm.onchange = () => this.set({ shade: "norm" });
    ui.grid.onclick = ({ target }) => {
      const cell = target instanceof Element ? target.closest("td") : null;
      if (cell) this.set({ level: Number(cell.dataset.level), place: Number(cell.dataset.place) });
    };
    ui.grid.onkeydown = (event) => this.move(event);
    this.read();
  }

  /** @param {Partial<Stream>} values */
  set(values) {
    const entries = /** @type {[keyof Stream, Stream[keyof Stream]][]} */ (Object.entries(values));
    for (const [name, value] of entries) this.model.set(name, value);
    this.model.save_changes();
  }

  /** @param {KeyboardEvent} event */
  move(event) {
    const { model } = this;
    const [level, place] = [model.get("level"), model.get("place")];
    const [lastLevel, lastPlace] = [model.get("levels").length - 1, model.get("tokens").length - 1];
    const to = {
      ArrowUp: [level - 1, place],
      ArrowDown: [level + 1, place],
      ArrowLeft: [level, place - 1],
      ArrowRight: [level, place + 1],
      Home: [level, 0],
      End: [level, lastPlace],
      PageUp: [0, place],
      PageDown: [lastLevel, place],
    }[event.key];
    if (!to) return;
    event.preventDefault();
    this.set({ level: Math.max(0, Math.min(lastLevel, to[0])), place: Math.max(0, Math.min(lastPlace, to[1])) });
    this.ui.grid.querySelector("td[tabindex='0']")?.scrollIntoView({ block: "nearest", inline: "nearest" });
    /** @type {HTMLElement | null} */ (this.ui.grid.querySelector("td[tabindex='0']"))?.focus();
  }

  /** A cell for each token at each level. */
  read() {
    const { model, ui } = this;
    const names = model.get("tokens").map((token) => make("th", { scope: "col" }, make("bdi", {}, token)));
    const rows = model.get("levels").map((places, level) => {
      const cells = places.map(({ said }, place) =>
        make("td", { "data-level": level, "data-place": place }, make("bdi", {}, model.get("labels")[said[0][0]])),
      );
      return make("tr", {}, make("th", { scope: "row" }, String(level)), ...cells);
    });
    const head = make("tr", {}, make("th", { scope: "col" }, "blocks"), ...names);
    ui.grid.replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
    this.draw();
    const chosen = /** @type {HTMLElement} */ (ui.grid.querySelector("td[tabindex='0']"));
    ui.scroll.scrollTo(chosen.offsetLeft, chosen.offsetTop);
  }

  draw() {
    const { model, ui } = this;
    const [levels, level, place] = [model.get("levels"), model.get("level"), model.get("place")];
    const dark = darkness(levels, model.get("shade"));
    ui.probability.checked = model.get("shade") === "probability";
    ui.norm.checked = !ui.probability.checked;
    ui.caption.textContent = model.get("caption");
    for (const cell of ui.grid.querySelectorAll("td")) {
      const [l, p] = [Number(cell.dataset.level), Number(cell.dataset.place)];
      const strength = (STRONGEST * dark(levels[l][p])).toFixed(1);
      cell.style.background = `color-mix(in srgb, var(--ca-blue) ${strength}%, var(--ca-zero))`;
      const chosen = l === level && p === place;
      cell.setAttribute("aria-selected", String(chosen));
      cell.tabIndex = chosen ? 0 : -1;
    }
    const one = levels[level][place];
    const name = (/** @type {number} */ label) => model.get("labels")[label];
    const where = level ? `After ${level} of ${levels.length - 1} blocks` : "Before the first block";
    const token = make("b", { dir: "auto" }, model.get("tokens")[place]);
    ui.head.replaceChildren(
      `${where}, at `,
      token,
      `: the likeliest is “`,
      make("bdi", {}, name(one.said[0][0])),
      `”, ${percent(one.said[0][1])}; the stream's length is ${one.norm.toFixed(1)}.`,
    );
    ui.said.replaceChildren(
      ...one.said.map(([label, p]) => make("li", {}, make("div", {}, ...barParts(name(label), p, percent(p))))),
    );
    const writers = writersOf(one);
    const most = Math.max(...writers.map(([, wrote]) => wrote), 1e-9);
    ui.writersTitle.replaceChildren(
      "What wrote most for “",
      make("bdi", {}, name(one.said[0][0])),
      "” against “",
      make("bdi", {}, name(one.said[1][0])),
      `”: the logits differ by ${one.lead.toFixed(2)}`,
    );
    ui.writers.replaceChildren(
      ...writers.map(([part, wrote]) =>
        make("li", {}, make("div", {}, ...barParts(part, wrote / most, `+${wrote.toFixed(2)}`))),
      ),
    );
  }

  stop() {
    for (const forget of this.forget) forget();
  }
}

/**
 * Draw the levels into an element; the function returned takes them away from all that they listen to.
 *
 * @param {{ model: Model<Stream>, el: HTMLElement }} host
 */
export function renderStream({ model, el }) {
  const view = new StreamView(model, el);
  return () => view.stop();
}

export default { render: renderStream };
