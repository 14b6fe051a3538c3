// WhoSeesWhom: one sentence under six objectives, its masks drawn, and for each target what it is predicted from.

import { followTheme, make } from "./elements.js";
import { drawChances, lessonOf } from "./objectives.js";

/** @import { Draw, Lesson, Matrix, Model, Objective, Sight } from "./types" */

/** @type {[Objective, string][]} */
const OBJECTIVES = [
  ["causal", "Causal (GPT)"],
  ["masked", "Masked (BERT)"],
  ["prefix", "Prefix"],
  ["permutation", "Permutation (XLNet)"],
  ["spans", "Spans (T5)"],
  ["denoising", "Denoising (BART)"],
];
/** @type {(keyof Draw)[]} */
const CHANCES = ["masked", "lost", "order", "predicted", "prefix"];
const MOST_WORDS = 60;
const NAMED_COLUMNS = 24; // more have no room for their names
const SOURCE = "color-mix(in srgb, var(--ca-accent) 75%, var(--ca-zero))";
let sights = 0;

/**
 * The row of a mask as a background: a cell for each that may be read.
 *
 * @param {boolean[]} allowed
 * @param {number} source
 */
function cellsOf(allowed, source) {
  const width = 100 / allowed.length;
  const stops = allowed.map((may, j) => {
    const [from, to] = [j * width, (j + 0.88) * width];
    const colour = may ? (j < source ? SOURCE : "var(--ca-blue)") : "var(--ca-zero)";
    return `${colour} ${from.toFixed(3)}% ${to.toFixed(3)}%, var(--ca-paper) ${to.toFixed(3)}% ${(from + width).toFixed(3)}%`;
  });
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/**
 * Words as chips, and spaces between them for who copies or hears them.
 *
 * @param {string[]} words
 */
function chips(words) {
  return words.flatMap((word) => [make("bdi", { className: "ca-word" }, word), " "]);
}

/** @param {Matrix} matrix */
function matrixOf({ title, rows, columns, source, allowed }) {
  const names = columns.map((word) => make("span", { dir: "auto" }, word));
  const drawn = rows.map((word, i) => {
    const cells = make("span", { className: "ca-cells" });
    cells.style.background = cellsOf(allowed[i], source);
    return make("div", { className: "ca-sight" }, make("span", { className: "ca-name", dir: "auto" }, word), cells);
  });
  const head = make(
    "div",
    { className: "ca-sight ca-above" },
    make("span"),
    make("span", { className: "ca-names" }, ...names),
  );
  const shown = columns.length <= NAMED_COLUMNS ? [head, ...drawn] : drawn;
  const note = source && columns.length > source ? " (orange: the source; blue: what is written)" : "";
  return make(
    "div",
    { className: "ca-mask", "aria-hidden": "true" },
    make("p", { className: "ca-title" }, `${title}${note}`),
    ...shown,
  );
}

function makeSight() {
  sights += 1;
  const id = `cw${sights}-${Math.random().toString(36).slice(2, 8)}`;
  const tab = (/** @type {[Objective, string]} */ [objective, name]) =>
    make(
      "button",
      { type: "button", role: "tab", id: `${id}-${objective}`, "aria-controls": `${id}-panel`, "data-name": objective },
      name,
    );
  return {
    box: make("textarea", { id: `${id}-text`, rows: 1, spellcheck: false, autocomplete: "off" }),
    note: make("p", { className: "ca-stale", role: "status" }),
    tabs: make("div", { className: "ca-steps", role: "tablist", "aria-label": "Objectives" }, ...OBJECTIVES.map(tab)),
    draw: make("button", { type: "button", className: "ca-button" }, "Draw again"),
    panel: make("div", { id: `${id}-panel`, role: "tabpanel" }),
    about: make("p", { className: "ca-say" }),
    inputs: make("div", { className: "ca-inputs" }),
    title: make("p", { className: "ca-title" }, "Targets: choose one to see what it is predicted from"),
    targets: make("div", { className: "ca-targets", role: "listbox", "aria-label": "Targets" }),
    reads: make("p", { className: "ca-reads", "aria-live": "polite" }),
    masks: make("div", { className: "ca-masks" }),
    details: make("details", {}, make("summary", {}, "Who sees whom, as text")),
    rows: make("div", { className: "ca-scroll", tabIndex: 0, role: "region", "aria-label": "Who sees whom" }),
  };
}

class SightView {
  /** @type {(() => void)[]} */
  forget = [];
  /** @type {number | null} */
  hovered = null;
  /** @type {Lesson | null} */
  lesson = null;
  asked = ""; // the targets that are there
  busy = false; // while several traits change, of which no picture is to be drawn one by one

  /**
   * @param {Model<Sight>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.model = model;
    this.ui = makeSight();
    const { ui } = this;
    ui.details.append(ui.rows);
    ui.panel.append(ui.about, ui.inputs, ui.title, ui.targets, ui.reads, ui.masks, ui.details);
    const ask = make(
      "div",
      { className: "ca-ask" },
      make("label", { htmlFor: ui.box.id }, "A sentence"),
      ui.box,
      ui.note,
    );
    const walk = make("div", { className: "ca-walk" }, ui.tabs, make("span", { className: "ca-turn" }, ui.draw));
    const group = { className: "ca ca-walkthrough", role: "group", "aria-label": "Who may see whom" };
    this.root = make("div", group, ask, walk, ui.panel);
    el.append(this.root);
    this.forget.push(followTheme(this.root));
    for (const name of /** @type {(keyof Sight)[]} */ (["text", "objective", "target", ...CHANCES])) {
      const listener = () => {
        if (!this.busy) this.draw();
      };
      model.on(`change:${name}`, listener);
      this.forget.push(() => model.off(`change:${name}`, listener));
    }
    this.listen();
    this.draw();
  }

  listen() {
    const { ui } = this;
    ui.box.oninput = () => this.set({ text: ui.box.value, target: 0 });
    ui.draw.onclick = () => this.set({ ...drawChances(this.words().length), target: 0 });
    for (const tab of this.tabs()) tab.onclick = () => this.choose(/** @type {Objective} */ (tab.dataset.name));
    ui.tabs.onkeydown = (event) => {
      const by = { ArrowLeft: -1, ArrowRight: 1, Home: -OBJECTIVES.length, End: OBJECTIVES.length }[event.key];
      if (by === undefined) return;
      event.preventDefault();
      const at = OBJECTIVES.findIndex(([name]) => name === this.model.get("objective")) + by;
      const place = Math.max(0, Math.min(OBJECTIVES.length - 1, at));
      this.choose(OBJECTIVES[place][0]);
      this.tabs()[place].focus();
    };
    const targetOf = (/** @type {Event} */ { target }) => {
      const found = target instanceof Element ? target.closest("[data-k]") : null;
      return found instanceof HTMLElement ? Number(found.dataset.k) : null;
    };
    ui.targets.onclick = (event) => this.set({ target: targetOf(event) ?? this.model.get("target") });
    ui.targets.onpointerover = (event) => this.hover(targetOf(event));
    ui.targets.onpointerleave = () => this.hover(null);
    ui.targets.onkeydown = (event) => {
      const last = this.lesson ? this.lesson.targets.length - 1 : 0;
      const at = this.model.get("target");
      const to = { ArrowLeft: at - 1, ArrowUp: at - 1, ArrowRight: at + 1, ArrowDown: at + 1, Home: 0, End: last }[
        event.key
      ];
      if (to === undefined) return;
      event.preventDefault();
      this.set({ target: Math.max(0, Math.min(last, to)) });
      /** @type {HTMLElement} */ (ui.targets.children[this.model.get("target")]).focus();
    };
    ui.details.ontoggle = () => this.drawRows();
  }

  tabs() {
    return /** @type {HTMLElement[]} */ (Array.from(this.ui.tabs.children));
  }

  words() {
    return (this.model.get("text").match(/\S+/g) ?? []).slice(0, MOST_WORDS);
  }

  /** @param {Objective} objective */
  choose(objective) {
    this.set({ objective, target: 0 });
  }

  /** @param {number | null} target */
  hover(target) {
    this.hovered = target;
    this.drawTarget();
  }

  /** @param {Partial<Sight>} values */
  set(values) {
    const entries = /** @type {[keyof Sight, Sight[keyof Sight]][]} */ (Object.entries(values));
    this.busy = true;
    for (const [name, value] of entries) this.model.set(name, value);
    this.busy = false;
    this.model.save_changes();
    this.draw();
  }

  /** What chance has decided. */
  chances() {
    const { model } = this;
    return {
      masked: model.get("masked"),
      lost: model.get("lost"),
      order: model.get("order"),
      predicted: model.get("predicted"),
      prefix: model.get("prefix"),
    };
  }

  draw() {
    const { model, ui } = this;
    const words = this.words();
    if (words.length > 1 && model.get("order").length !== words.length) {
      this.set(drawChances(words.length)); // which draws, too
      return;
    }
    this.lesson = words.length > 1 ? lessonOf(model.get("objective"), words, this.chances()) : null;
    this.drawControls();
    for (const part of Array.from(ui.panel.children)) part.toggleAttribute("hidden", !this.lesson);
    if (!this.lesson) return;
    const { about, inputs, targets, matrices } = this.lesson;
    ui.about.textContent = about;
    ui.inputs.replaceChildren(
      ...inputs.map(([name, words]) =>
        make("p", {}, make("span", { className: "ca-title" }, `${name} `), ...chips(words)),
      ),
    );
    const asked = targets.map(({ word }) => word);
    if (asked.join(" ") !== this.asked) {
      // else the focus stays where it is
      const option = (/** @type {string} */ word, /** @type {number} */ k) =>
        make("bdi", { className: "ca-word", role: "option", "data-k": k }, word);
      ui.targets.replaceChildren(...asked.map(option));
      this.asked = asked.join(" ");
    }
    ui.masks.replaceChildren(...matrices.map(matrixOf));
    this.hovered = null;
    this.drawTarget();
    this.drawRows();
  }

  /** The box, what is said below it, and the tabs. */
  drawControls() {
    const { model, ui } = this;
    const objective = model.get("objective");
    const count = (model.get("text").match(/\S+/g) ?? []).length;
    const tooMany = count > MOST_WORDS ? `The first ${MOST_WORDS} of ${count} words are shown.` : "";
    ui.note.textContent = count < 2 ? "Type two words or more." : tooMany;
    if (ui.box.value !== model.get("text")) ui.box.value = model.get("text");
    for (const tab of this.tabs()) {
      const chosen = tab.dataset.name === objective;
      tab.setAttribute("aria-selected", String(chosen));
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) ui.panel.setAttribute("aria-labelledby", tab.id);
    }
    ui.draw.hidden = objective === "causal";
  }

  /** The chosen target, or the one under the pointer: its row, and the words that it is predicted from. */
  drawTarget() {
    const { model, ui, lesson } = this;
    if (!lesson) return;
    const chosen = Math.min(model.get("target"), lesson.targets.length - 1);
    for (const [k, one] of /** @type {HTMLElement[]} */ (Array.from(ui.targets.children)).entries()) {
      one.setAttribute("aria-selected", String(k === chosen));
      one.tabIndex = k === chosen ? 0 : -1;
    }
    const { word, matrix, row } = lesson.targets[this.hovered ?? chosen];
    const { columns, allowed } = lesson.matrices[matrix];
    const read = columns.filter((_, j) => allowed[row][j]);
    const names = read.length ? chips(read) : ["nothing"];
    ui.reads.replaceChildren(
      make("b", { dir: "auto" }, word),
      ` is predicted from ${read.length} of ${columns.length}: `,
      ...names,
    );
    for (const [at, mask] of Array.from(ui.masks.children).entries()) {
      for (const [i, line] of mask.querySelectorAll(".ca-sight:not(.ca-above)").entries()) {
        line.classList.toggle("ca-here", at === matrix && i === row);
      }
    }
  }

  drawRows() {
    const { ui, lesson } = this;
    if (!ui.details.open || !lesson) return;
    const header = make("tr", {}, ...["who", "sees"].map((name) => make("th", { scope: "col" }, name)));
    const tables = lesson.matrices.map(({ title, rows, columns, allowed }) => {
      const lines = rows.map((word, i) => {
        const seen = columns.filter((_, j) => allowed[i][j]).join(" ");
        return make("tr", {}, make("td", {}, word), make("td", {}, seen || "nothing"));
      });
      const [head, body] = [make("thead", {}, header.cloneNode(true)), make("tbody", {}, ...lines)];
      return make("table", { className: "ca-sees" }, make("caption", {}, title), head, body);
    });
    ui.rows.replaceChildren(...tables);
  }

  stop() {
    for (const forget of this.forget) forget();
  }
}

/**
 * Draw who sees whom into an element; the function returned takes it away from all that it listens to.
 *
 * @param {{ model: Model<Sight>, el: HTMLElement }} host
 */
export function renderSight({ model, el }) {
  const view = new SightView(model, el);
  return () => view.stop();
}

export default { render: renderSight };
