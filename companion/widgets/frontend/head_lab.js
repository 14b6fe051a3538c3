// HeadLab: heads switched off or patched, and what that does to the next token and to the loss of the text.

import { drawOfferIn, statusOf, Timers } from "./ask_parts.js";
import { followTheme, make, percent } from "./elements.js";
import { chosenNow, inOrder, keyOf, toggled } from "./head_choice.js";
import { buildLab, chanceRow, isShown, lossRow, lossToken, signed } from "./head_lab_parts.js";

/** @import { Head, LabState, Model } from "./types" */

const UNHURRIED = 15; // ms without a keystroke before the model is asked
const DIMMED_AFTER = 400; // ms before numbers are called old
const READ_OUT_AFTER = 500; // ms before a change is read out
const ABOVE = 40; // pixels of the rows above the first head of a set
const TALL = 12; // layers; with more of them the text stands beside the heads
/** @type {Record<string, [down: number, right: number]>} */
const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };

/** @param {number[]} numbers */
const mean = (numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length;

class Lab {
  /** @type {(() => void)[]} */
  forget = [];
  timers = new Timers();
  /** @type {HTMLButtonElement[][]} by layer */
  heads = [];
  /** @type {Head} */
  at = [0, 0];
  spoken = "";

  /**
   * @param {Model<LabState>} model
   * @param {HTMLElement} el
   */
  constructor(model, el) {
    this.model = model;
    this.ui = buildLab();
    this.ui.box.value = model.get("text");
    this.ui.source.value = model.get("source");
    this.drawHeads();
    this.listen();
    this.draw();
    el.append(this.ui.root);
  }

  listen() {
    const { model, ui } = this;
    /** @type {(keyof LabState)[]} */
    const names = ["text", "source", "off", "patched", "presets", "result", "shown", "is_live", "error", "device"];
    for (const name of [...names, "latency_ms", "offer", "loading", "loaded"]) {
      const listener = () => this.draw();
      model.on(`change:${/** @type {keyof LabState} */ (name)}`, listener);
      this.forget.push(() => model.off(`change:${/** @type {keyof LabState} */ (name)}`, listener));
    }
    const typed = (/** @type {"text" | "source"} */ name, /** @type {HTMLTextAreaElement} */ box) => {
      box.oninput = () => this.timers.later(name, UNHURRIED, () => this.choose({ [name]: box.value }));
    };
    typed("text", ui.box);
    typed("source", ui.source);
    ui.load.onclick = () => this.choose({ loading: true });
    ui.cancel.onclick = () => this.choose({ loading: false });
    for (const radio of [ui.off, ui.patched]) radio.onchange = () => this.draw();
    ui.grid.onclick = (event) => this.press(event);
    ui.grid.onkeydown = (event) => this.key(event);
    ui.sets.onclick = (event) => {
      const button = event.target instanceof Element ? event.target.closest("button") : null;
      if (button) this.chooseSet(Number(button.dataset.set));
    };
    for (const kind of /** @type {const} */ (["pointerover", "pointerdown"])) {
      ui.words.addEventListener(kind, (event) => this.tell(event));
    }
    this.forget.push(followTheme(ui.root));
  }

  /** @param {Partial<LabState>} values */
  choose(values) {
    const known = this.model.get("prepared") ?? [];
    const key = keyOf({ ...chosenNow(this.model), ...values });
    const found = known.find(({ shown }) => keyOf(shown) === key);
    const all = found ? { ...values, ...found, error: "" } : values;
    for (const [name, value] of Object.entries(all)) {
      this.model.set(/** @type {keyof LabState} */ (name), value);
    }
    this.model.save_changes();
  }

  /** @param {number} number of a set, from 1; 0 = all heads as they are */
  chooseSet(number) {
    const chosen = number === 0 ? [] : this.model.get("presets")[number - 1]?.heads;
    if (!chosen) return;
    this.choose({ off: inOrder(chosen), patched: [] });
    const [first] = this.model.get("off");
    if (first) this.ui.grid.scrollTop = this.heads[first[0]][first[1]].offsetTop - ABOVE; // where the grid scrolls
  }

  /**
   * Switch a head off or on, or patch it or leave it.
   *
   * @param {Head} head
   * @param {"off" | "patched"} how
   */
  toggle(head, how) {
    if (this.model.get("is_live")) this.choose(toggled(chosenNow(this.model), head, how));
  }

  get mode() {
    return this.ui.patched.checked ? "patched" : "off";
  }

  /** @param {Event} event */
  press(event) {
    const button = event.target instanceof Element ? event.target.closest("button") : null;
    if (!button) return;
    this.moveTo([Number(button.dataset.layer), Number(button.dataset.head)]);
    this.toggle(this.at, this.mode);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const [down, right] = STEPS[event.key] ?? [0, 0];
    const [layers, heads] = this.model.get("shape");
    const kept = (/** @type {number} */ k, /** @type {number} */ count) => Math.max(0, Math.min(count - 1, k));
    const letter = event.key.toLowerCase();
    if (down || right) this.moveTo([kept(this.at[0] + down, layers), kept(this.at[1] + right, heads)], true);
    else if (event.key === "Home") this.moveTo([this.at[0], 0], true);
    else if (event.key === "End") this.moveTo([this.at[0], heads - 1], true);
    else if (letter === "p") this.patch();
    else if (letter === "r") this.chooseSet(0);
    else if (/^[1-9]$/.test(letter)) this.chooseSet(Number(letter));
    else return;
    event.preventDefault();
  }

  patch() {
    if (!this.model.get("is_live")) return;
    this.ui.patched.checked = true;
    this.toggle(this.at, "patched");
  }

  /**
   * @param {Head} head
   * @param {boolean} [focus]
   */
  moveTo(head, focus = false) {
    const button = (/** @type {Head} */ [layer, at]) => this.heads[layer][at];
    button(this.at).tabIndex = -1;
    this.at = head;
    button(head).tabIndex = 0;
    if (focus) button(head).focus();
  }

  /**
   * Say the loss of the token under the pointer.
   *
   * @param {Event} event
   */
  tell(event) {
    const token = event.target instanceof Element ? event.target.closest(".ca-token") : null;
    if (token instanceof HTMLElement) this.ui.told.textContent = token.title;
  }

  /** The grid: a row for each layer, a column for each head. */
  drawHeads() {
    const [layers, heads] = this.model.get("shape");
    this.ui.grid.style.setProperty("--heads", String(heads));
    this.ui.main.toggleAttribute("data-tall", layers > TALL);
    const named = (/** @type {number | string} */ what) => make("span", { "aria-hidden": "true" }, String(what));
    const numbers = (/** @type {number} */ count) => Array.from({ length: count }, (_, k) => k);
    this.heads = numbers(layers).map((layer) =>
      numbers(heads).map((head) =>
        make("button", { type: "button", tabIndex: -1, "data-layer": layer, "data-head": head }),
      ),
    );
    const rows = this.heads.flatMap((row, layer) => [named(layer), ...row]);
    this.ui.grid.replaceChildren(named(""), ...numbers(heads).map(named), ...rows);
    this.moveTo([0, 0]);
  }

  draw() {
    const { model, ui } = this;
    const live = model.get("is_live");
    for (const [name, box] of /** @type {const} */ ([
      ["text", ui.box],
      ["source", ui.source],
    ])) {
      if (!this.timers.waits(name) && box.value !== model.get(name)) box.value = model.get(name); // from Python
    }
    ui.box.readOnly = !live;
    ui.ways.hidden = !live;
    ui.sourceField.hidden = !live || (this.mode === "off" && model.get("patched").length === 0);
    ui.hint.textContent = live
      ? "Arrow keys move. Space does what a click does, P patches, R switches all on, 1 to 9 choose a set."
      : "This page has no model: it knows the sets above. Single heads can be switched where there is one.";
    ui.error.textContent = model.get("error");
    ui.status.textContent = statusOf(model.get("model_name"), model.get("device"), model.get("latency_ms"));
    drawOfferIn(ui, model.get("offer"), {
      loading: model.get("loading"),
      loaded: model.get("loaded"),
      brings: "With it, each head can be switched, and the text be yours",
    });
    this.drawStates();
    this.drawSets();
    this.drawResult();
    this.drawOld();
  }

  drawStates() {
    const { model } = this;
    const live = model.get("is_live");
    const among = (/** @type {Head[]} */ heads) => new Set(heads.map(String));
    const [off, patched] = [among(model.get("off")), among(model.get("patched"))];
    for (const [layer, row] of this.heads.entries()) {
      for (const [head, button] of row.entries()) {
        const name = String([layer, head]);
        const how = off.has(name) ? "off" : patched.has(name) ? "patched" : "on";
        if (button.dataset.how !== how) {
          button.dataset.how = how;
          button.textContent = { on: "", off: "×", patched: "↦" }[how];
          button.setAttribute("aria-label", `Layer ${layer}, head ${head}: ${how}`);
          button.title = `layer ${layer}, head ${head}: ${how}`;
        }
        button.setAttribute("aria-disabled", String(!live));
      }
    }
  }

  drawSets() {
    const { model, ui } = this;
    const now = keyOf({ ...chosenNow(model), source: "" });
    const all = [{ name: "All heads on", heads: /** @type {Head[]} */ ([]) }, ...model.get("presets")];
    if (ui.sets.children.length !== all.length) {
      ui.sets.replaceChildren(...all.map((_, k) => make("button", { type: "button", "data-set": k })));
    }
    for (const [k, { name, heads }] of all.entries()) {
      const button = ui.sets.children[k];
      button.textContent = heads.length ? `Without ${name}` : name;
      const chosen = keyOf({ text: model.get("text"), off: heads, patched: [], source: "" }) === now;
      button.setAttribute("aria-pressed", String(chosen));
    }
  }

  drawResult() {
    const { model, ui } = this;
    const { tokens, mask, chances, losses } = model.get("result");
    ui.nextTitle.textContent = mask ? `Behind ${mask}` : "Next token";
    ui.rows.replaceChildren(...chances.filter(isShown).map(chanceRow));
    ui.chances.hidden = chances.length === 0;
    ui.nothing.hidden = chances.length > 0;
    ui.nothing.textContent = `The text has no ${mask} to fill in.`;
    ui.strip.hidden = losses.length === 0;
    const [before, after] = [0, 1].map((which) => mean(losses.map((loss) => loss[which])));
    ui.loss.replaceChildren(
      "Loss, in nats per token: ",
      make("span", { className: "cl-key" }, `${before.toFixed(3)} with all heads`),
      ", ",
      make("span", { className: "cl-key cl-now" }, `${after.toFixed(3)} as chosen`),
      ` (${signed(after - before, 3)}). Shaded tokens are predicted worse now, underlined ones better.`,
    );
    ui.words.replaceChildren(...tokens.map((token, i) => lossToken(token, losses[i - 1])));
    ui.told.textContent = "Point at a token to read its loss.";
    ui.table.replaceChildren(...tokens.slice(1).map((token, i) => lossRow(token, losses[i] ?? [0, 0])));
    this.speak();
  }

  /** Read out what a change did, once it has settled. */
  speak() {
    const { model, ui } = this;
    const { chances, losses } = model.get("result");
    const { off, patched } = model.get("shown");
    const heads = [`${off.length} heads off`, patched.length && `${patched.length} patched`].filter(Boolean).join(", ");
    const [first] = chances;
    const likely = first ? ` ${first.token}: ${percent(first.before)}, now ${percent(first.after)}.` : "";
    const [before, after] = [0, 1].map((which) => mean(losses.map((loss) => loss[which])).toFixed(2));
    const words = `${heads}.${likely}${losses.length ? ` Loss ${before}, now ${after}.` : ""}`;
    if (words === this.spoken) return;
    const first_time = this.spoken === "";
    this.spoken = words;
    if (!first_time) this.timers.later("speech", READ_OUT_AFTER, () => (ui.summary.textContent = words));
  }

  /** Numbers that are of other heads, or of another text, are dimmed and say so. */
  drawOld() {
    const { model, ui } = this;
    const old = () => keyOf(chosenNow(model)) !== keyOf(model.get("shown"));
    const show = () => {
      ui.root.classList.toggle("ca-old", old());
      ui.stale.hidden = !old();
    };
    ui.status.classList.toggle("ca-busy", old() && !model.get("error") && !model.get("offer"));
    if (old()) this.timers.later("ageing", DIMMED_AFTER, show);
    else show();
  }

  stop() {
    for (const forget of this.forget) forget();
    this.timers.stop();
  }
}

/**
 * Draw a head lab into an element; the function returned takes it away from all that it listens to.
 *
 * @param {object} host
 * @param {Model<LabState>} host.model
 * @param {HTMLElement} host.el
 */
export function renderLab({ model, el }) {
  const lab = new Lab(model, el);
  return () => lab.stop();
}

export default { render: renderLab };
