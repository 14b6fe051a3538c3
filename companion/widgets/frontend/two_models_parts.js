// The parts of two models side by side, with no behaviour yet. Text reaches the page through textContent only.

import { askParts } from "./ask_parts.js";
import { make } from "./elements.js";
import { chancesTable, headOf } from "./head_lab_parts.js";

let pairsOfModels = 0;

/**
 * A map of heads or of weights: its title, its canvas, and what is said of the cell that is pointed at.
 *
 * @param {string} title
 */
function mapParts(title) {
  const canvas = make("canvas", { tabIndex: 0, role: "application" });
  const tip = make("div", { className: "ca-tip", hidden: true, "aria-hidden": "true" });
  const stage = make("div", { className: "ca-stage" }, canvas, tip);
  const heading = make("p", { className: "ca-title" }, title);
  return { canvas, tip, stage, heading, all: make("div", {}, heading, stage) };
}

/**
 * @param {string} id
 * @param {string[]} names of the models
 */
function twoParts(id, names) {
  const select = (/** @type {string} */ name) => make("select", { id: `${id}-${name}` });
  const radio = (/** @type {string} */ value) =>
    make("input", { type: "radio", name: `${id}-compare`, value, id: `${id}-${value}` });
  const heads = names.map((name) => mapParts(`All heads of ${name}`));
  const maps = [...names, `${names[0]} less ${names[1]}`].map(mapParts);
  return {
    ...askParts(id),
    layers: [select("layer"), select("other-layer")],
    heads: [select("head"), select("other-head")],
    query: select("query"),
    paired: radio("paired"),
    chosen: radio("chosen"),
    atlases: heads,
    maps,
    gridTitle: make("p", { className: "ca-title" }),
    grid: make("table", { role: "grid" }),
    say: make("p", { className: "cw-say", "aria-live": "polite" }),
    stale: make("p", { className: "ca-stale", hidden: true }, "Not your text yet: the picture is of the one before."),
    rowTitle: make("p", { className: "ca-title" }),
    rows: make("tbody"),
    nextTitle: make("caption"),
    chances: make("tbody"),
    divergence: make("p", { className: "ca-note" }),
    caption: make("p", { className: "ca-caption" }),
  };
}

/**
 * All elements of one view, put together under `root`.
 *
 * @param {string[]} names of the models
 */
export function buildTwo(names) {
  pairsOfModels += 1;
  const ui = twoParts(`cw${pairsOfModels}-${Math.random().toString(36).slice(2, 8)}`, names);
  const label = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
    make("label", { htmlFor: input.id }, text);
  const field = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
    make("span", { className: "ca-field" }, label(input, text), input);
  const way = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
    make("span", {}, input, label(input, text));
  const sides = names.map((name, k) => {
    const group = { className: "cw-side", role: "group", "aria-label": name };
    return make("span", group, make("b", {}, name), field(ui.layers[k], "Layer"), field(ui.heads[k], "Head"));
  });
  const ways = make(
    "span",
    { className: "ca-switch", role: "radiogroup", "aria-label": "Which heads are compared" },
    way(ui.paired, "Head by head"),
    way(ui.chosen, "All with one"),
  );
  const ramp = make("span", { className: "ca-ramp" });
  const legend = make("div", { className: "ca-legend", "aria-hidden": "true" }, "0", ramp, "1");
  const bar = make("div", { className: "ca-bar" }, ...sides, ways, field(ui.query, "Token that looks"), legend);
  const scroll = make("div", { className: "cw-grid" }, ui.grid);
  const grids = make(
    "div",
    { className: "cw-grids" },
    ...ui.atlases.map(({ all }) => all),
    make("div", {}, ui.gridTitle, scroll),
  );
  const [less, more] = [`− more of ${names[1]}`, `+ more of ${names[0]}`];
  const scale = make("span", { className: "cw-scale" });
  ui.maps[2].all.append(make("p", { className: "cw-legend" }, less, scale, more));
  const table = make("table", {}, headOf("token", ...names, "difference"), ui.rows);
  const named = { className: "ca-scroll", tabIndex: 0, role: "group", "aria-label": "Weights of the chosen token" };
  const region = make("div", named, table);
  const row = make("div", { className: "cw-row" }, ui.rowTitle, region);
  const predicted = make(
    "div",
    {},
    chancesTable(ui.nextTitle, ui.chances, [...names, `${names[1]} less ${names[0]}`]),
    ui.divergence,
  );
  const maps = make("div", { className: "cw-maps ca-main" }, ...ui.maps.map(({ all }) => all), row, predicted);
  const group = { className: "ca", role: "group", "aria-label": `${names[0]} and ${names[1]}, side by side` };
  const root = make("div", group, ui.ask, ui.error, bar, ui.stale, grids, ui.say, maps, ui.caption);
  return { ...ui, ways, region, predicted, root };
}
