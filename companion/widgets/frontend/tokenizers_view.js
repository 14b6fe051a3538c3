// TokenizersView: one text under several tokenizers, cut again with each key.

import { ByteBPE } from "./byte_bpe.js";
import { followTheme, make } from "./elements.js";
import { buildTokenizers } from "./tokenizers_parts.js";

/** @import { LiveModels } from "../browser/live.js" */
/** @import { ByteVocabulary, Model, TokenizersState } from "./types" */

const SHOWN_TOKENS = 300; // of a longer text the others are counted
const TEXTS = 1000; // that the cost is of: one text costs next to nothing
const COLOURS = 5;
const SPOKEN_AFTER = 400; // ms without a key
const FIELDS = /** @type {const} */ (["text", "price", "examples"]);

/** @param {number} cost */
const asCost = (cost) => (cost === 0 ? "0" : cost < 0.01 ? cost.toPrecision(2) : cost.toFixed(2));

class TokenizersView {
  /** @type {(() => void)[]} */
  forget = [];
  /** @type {number | undefined} */
  frame = undefined;
  /** @type {number | undefined} */
  speech = undefined;

  /**
   * @param {Model<TokenizersState>} model
   * @param {HTMLElement} el
   * @param {LiveModels | undefined} models of the book, whose page has the vocabularies
   */
  constructor(model, el, models) {
    this.model = model;
    this.models = models;
    this.listed = model.get("listed");
    this.ui = buildTokenizers(this.listed.map(({ title }) => title));
    /** @type {(ByteBPE | null)[]} */
    this.cutters = this.listed.map(({ tokens, pieces, nfc, added }) => {
      return tokens ? new ByteBPE({ tokens, pieces: pieces ?? "", nfc: Boolean(nfc), added: added ?? {} }) : null;
    });
    el.append(this.ui.root);
    this.forget.push(followTheme(this.ui.root));
    this.listen();
    this.draw();
  }

  listen() {
    const { ui, model } = this;
    const refresh = () => this.refresh();
    for (const name of FIELDS) model.on(`change:${name}`, refresh);
    this.forget.push(() => {
      for (const name of FIELDS) model.off(`change:${name}`, refresh);
    });
    ui.box.value = model.get("text");
    ui.price.value = String(model.get("price"));
    ui.box.oninput = () => this.set("text", ui.box.value);
    ui.price.oninput = () => this.set("price", Math.max(0, Number(ui.price.value) || 0));
    ui.ids.onchange = refresh;
    ui.examples.onclick = ({ target }) => {
      const button = target instanceof Element ? target.closest("button") : null;
      const chosen = model.get("examples").find(({ title }) => title === button?.textContent);
      if (chosen) this.set("text", chosen.text);
    };
    ui.all.onclick = () => Promise.all(this.cutters.map((_, k) => this.load(k)));
    for (const [k, cut] of ui.cuts.entries()) cut.load.onclick = () => this.load(k);
  }

  /**
   * @template {"text" | "price"} Name
   * @param {Name} name
   * @param {TokenizersState[Name]} value
   */
  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
    this.refresh();
  }

  /**
   * Load a published vocabulary; what goes wrong stands beside its button, which tries again.
   *
   * @param {number} k
   */
  async load(k) {
    const { published = "" } = this.listed[k];
    const cut = this.ui.cuts[k];
    if (this.cutters[k] || cut.load.disabled || !this.isThere(k)) return;
    cut.load.disabled = true;
    cut.error.textContent = "";
    this.draw();
    try {
      this.cutters[k] = new ByteBPE(
        await (this.models ? this.models.vocabulary(published) : this.fromKernel(published)),
      );
    } catch (problem) {
      cut.error.textContent = /** @type {Error} */ (problem).message;
    }
    cut.load.disabled = false;
    this.draw();
    if (this.cutters[k] && document.activeElement === document.body) cut.tokens.focus({ preventScroll: true });
  }

  /**
   * @param {string} name
   * @returns {Promise<ByteVocabulary>}
   */
  fromKernel(name) {
    const { model } = this;
    return new Promise((resolve, reject) => {
      const hear = () => {
        const found = model.get("loaded")[name];
        if (!found) return;
        model.off("change:loaded", hear);
        if (found.error) reject(new Error(found.error));
        else resolve(found);
      };
      model.on("change:loaded", hear);
      model.set("wanted", name);
      model.save_changes();
    });
  }

  /**
   * Whether a published vocabulary can be had here: a kernel has all, a book those that it was built with.
   *
   * @param {number} k
   */
  isThere(k) {
    return this.model.get("is_live") || Boolean(this.models?.catalogue.tokenizers?.[this.listed[k].published ?? ""]);
  }

  refresh() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    this.frame = undefined;
    const { ui, model } = this;
    const text = model.get("text");
    if (ui.box.value !== text) ui.box.value = text;
    const examples = model.get("examples");
    if (ui.examples.childElementCount !== examples.length) {
      ui.examples.replaceChildren(...examples.map(({ title }) => make("button", { type: "button" }, title)));
    }
    const characters = Array.from(text).length;
    const bytes = new TextEncoder().encode(text).length;
    ui.facts.textContent = `${characters.toLocaleString("en")} characters, ${bytes.toLocaleString("en")} bytes`;
    const cuts = this.cutters.map((cutter) => cutter?.encode(text) ?? null);
    const fewest = Math.min(...cuts.map((ids) => ids?.length ?? Number.POSITIVE_INFINITY));
    for (const [k, ids] of cuts.entries()) {
      this.drawNumbers(k, ids, characters, fewest);
      this.drawCut(k, ids);
    }
    this.drawAll();
    const counts = this.listed.map(({ title }, k) => cuts[k] && `${title} ${cuts[k].length}`).filter(Boolean);
    clearTimeout(this.speech);
    this.speech = setTimeout(() => {
      ui.said.textContent = `Tokens: ${counts.join(", ")}.`;
    }, SPOKEN_AFTER);
  }

  /** One button for all that is not loaded yet, which says how much that is. */
  drawAll() {
    const left = this.cutters.flatMap((cutter, k) => (cutter || !this.isThere(k) ? [] : [k]));
    const sizes = left.map((k) => this.models?.catalogue.tokenizers?.[this.listed[k].published ?? ""].bytes ?? 0);
    const total = sizes.reduce((sum, size) => sum + size, 0);
    this.ui.all.hidden = left.length < 2;
    this.ui.all.textContent = `Load all${total ? `, ${(total / 1e6).toFixed(1)} MB` : ""}`;
  }

  /**
   * @param {number} k
   * @param {number[] | null} ids
   * @param {number} characters
   * @param {number} fewest
   */
  drawNumbers(k, ids, characters, fewest) {
    const { cells, row } = this.ui.cuts[k];
    row.classList.toggle("tk-fewest", ids !== null && ids.length === fewest && this.cutters.length > 1);
    const size = this.cutters[k]?.size.toLocaleString("en") ?? "–";
    if (!ids)
      return [size, "–", "–", "–"].forEach((text, column) => {
        cells[column].textContent = text;
      });
    const cost = (ids.length * this.model.get("price") * TEXTS) / 1e6;
    const each = characters > 0 ? (ids.length / characters).toFixed(2) : "–";
    const texts = [size, ids.length.toLocaleString("en"), each, asCost(cost)];
    for (const [column, text] of texts.entries()) cells[column].textContent = text;
  }

  /**
   * @param {number} k
   * @param {number[] | null} ids
   */
  drawCut(k, ids) {
    const [cut, cutter, { title, published = "" }] = [this.ui.cuts[k], this.cutters[k], this.listed[k]];
    cut.load.hidden = ids !== null;
    cut.tokens.hidden = !ids || ids.length === 0;
    if (!ids || !cutter) {
      const file = this.models?.catalogue.tokenizers?.[published];
      const size = file ? `, ${(file.bytes / 1e6).toFixed(1)} MB` : "";
      cut.load.hidden = !this.isThere(k);
      cut.load.textContent = cut.load.disabled ? "Loading …" : `Load ${title}’s vocabulary${size}`;
      cut.more.textContent = this.isThere(k) ? "" : "This book was built without it.";
      return;
    }
    const chips = ids.slice(0, SHOWN_TOKENS).map((id, place) => {
      const chip = make("li", { className: `tk-${place % COLOURS}` }, cutter.label(id));
      if (this.ui.ids.checked) chip.append(make("small", {}, String(id)));
      else chip.title = `token ${id}`;
      return chip;
    });
    cut.tokens.replaceChildren(...chips);
    const rest = ids.length - chips.length;
    cut.more.textContent = rest > 0 ? `and ${rest.toLocaleString("en")} more` : "";
  }

  stop() {
    for (const forget of this.forget) forget();
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    clearTimeout(this.speech);
  }
}

/**
 * Draw one text under several tokenizers; the function returned takes the view away from what it listens to.
 *
 * @param {{ model: Model<TokenizersState>, el: HTMLElement, book?: { models: LiveModels } | null }} host
 */
export function renderTokenizers({ model, el, book }) {
  const view = new TokenizersView(model, el, book?.models);
  return () => view.stop();
}

export default { render: renderTokenizers };
