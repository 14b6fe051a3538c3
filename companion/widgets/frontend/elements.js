// Elements: what a view is made of, with no behaviour yet. Text reaches the page through textContent only: a token is
// never markup.

/** @import { Candidate } from "./types" */
/** @typedef {ReturnType<typeof build>} Parts */

let instances = 0;

/**
 * An element with its attributes (names with a hyphen, and role), properties (all others) and children.
 *
 * @template {keyof HTMLElementTagNameMap} Tag
 * @param {Tag} tag
 * @param {Record<string, string | number | boolean>} properties
 * @param {...(Node | string)} children
 */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(properties)) {
    if (key.includes("-") || key === "role") element.setAttribute(key, String(value));
    else Object.assign(element, { [key]: value });
  }
  element.append(...children);
  return element;
}

/** Dark when the book, JupyterLab, VS Code or Colab says so; else what the reader's system prefers. */
export function isDark() {
  const [page, body] = [document.documentElement, document.body];
  const said = page.dataset.theme || page.getAttribute("theme") || body.dataset.vscodeThemeKind;
  if (said) return said.includes("dark");
  if (body.dataset.jpThemeLight) return body.dataset.jpThemeLight === "false";
  return matchMedia("(prefers-color-scheme: dark)").matches;
}

/**
 * Hear whenever the page's theme may have changed; the function returned ends it.
 *
 * @param {() => void} changed
 */
export function onTheme(changed) {
  const themes = new MutationObserver(changed);
  const attributeFilter = ["data-theme", "theme", "data-vscode-theme-kind", "data-jp-theme-light"];
  for (const node of [document.documentElement, document.body]) themes.observe(node, { attributeFilter });
  const scheme = matchMedia("(prefers-color-scheme: dark)");
  scheme.addEventListener("change", changed);
  return () => {
    themes.disconnect();
    scheme.removeEventListener("change", changed);
  };
}

/**
 * Keep an element in the theme of its page, all colours being CSS; the function returned ends it.
 *
 * @param {HTMLElement} root
 */
export function followTheme(root) {
  const follow = () => {
    root.dataset.theme = isDark() ? "dark" : "light";
  };
  follow();
  return onTheme(follow);
}

/** The parts of a view that change, by name; ids are unique on the page so that labels find their controls. */
function makeParts() {
  instances += 1;
  const id = `ca${instances}-${Math.random().toString(36).slice(2, 8)}`;
  const radio = (/** @type {string} */ value, group = "view") =>
    make("input", { type: "radio", name: `${id}-${group}`, value, id: `${id}-${value}` });
  return {
    pick: make("select", { id: `${id}-pick` }),
    look: make("p", { className: "ca-look", "aria-live": "polite" }),
    box: make("textarea", { id: `${id}-text`, rows: 2, spellcheck: false, autocomplete: "off" }),
    status: make("p", { className: "ca-status" }),
    error: make("p", { className: "ca-error", role: "alert" }),
    load: make("button", { type: "button", className: "ca-button" }),
    progress: make("progress", { max: 1, "aria-label": "Loading the model" }),
    cancel: make("button", { type: "button", className: "ca-button" }, "Cancel"),
    note: make("p", { className: "ca-note" }),
    send: make("button", { type: "button", className: "ca-button" }),
    said: make("p", { className: "ca-hidden", "aria-live": "polite" }),
    stale: make("p", { className: "ca-stale", hidden: true }),
    gpu: make("input", { type: "checkbox" }),
    layer: make("select", { id: `${id}-layer` }),
    head: make("select", { id: `${id}-head` }),
    kind: make("select", { id: `${id}-kind` }),
    pair: make("select", { id: `${id}-pair` }),
    told: make("p", { className: "ca-told" }),
    pin: make("button", { type: "button", className: "ca-save" }),
    pins: make("ul", { className: "ca-pins", "aria-label": "Heads over each other" }),
    otherStrip: make("div", { className: "ca-strip ca-others", hidden: true, "aria-hidden": "true" }),
    matrix: radio("matrix"),
    arcs: radio("arcs"),
    looks: radio("looks", "side"),
    read: radio("read", "side"),
    scale: make("input", { type: "checkbox" }),
    aside: make("input", { type: "checkbox" }),
    sink: make("span"),
    asideLabel: make("label", { className: "ca-check", hidden: true }),
    png: make("button", { type: "button", className: "ca-save" }, "PNG"),
    svg: make("button", { type: "button", className: "ca-save" }, "SVG"),
    legendEnd: make("span", { className: "ca-most" }),
    canvas: make("canvas", { tabIndex: 0, role: "application" }),
    tip: make("div", { className: "ca-tip", hidden: true, "aria-hidden": "true" }),
    atlas: make("canvas", { tabIndex: 0, role: "application" }),
    keys: make("ol", { className: "ca-bars" }),
    keysTitle: make("p", { className: "ca-title" }),
    next: make("ol", { className: "ca-bars ca-next" }),
    nextTitle: make("p", { className: "ca-title" }),
    strip: make("div", { className: "ca-strip", role: "listbox", "aria-label": "Tokens: choose the one that looks" }),
    summary: make("p", { className: "ca-hidden", "aria-live": "polite" }),
    table: make("table"),
    caption: make("p", { className: "ca-caption" }),
  };
}

/**
 * @param {HTMLElement} input
 * @param {string} text
 */
const labelFor = (input, text) => make("label", { htmlFor: input.id }, text);

/**
 * @param {HTMLElement} input
 * @param {string} text
 */
const field = (input, text) => make("span", { className: "ca-field" }, labelFor(input, text), input);

/**
 * @param {ReturnType<typeof makeParts>} ui
 * @param {HTMLElement} kindField
 * @param {HTMLElement} pairField
 */
function makeBar(ui, kindField, pairField) {
  const choice = (/** @type {HTMLElement} */ input, /** @type {string} */ text) =>
    make("span", {}, input, labelFor(input, text));
  const group = (/** @type {string} */ name, /** @type {HTMLElement[]} */ ...choices) =>
    make("span", { className: "ca-switch", role: "radiogroup", "aria-label": name }, ...choices);
  const ramp = make("span", { className: "ca-ramp" });
  ui.asideLabel.append(ui.aside, " without ", ui.sink);
  return make(
    "div",
    { className: "ca-bar" },
    kindField,
    field(ui.layer, "Layer"),
    field(ui.head, "Head"),
    group("View", choice(ui.matrix, "Matrix"), choice(ui.arcs, "Arcs")),
    group("Side", choice(ui.looks, "looks at"), choice(ui.read, "is read by")),
    pairField,
    make("label", { className: "ca-check" }, ui.scale, " scale each row"),
    ui.asideLabel,
    make("div", { className: "ca-legend", "aria-hidden": "true" }, "0", ramp, ui.legendEnd),
  );
}

/** All elements of one view, put together under `root`. */
export function build() {
  const ui = makeParts();
  const gpuLabel = make("label", { className: "ca-check", hidden: true }, ui.gpu, " run on WebGPU");
  const line = make("div", { className: "ca-line" }, ui.status, gpuLabel);
  const question = labelFor(ui.box, "");
  const offer = make("div", { className: "ca-offer", hidden: true }, ui.load, ui.progress, ui.cancel, ui.note);
  const hint = make("p", { className: "ca-note" }, "or press Enter: the model needs a moment to read");
  const sending = make("div", { className: "ca-send", hidden: true }, ui.send, hint);
  const ask = make("div", { className: "ca-ask" }, question, ui.box, offer, sending, line);
  const choice = make(
    "div",
    { className: "ca-choice", hidden: true },
    labelFor(ui.pick, "Choose a text"),
    ui.pick,
    ui.look,
  );
  const stage = make("div", { className: "ca-stage" }, ui.canvas, ui.tip);
  const predict = make("div", {}, ui.nextTitle, ui.next);
  const region = { className: "ca-scroll", tabIndex: 0, role: "region", "aria-label": "Table of the chosen row" };
  const details = make("details", {}, make("summary", {}, "Row as a table"), make("div", region, ui.table));
  const saving = make("p", { className: "ca-saving" }, "Save the picture: ", ui.png, " ", ui.svg);
  const title = make("p", { className: "ca-title" }, "All heads, layer by layer");
  const heads = make("div", { className: "ca-heads" }, title, ui.pin, ui.atlas, ui.pins);
  const [kindField, pairField] = [field(ui.kind, "Attention"), field(ui.pair, "Sentences")];
  const read = make("div", { className: "ca-read" }, make("div", {}, ui.keysTitle, ui.keys), predict);
  const main = make("div", { className: "ca-main" }, make("div", { className: "ca-side" }, heads, read), stage);
  const group = { className: "ca", role: "group", "aria-label": "Attention view" };
  const root = make(
    "div",
    group,
    choice,
    ask,
    ui.error,
    ui.said,
    makeBar(ui, kindField, pairField),
    ui.told,
    ui.stale,
    main,
    ui.strip,
    ui.otherStrip,
    ui.summary,
    make("div", { className: "ca-below" }, details, saving),
    ui.caption,
  );
  return {
    ...ui,
    kindField,
    pairField,
    gpuLabel,
    choice,
    question,
    ask,
    offer,
    sending,
    stage,
    predict,
    details,
    root,
  };
}

/**
 * A name, a share of a whole as a bar, and the number.
 *
 * @param {string} token
 * @param {number} share
 * @param {string} number
 */
export function barParts(token, share, number) {
  const bar = make("span", { className: "ca-share", "aria-hidden": "true" });
  bar.style.setProperty("--share", share.toFixed(4));
  return [make("span", { className: "ca-name" }, token), bar, make("span", { className: "ca-number" }, number)];
}

/** @param {number} probability in words */
export const percent = (probability) => `${(100 * probability).toFixed(1)} %`;

/**
 * A likely token; a click on one that can be typed appends it, or puts it in the place of the mask.
 *
 * @param {Candidate} candidate
 * @param {boolean} live
 * @param {string} mask
 */
export function nextRow({ token, probability, text }, live, mask) {
  const parts = barParts(token, probability, percent(probability));
  if (!live || !text) return make("li", {}, make("div", {}, ...parts));
  const title = mask ? `Put it in the place of ${mask}` : "Append to the text";
  return make("li", {}, make("button", { type: "button", title, "data-text": text }, ...parts));
}
