// What a NextTokenView is made of, with no behaviour yet.

import { make } from "./elements.js";

/** @import { Dials } from "./types" */
/** @typedef {ReturnType<typeof buildNextToken>} NextTokenParts */
/** @typedef {ReturnType<typeof makeBarRow>} BarRow */

/** The counts that top-k is set to; the last is off. */
const COUNTS = [1, 2, 3, 4, 5, 8, 10, 15, 20, 30, 50, 100, null];

/**
 * A dial: a slider's position and the value that it stands for.
 *
 * @typedef {object} Dial
 * @property {keyof Dials} name
 * @property {string} title
 * @property {{ min: number, max: number, step: number }} range
 * @property {(position: number) => number | null} value
 * @property {(value: number | null) => number} position
 * @property {(value: number | null) => string} say
 */

/** @type {Dial[]} */
export const DIALS = [
  {
    name: "temperature",
    title: "Temperature",
    range: { min: 0, max: 2, step: 0.05 },
    value: (position) => position,
    position: (value) => value ?? 1,
    say: (value) => (value === 0 ? "0, greedy" : Number(value).toFixed(2)),
  },
  {
    name: "top_k",
    title: "Top-k",
    range: { min: 0, max: COUNTS.length - 1, step: 1 },
    value: (position) => COUNTS[position],
    position: (value) => COUNTS.findIndex((count) => count === null || (value !== null && count >= value)),
    say: (value) => (value === null ? "all" : String(value)),
  },
  {
    name: "top_p",
    title: "Top-p",
    range: { min: 0.05, max: 1, step: 0.05 },
    value: (position) => (position === 1 ? null : position),
    position: (value) => value ?? 1,
    say: (value) => (value === null ? "off" : value.toFixed(2)),
  },
  {
    name: "min_p",
    title: "Min-p",
    range: { min: 0, max: 0.5, step: 0.01 },
    value: (position) => position || null,
    position: (value) => value ?? 0,
    say: (value) => (value === null ? "off" : value.toFixed(2)),
  },
];

let views = 0;

/** A row of the bars: the token, what the model gave it behind what the dials make of it, and both as numbers. */
export function makeBarRow() {
  const name = make("span", { className: "ca-name" });
  const raw = make("i", { className: "nt-raw" });
  const now = make("i", { className: "nt-now" });
  const track = make("span", { className: "nt-track", "aria-hidden": "true" }, raw, now);
  const before = make("span", { className: "nt-before" });
  const after = make("b");
  const note = make("span", { className: "nt-note" });
  const numbers = make("span", { className: "ca-number" }, before, " → ", after);
  const button = make("button", { type: "button" }, note, name, track, numbers);
  return { item: make("li", {}, button), button, name, raw, now, before, after, note };
}

/** @param {string} id */
function makeDials(id) {
  return DIALS.map(({ name, title, range }) => {
    const input = make("input", { type: "range", id: `${id}-${name}`, ...range });
    const output = make("output", { htmlFor: input.id });
    const label = make("label", { htmlFor: input.id }, title);
    return { input, output, row: make("div", { className: "nt-dial" }, label, output, input) };
  });
}

/**
 * @param {HTMLInputElement} input
 * @param {string} before
 * @param {string} after
 */
function numberField(input, before, after) {
  return make("span", { className: "ca-field" }, make("label", { htmlFor: input.id }, before), input, after);
}

/** @param {number} rows */
export function buildNextToken(rows) {
  views += 1;
  const id = `nt${views}-${Math.random().toString(36).slice(2, 8)}`;
  const button = (/** @type {string} */ text) => make("button", { type: "button", className: "ca-button" }, text);
  const number = (/** @type {string} */ name, /** @type {number} */ min, /** @type {number} */ max) =>
    make("input", { type: "number", id: `${id}-${name}`, min, max, step: 1, className: "nt-number" });
  const ui = {
    box: make("textarea", { id: `${id}-text`, rows: 2, spellcheck: false, autocomplete: "off" }),
    examples: make("div", { className: "nt-examples", role: "group", "aria-label": "Examples" }),
    load: button(""),
    progress: make("progress", { max: 1, "aria-label": "Loading the model" }),
    cancel: button("Cancel"),
    note: make("p", { className: "ca-note" }),
    one: button("Continue"),
    run: button("Run"),
    longest: number("longest", 1, 200),
    seed: number("seed", 0, 2 ** 31 - 1),
    reseed: button("Another seed"),
    status: make("p", { className: "ca-status" }),
    error: make("p", { className: "ca-error", role: "alert" }),
    text: make("p", { className: "nt-text" }),
    place: make("p", { className: "ca-title" }),
    bars: make("ol", { className: "ca-bars nt-bars" }),
    rows: Array.from({ length: rows }, makeBarRow),
    drawn: makeBarRow(),
    others: makeBarRow(),
    line: make("div", { className: "nt-line", "aria-hidden": "true" }),
    draw: make("p", { className: "nt-draw" }),
    formula: make("p", { className: "nt-formula" }),
    tree: make("div", { className: "nt-tree", role: "group", "aria-label": "What was written. Arrow keys walk." }),
    said: make("p", { className: "ca-hidden", "aria-live": "polite" }),
    dials: makeDials(id),
  };
  ui.bars.append(...[...ui.rows, ui.drawn, ui.others].map(({ item }) => item));
  const question = make("label", { htmlFor: ui.box.id }, "Type a beginning");
  const offer = make("div", { className: "ca-offer", hidden: true }, ui.load, ui.progress, ui.cancel, ui.note);
  const tokens = numberField(ui.longest, "up to", "tokens");
  const seed = numberField(ui.seed, "Seed", "");
  const controls = make("div", { className: "nt-controls" }, ui.one, ui.run, tokens, seed, ui.reseed);
  const ask = make("div", { className: "ca-ask" }, question, ui.box, ui.examples, offer, controls, ui.status);
  const legend = make("p", { className: "nt-legend" }, make("i", { className: "nt-raw" }), " the model’s own ");
  legend.append(make("i", { className: "nt-now" }), " what is drawn from");
  const dials = make("div", { className: "nt-dials" }, ...ui.dials.map(({ row }) => row), legend);
  const seen = make("div", { className: "nt-seen" }, ui.place, ui.bars, ui.line, ui.draw, ui.formula);
  const main = make("div", { className: "nt-main" }, dials, seen);
  const title = make("p", { className: "ca-title" }, "The tree: choose a token to go back to it");
  const grown = make("div", { className: "nt-grown", hidden: true }, title, ui.tree);
  const root = make("div", { className: "ca nt", role: "group", "aria-label": "Next token" });
  root.append(ask, ui.error, ui.text, main, grown, ui.said);
  return { ...ui, question, offer, controls, main, grown, root };
}
