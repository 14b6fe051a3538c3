// The parts of a head lab, with no behaviour yet. Text reaches the page through textContent only.

import { askParts } from "./ask_parts.js";
import { make, percent } from "./elements.js";

/** @import { Chance } from "./types" */

const MOST_SHADED = 3; // nats of change that have the full shade
let labs = 0;

/**
 * @param {number} number
 * @param {number} digits
 */
export function signed(number, digits) {
  const size = Math.abs(number).toFixed(digits);
  return `${Number(size) === 0 ? "±" : number < 0 ? "−" : "+"}${size}`;
}

/** The parts that change, by name. */
function labParts() {
  labs += 1;
  const id = `cl${labs}-${Math.random().toString(36).slice(2, 8)}`;
  const way = (/** @type {string} */ value, /** @type {boolean} */ checked) =>
    make("input", { type: "radio", name: `${id}-way`, value, id: `${id}-${value}`, checked });
  return {
    ...askParts(id),
    source: make("textarea", { id: `${id}-source`, rows: 1, spellcheck: false, autocomplete: "off" }),
    sets: make("div", { className: "cl-sets", role: "group", "aria-label": "Sets of heads" }),
    off: way("off", true),
    patched: way("patched", false),
    grid: make("div", { className: "cl-heads", role: "group", "aria-label": "Heads, layer by layer" }),
    hint: make("p", { className: "ca-note" }),
    stale: make("p", { className: "ca-stale", hidden: true }, "The numbers are not of what is chosen now."),
    nextTitle: make("caption"),
    rows: make("tbody"),
    nothing: make("p", { className: "ca-note" }),
    loss: make("p", { className: "cl-loss" }),
    words: make("div", { className: "cl-words", tabIndex: 0, role: "region", "aria-label": "The text" }),
    told: make("p", { className: "ca-note" }),
    table: make("tbody"),
    summary: make("p", { className: "ca-hidden", "aria-live": "polite" }),
  };
}

/**
 * A table of likely tokens, whose rows are those of chanceRow.
 *
 * @param {HTMLElement} title
 * @param {HTMLElement} rows
 * @param {string[]} names of the columns of numbers
 */
export function chancesTable(title, rows, names) {
  const columns = ["token", "", ...names].map((name) => (name ? make("th", { scope: "col" }, name) : make("td")));
  return make("table", { className: "cl-chances" }, title, make("thead", {}, make("tr", {}, ...columns)), rows);
}

/** @param {...string} names of the columns */
export function headOf(...names) {
  return make("thead", {}, make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name))));
}

/** All elements of one lab, put together under `root`. */
export function buildLab() {
  const ui = labParts();
  const label = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
    make("label", { htmlFor: input.id }, text);
  const way = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
    make("span", {}, input, label(input, text));
  const ways = make(
    "span",
    { className: "ca-switch", role: "radiogroup", "aria-label": "What a click on a head does" },
    way(ui.off, "Switch off"),
    way(ui.patched, "Patch"),
  );
  const from = label(ui.source, "Patched heads have their output in this text, which must have as many tokens");
  const sourceField = make("div", { className: "cl-source", hidden: true }, from, ui.source);
  const bar = make("div", { className: "ca-bar" }, ui.sets, ways, sourceField);
  const title = make("p", { className: "ca-title" }, "Heads: a row is a layer, both counted from 0");
  const side = make("div", { className: "cl-side" }, title, ui.grid, ui.hint);
  const chances = chancesTable(ui.nextTitle, ui.rows, ["all heads", "as chosen", "change"]);
  const likely = make("div", { className: "cl-likely" }, chances, ui.nothing);
  const table = make("table", {}, headOf("token", "loss, all heads", "as chosen", "change"), ui.table);
  const region = { className: "ca-scroll", tabIndex: 0, role: "region", "aria-label": "Loss of each token" };
  const details = make("details", {}, make("summary", {}, "Loss of each token as a table"), make("div", region, table));
  const strip = make("div", { className: "cl-strip" }, ui.loss, ui.words, ui.told, details);
  const main = make("div", { className: "cl-main" }, side, likely, strip);
  const group = { className: "ca", role: "group", "aria-label": "Head lab" };
  const root = make("div", group, ui.ask, ui.error, bar, ui.stale, main, ui.summary);
  return { ...ui, ways, sourceField, main, chances, strip, root };
}

/**
 * Whether a probability, before or after, is more than what is written as nothing.
 *
 * @param {Chance} chance
 */
export const isShown = ({ before, after }) => Math.max(before, after) >= 0.0005;

/**
 * A likely token: two bars, two probabilities, and their difference in percentage points.
 *
 * @param {Chance} chance
 */
export function chanceRow({ token, before, after }) {
  const bar = (/** @type {number} */ part) => {
    const one = make("i");
    one.style.setProperty("--part", part.toFixed(4));
    return one;
  };
  const bars = make("td", { className: "cl-pair", "aria-hidden": "true" }, bar(before), bar(after));
  const numbers = [percent(before), percent(after), signed(100 * (after - before), 1)];
  return make("tr", {}, make("th", { scope: "row" }, token), bars, ...numbers.map((number) => make("td", {}, number)));
}

/**
 * A token of the text, the darker the more its loss changed; the first one is predicted by nothing.
 *
 * @param {string} token
 * @param {[number, number] | undefined} losses
 */
export function lossToken(token, losses) {
  const part = make("span", { className: "ca-token" }, token);
  if (!losses) return part;
  const [before, after] = losses;
  const change = after - before;
  part.style.setProperty("--w", Math.min(1, Math.abs(change) / MOST_SHADED).toFixed(3));
  if (change < -0.005) part.setAttribute("data-better", "");
  part.title = `${token}: loss ${before.toFixed(3)} with all heads, ${after.toFixed(3)} as chosen (${signed(change, 3)})`;
  return part;
}

/**
 * @param {string} token
 * @param {[number, number]} losses
 */
export function lossRow(token, [before, after]) {
  const numbers = [before.toFixed(3), after.toFixed(3), signed(after - before, 3)];
  return make("tr", {}, make("th", { scope: "row" }, token), ...numbers.map((number) => make("td", {}, number)));
}
