// NextTokenView: a model's next token, drawn by dials that the reader turns, and what was written as a tree.

import { DIALS } from "./next_token_parts.js";
import { NextTokenPicture } from "./next_token_picture.js";
import { Source } from "./next_token_source.js";
import { grow, newRoot, pathTo, prune, stepInTree } from "./token_tree.js";

/** @import { LiveModels } from "../browser/live.js" */
/** @import { Leaf, Model, NextTokenState } from "./types" */

const QUICK = 15; // ms without a keystroke before a model reads; a slow one waits longer
const SLOW = 700;
const NUMBER_FIELDS = /** @type {const} */ (["seed", "longest"]);
const DRAWN = /** @type {const} */ (["temperature", "top_k", "top_p", "min_p", "model_name", ...NUMBER_FIELDS]);

class NextTokenView extends NextTokenPicture {
  /** @type {Promise<void> | null} */
  reading = null;
  /** @type {number | undefined} */
  pause = undefined;
  answered = 0;

  /**
   * @param {Model<NextTokenState>} model
   * @param {HTMLElement} el
   * @param {Source} source
   */
  constructor(model, el, source) {
    super(model, el, source);
    this.listenToModel();
    this.listenToControls();
    this.listenToBox();
    this.listenToBars();
    this.start();
  }

  async start() {
    this.offer = await this.source.offer();
    await this.visit(this.root);
  }

  listenToModel() {
    const { model, ui } = this;
    const redraw = () => this.refresh();
    const begin = () => {
      ui.box.value = model.get("text");
      this.read();
    };
    for (const name of DRAWN) model.on(`change:${name}`, redraw);
    model.on("change:text", begin);
    this.forget.push(() => {
      for (const name of DRAWN) model.off(`change:${name}`, redraw);
      model.off("change:text", begin);
    });
  }

  listenToControls() {
    const { ui, model } = this;
    for (const [k, dial] of DIALS.entries()) {
      const { input } = ui.dials[k];
      input.oninput = () => this.set(dial.name, dial.value(Number(input.value)));
    }
    for (const name of NUMBER_FIELDS) {
      const field = ui[name];
      field.onchange = () => {
        const [least, most] = [Number(field.min), Number(field.max)];
        this.set(name, Math.max(least, Math.min(most, Math.floor(Number(field.value)) || least)));
      };
    }
    ui.reseed.onclick = () => this.set("seed", model.get("seed") + 1);
    ui.one.onclick = () => this.goOn(1);
    ui.run.onclick = () => (this.running ? this.run(false) : this.goOn(model.get("longest")));
    ui.load.onclick = () => this.load();
    ui.cancel.onclick = () => this.source.cancel();
    ui.examples.onclick = ({ target }) => {
      const button = target instanceof Element ? target.closest("button") : null;
      if (button) this.type(button.textContent, 0);
    };
    ui.tree.onkeydown = (event) => this.walk(event);
  }

  listenToBox() {
    const { box } = this.ui;
    box.oninput = (event) => {
      if (!(event instanceof InputEvent && event.isComposing)) this.type(box.value, this.source.slow ? SLOW : QUICK);
    };
    box.addEventListener("compositionend", () => this.type(box.value, QUICK));
    box.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.type(box.value, 0);
    };
  }

  listenToBars() {
    for (const { button } of [...this.ui.rows, this.ui.drawn]) {
      const point = (/** @type {boolean} */ here) => () => {
        this.pointed = here ? Number(button.dataset.rank) : null;
        this.refresh();
      };
      button.onclick = () => {
        this.run(false);
        this.append(Number(button.dataset.rank));
      };
      button.onpointerenter = button.onfocus = point(true);
      button.onpointerleave = button.onblur = point(false);
    }
  }

  /**
   * @template {keyof NextTokenState} Name
   * @param {Name} name
   * @param {NextTokenState[Name]} value
   */
  set(name, value) {
    this.model.set(name, value);
    this.model.save_changes();
    this.refresh();
  }

  /**
   * @param {string} text
   * @param {number} wait ms until it is read
   */
  type(text, wait) {
    this.ui.box.value = text;
    this.run(false);
    clearTimeout(this.pause);
    this.pause = setTimeout(() => this.read(), wait);
  }

  async load() {
    this.loading = "0";
    await this.read(true);
    this.loading = "";
    this.offer = await this.source.offer();
    this.refresh();
  }

  /**
   * Begin a tree with the text in the box: one question at a time, and the newest text wins.
   *
   * @param {boolean} [loads] the model first
   */
  read(loads = false) {
    this.reading ??= this.readAll(loads).finally(() => {
      this.reading = null;
    });
    return this.reading;
  }

  /** @param {boolean} loads */
  async readAll(loads) {
    let text = "";
    do {
      text = this.ui.box.value;
      if (loads || (this.stale && !this.offer)) await this.begin(text, loads);
    } while (this.ui.box.value !== text);
  }

  /**
   * @param {string} text
   * @param {boolean} loads
   */
  async begin(text, loads) {
    const root = newRoot();
    if (!(await this.ask(root, text, loads)) || text !== this.ui.box.value) return;
    this.offer = await this.source.offer();
    this.root = root;
    this.rate = 0;
    this.shownText = text;
    this.set("text", text);
    this.show(root);
  }

  /**
   * What follows a token of the tree; where there is no answer the reason is shown, and nothing else changes.
   *
   * @param {Leaf} leaf
   * @param {string} text
   * @param {boolean} [loads] the model, whatever the page knows
   */
  async ask(leaf, text, loads = false) {
    if (leaf.following) return leaf.following;
    this.busy += 1;
    this.refresh();
    try {
      leaf.following = await this.source.ask(text, this.idsTo(leaf), loads, ({ got, all }) => {
        this.loading = String(Math.min(1, got / all));
        this.refresh();
      });
      this.error = "";
      this.answered += 1;
    } catch (problem) {
      this.error = this.source.calledOff ? "" : /** @type {Error} */ (problem).message;
    }
    this.loading = "";
    this.busy -= 1;
    this.refresh();
    return leaf.following;
  }

  /**
   * Go to a token, with its answer.
   *
   * @param {Leaf} leaf
   */
  async visit(leaf) {
    const { root } = this;
    const following = await this.ask(leaf, this.shownText);
    if (this.root !== root) return false; // another text was begun meanwhile
    if (following) {
      leaf.token = leaf.parent ? following.tokens[following.tokens.length - 1] : ""; // one beyond the likeliest had no name
      this.show(leaf);
    } else prune(leaf);
    this.refresh();
    return Boolean(following);
  }

  /**
   * Go to a token of the tree that the reader chose.
   *
   * @param {Leaf} leaf
   */
  async choose(leaf) {
    this.run(false);
    await this.visit(leaf);
    this.draw();
    /** @type {HTMLElement | null} */ (this.ui.tree.querySelector("[aria-current]"))?.focus();
  }

  /** @param {KeyboardEvent} event */
  walk(event) {
    if (!event.key.startsWith("Arrow")) return;
    event.preventDefault();
    const there = stepInTree(this.at, event.key, pathTo(this.tip));
    if (there) this.choose(there);
  }

  /** @param {number} rank */
  async append(rank) {
    if (!this.seen) return false;
    const choice = this.seen.choice(rank);
    return this.canAppend(choice.id) && (await this.visit(grow(this.at, choice)));
  }

  /**
   * Write up to so many tokens, each one drawn.
   *
   * @param {number} count
   */
  async goOn(count) {
    if (this.running) return;
    if (this.stale) await this.read();
    if (this.stale) return; // it was refused, and a line says why
    this.run(count > 1);
    const start = performance.now();
    const known = this.answered;
    for (let done = 1; done <= count; done += 1) {
      if (!(await this.append(this.drawn.rank))) break;
      const read = this.answered - known; // what was written before is walked, and takes no time
      if (read === done) this.rate = (1000 * read) / (performance.now() - start);
      if (!this.running || this.seen?.following.ends) break;
      await new Promise(requestAnimationFrame); // so that each token is seen
    }
    this.run(false);
  }

  stop() {
    for (const forget of this.forget) forget();
    this.run(false);
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    clearTimeout(this.pause);
  }
}

/**
 * Draw what a model would write next into an element; the function returned takes it away from what it listens to.
 *
 * @param {{ model: Model<NextTokenState>, el: HTMLElement, book?: { models: LiveModels } | null, name?: string }} host
 */
export function renderNextToken({ model, el, book, name = "" }) {
  const view = new NextTokenView(model, el, new Source(model, book?.models, name));
  return () => view.stop();
}

export default { render: renderNextToken };
