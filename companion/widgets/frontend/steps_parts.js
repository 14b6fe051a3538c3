// The parts of AttentionSteps: its formula, its controls, its rows and tables, with no behaviour yet.

import { make } from "./elements.js";

/** @import { Step } from "./types" */

/** @type {Step[]} */
export const STEP_ORDER = ["compare", "scale", "mask", "softmax", "add"];
export const STEP_NAMES = { compare: "Compare", scale: "Scale", mask: "Mask", softmax: "Softmax", add: "Add up" };
let stepViews = 0;

/** The formula; what belongs to a step is named after it. */
function stepsFormula() {
  const sub = (/** @type {string} */ name, /** @type {string} */ index) => [name, make("sub", {}, index)];
  const part = (/** @type {Step} */ step, /** @type {(Node | string)[]} */ ...inside) =>
    make("span", { className: "ca-part", "data-step": step }, ...inside);
  const above = part("compare", ...sub("q", "i"), " · ", ...sub("k", "j"));
  const below = part("scale", "√", make("span", { className: "ca-root" }, ...sub("d", "k")));
  const quotient = make("span", { className: "ca-quotient" }, above, below);
  return make(
    "div",
    { className: "ca-formula", role: "img" },
    ...sub("o", "i"),
    " = ",
    part("add", ...sub("Σ", "j")),
    part("softmax", ...sub("softmax", "j"), "("),
    quotient,
    part("mask", " + ", ...sub("m", "ij")),
    part("softmax", ")"),
    part("add", ...sub("v", "j")),
  );
}

/** All parts of a view; ids are unique on the page. */
export function stepsParts() {
  stepViews += 1;
  const id = `cs${stepViews}-${Math.random().toString(36).slice(2, 8)}`;
  const select = (/** @type {string} */ name) => make("select", { id: `${id}-${name}` });
  const tab = (/** @type {Step} */ step, /** @type {number} */ k) =>
    make(
      "button",
      { type: "button", role: "tab", id: `${id}-${step}`, "aria-controls": `${id}-panel`, "data-step": step },
      `${k + 1} ${STEP_NAMES[step]}`,
    );
  const button = (/** @type {string} */ text) => make("button", { type: "button", className: "ca-button" }, text);
  return {
    layer: select("layer"),
    head: select("head"),
    query: select("query"),
    tabs: make("div", { className: "ca-steps", role: "tablist", "aria-label": "Steps" }, ...STEP_ORDER.map(tab)),
    previous: button("Previous"),
    next: button("Next"),
    formula: stepsFormula(),
    say: make("p", { className: "ca-say", "aria-live": "polite" }),
    heading: make("div", { className: "ca-row ca-columns", "aria-hidden": "true" }),
    list: make("div", { className: "ca-keys", role: "listbox" }),
    close: make("div", { className: "ca-close" }),
    said: make("p", { className: "ca-sum", "aria-live": "polite" }),
    details: make("details", {}, make("summary", {}, "All numbers as tables")),
    tables: make("div", { className: "ca-scroll", tabIndex: 0, role: "region", "aria-label": "Tables of all numbers" }),
    panel: make("div", { id: `${id}-panel`, role: "tabpanel" }),
    caption: make("p", { className: "ca-caption" }),
  };
}

/**
 * The row of a key.
 *
 * @param {string} token
 * @param {number} j
 */
export function keyRow(token, j) {
  return make(
    "div",
    { className: "ca-row", role: "option", "data-j": j },
    make("span", { className: "ca-name", dir: "auto" }, token),
    make("span", { className: "ca-vector" }),
    make("span", { className: "ca-number" }),
    make("span", { className: "ca-number ca-result" }),
  );
}

/**
 * @param {string} caption
 * @param {string[]} names
 * @param {string[][]} rows
 */
export function numberTable(caption, names, rows) {
  const head = make("tr", {}, ...names.map((name) => make("th", { scope: "col" }, name)));
  const body = rows.map((cells) => make("tr", {}, ...cells.map((cell) => make("td", {}, cell))));
  return make("table", {}, make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
}

/**
 * Scroll a list, and not the page, until a row of it is seen.
 *
 * @param {HTMLElement} list
 * @param {HTMLElement} row
 */
export function scrollInto(list, { offsetTop, offsetHeight }) {
  const least = offsetTop + offsetHeight - list.clientHeight;
  list.scrollTop = Math.min(offsetTop, Math.max(least, list.scrollTop));
}
