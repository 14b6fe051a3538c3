// What a NextTokenView shows: the bars, the line that is drawn from, the formula and the tree; it answers nobody yet.

import { followTheme, make, percent } from "./elements.js";
import { buildNextToken, DIALS } from "./next_token_parts.js";
import { Distribution, normaliser, randomAt, rankAt } from "./sampling.js";
import { branch, newRoot, pathTo } from "./token_tree.js";

/** @import { BarRow } from "./next_token_parts.js" */
/** @import { Source } from "./next_token_source.js" */
/** @import { Choice } from "./sampling.js" */
/** @import { Dials, Leaf, Model, NextTokenState, Offer } from "./types" */

const BARS = 10;

/** What is written, and what is pointed at, live here; the dials in the model. */
export class NextTokenPicture {
  root = newRoot();
  /** @type {Leaf} */
  at = this.root;
  /** @type {Leaf} the end of the branch that is shown */
  tip = this.root;
  error = "";
  running = false;
  rate = 0;
  busy = 0;
  said = "";
  loading = "";
  /** @type {number | null} rank of the bar that is pointed at */
  pointed = null;
  /** @type {Offer | undefined} */
  offer = undefined;
  /** @type {Distribution | null} */
  seen = null;
  /** @type {number | undefined} */
  frame = undefined;

  /**
   * @param {Model<NextTokenState>} model
   * @param {HTMLElement} el
   * @param {Source} source
   */
  constructor(model, el, source) {
    this.model = model;
    this.source = source;
    this.ui = buildNextToken(BARS);
    el.append(this.ui.root);
    this.forget = [followTheme(this.ui.root)];
    this.ui.box.value = this.shownText = model.get("text");
  }

  /** @returns {Dials} */
  get dials() {
    const [temperature, top_k] = [this.model.get("temperature"), this.model.get("top_k")];
    return { temperature, top_k, top_p: this.model.get("top_p"), min_p: this.model.get("min_p") };
  }

  /** Whether the reader has typed a text that was not read yet. */
  get stale() {
    return this.ui.box.value !== this.shownText;
  }

  /** The token that is drawn here, and the number that draws it. */
  get drawn() {
    const number = randomAt(this.model.get("seed"), this.at.depth);
    if (!this.seen) return { number, rank: 0 };
    this.seen.turn(this.dials);
    return { number, rank: rankAt(this.seen.kept, number) };
  }

  /** @param {Leaf} leaf */
  idsTo(leaf) {
    return pathTo(leaf).map(({ id }) => id);
  }

  /**
   * Whether a token can be written after the one that is shown: somebody answers, or has answered.
   *
   * @param {number} id
   */
  canAppend(id) {
    const answered = this.source.answers && !this.stale && !this.offer;
    return answered || this.source.knows(this.shownText, [...this.idsTo(this.at), id]);
  }

  /**
   * Go to a token of the tree that the reader chose.
   *
   * @param {Leaf} _leaf
   */
  choose(_leaf) {}

  /**
   * Show a token that was answered; the branch goes on to where it led before.
   *
   * @param {Leaf} leaf
   */
  show(leaf) {
    const path = [this.root, ...pathTo(this.tip)];
    if (!path.includes(leaf) || this.tip === leaf.parent) this.tip = leaf;
    this.at = leaf;
    this.pointed = null;
    this.seen = leaf.following && new Distribution(leaf.following);
    if (leaf.parent) this.said = `${leaf.token}, token ${leaf.depth}`;
    this.model.set("written", leaf.following?.written ?? "");
    this.model.save_changes();
    this.refresh();
  }

  /** @param {boolean} on whether token follows token */
  run(on) {
    this.running = on;
    this.refresh();
  }

  refresh() {
    this.frame ??= requestAnimationFrame(() => this.draw());
  }

  draw() {
    if (this.frame !== undefined) cancelAnimationFrame(this.frame);
    this.frame = undefined;
    if (this.source.ready) this.offer = undefined;
    this.drawControls();
    this.drawOffer();
    if (this.seen) this.drawBars();
    this.drawTree();
  }

  drawControls() {
    const { ui, model, seen } = this;
    for (const [k, { name, position, say }] of DIALS.entries()) {
      const { input, output } = ui.dials[k];
      input.value = String(position(model.get(name)));
      output.value = say(model.get(name));
      input.setAttribute("aria-valuetext", output.value);
    }
    for (const name of /** @type {const} */ (["seed", "longest"])) {
      if (document.activeElement !== ui[name]) ui[name].value = String(model.get(name));
    }
    const examples = model.get("examples");
    if (ui.examples.childElementCount !== examples.length) {
      ui.examples.replaceChildren(...examples.map((text) => make("button", { type: "button" }, text)));
    }
    const answers = this.source.answers;
    ui.box.hidden = ui.question.hidden = !answers;
    ui.examples.hidden = !answers || examples.length === 0;
    const read = this.stale && answers && !this.offer;
    const able = read || (seen !== null && this.canAppend(seen.choice(this.drawn.rank).id));
    ui.one.setAttribute("aria-disabled", String(!able || this.running));
    ui.run.setAttribute("aria-disabled", String(!able && !this.running));
    ui.run.textContent = this.running ? "Stop" : "Run";
    const { device = "", latency_ms = 0 } = seen?.following ?? {};
    const speed = this.rate > 0 && `${this.rate.toFixed(this.rate < 10 ? 1 : 0)} tokens per second`;
    const facts = [model.get("model_name"), device, latency_ms > 0 && `${Math.round(latency_ms)} ms`, speed];
    ui.status.textContent = facts.filter(Boolean).join(" · ");
    ui.status.classList.toggle("ca-busy", this.busy > 0);
    ui.error.textContent = this.error;
    ui.box.setAttribute("aria-invalid", String(Boolean(this.error)));
    ui.main.classList.toggle("nt-old", this.stale);
    ui.said.textContent = this.said;
  }

  drawOffer() {
    const { ui, offer } = this;
    const loading = this.loading !== "";
    const held = ui.offer.contains(document.activeElement);
    ui.offer.hidden = !offer;
    ui.load.hidden = loading;
    ui.progress.hidden = ui.cancel.hidden = !loading;
    ui.progress.value = Number(this.loading);
    if (offer) {
      const [size, more] = [offer.bytes, offer.runtime].map((bytes) => `${Math.round(bytes / 1e6)} MB`);
      ui.load.textContent = `Load ${offer.title}, ${size}`;
      ui.note.textContent = `and what runs it, ${more}: once, your browser keeps both. Until then, turn the dials.`;
    }
    if (held) (offer ? [ui.load, ui.cancel][Number(loading)] : ui.box).focus();
  }

  drawBars() {
    const { ui, seen } = this;
    if (!seen) return;
    const { number, rank } = this.drawn;
    const count = Math.min(BARS, seen.order.length);
    const shown = Array.from({ length: count }, (_, k) => seen.choice(k));
    const drawn = seen.choice(rank);
    const most = Math.max(...[...shown, drawn].map(({ raw, chance }) => Math.max(raw, chance)));
    const scale = [0.1, 0.25, 0.5].find((end) => most <= end) ?? 1;
    for (const [k, row] of ui.rows.entries()) {
      row.item.hidden = k >= count;
      if (k < count) this.drawRow(row, shown[k], k, rank === k, scale);
    }
    ui.drawn.item.hidden = rank < count;
    if (rank >= count) this.drawRow(ui.drawn, drawn, rank, true, scale);
    this.drawOthers([...shown, ...(rank < count ? [] : [drawn])], scale);
    const before = this.at.parent ? this.at.token : "the text";
    ui.place.replaceChildren("After ", make("b", {}, before), `: the next token; a full bar is ${100 * scale} %`);
    this.drawLine(number, rank, count);
    this.drawFormula(seen.choice(this.pointed ?? rank));
  }

  /**
   * @param {BarRow} row
   * @param {Choice} choice
   * @param {number} rank
   * @param {boolean} isDrawn
   * @param {number} scale
   */
  drawRow(row, choice, rank, isDrawn, scale) {
    row.item.className = isDrawn ? "nt-drawn" : choice.kept ? "" : "nt-out";
    row.button.dataset.rank = String(rank);
    row.button.setAttribute("aria-disabled", String(!this.canAppend(choice.id)));
    row.name.textContent = choice.token;
    row.note.textContent = isDrawn ? "drawn:" : choice.kept ? "" : "excluded:";
    row.raw.style.setProperty("--w", (choice.raw / scale).toFixed(4));
    row.now.style.setProperty("--w", (choice.chance / scale).toFixed(4));
    row.before.textContent = percent(choice.raw);
    row.after.textContent = percent(choice.chance);
  }

  /**
   * @param {Choice[]} named
   * @param {number} scale
   */
  drawOthers(named, scale) {
    const { ui, seen } = this;
    const count = (seen?.order.length ?? 0) - named.length;
    ui.others.item.hidden = count <= 0;
    const [raw, chance] = [1, 1].map((all, k) => named.reduce((rest, one) => rest - [one.raw, one.chance][k], all));
    const rest = { id: -1, token: `${count.toLocaleString("en")} others`, logit: 0, kept: chance > 1e-9 };
    this.drawRow(ui.others, { ...rest, raw: Math.max(0, raw), chance: Math.max(0, chance) }, -1, false, scale);
    ui.others.button.disabled = true;
  }

  /**
   * The probabilities side by side, and where the random number falls.
   *
   * @param {number} number
   * @param {number} rank
   * @param {number} count
   */
  drawLine(number, rank, count) {
    const { ui, seen } = this;
    if (!seen) return;
    const parts = Array.from(seen.kept.subarray(0, count), (width, k) => {
      const part = make("i", { className: k === rank ? "nt-hit" : "" });
      part.style.setProperty("--w", width.toFixed(5));
      return part;
    });
    const needle = make("b");
    needle.style.setProperty("--at", number.toFixed(4));
    ui.line.replaceChildren(...parts, needle);
    const greedy = this.model.get("temperature") === 0;
    ui.line.classList.toggle("nt-greedy", greedy);
    const { token } = seen.choice(rank);
    const source = `Seed ${this.model.get("seed")} gives ${number.toFixed(3)} here, and that falls on `;
    ui.draw.replaceChildren(
      greedy ? "Greedy: nothing is drawn, the likeliest is taken, " : source,
      make("b", {}, token),
      ".",
    );
  }

  /** @param {Choice} choice */
  drawFormula({ token, logit, chance, kept }) {
    const { ui, seen } = this;
    if (!seen) return;
    const { temperature } = this.dials;
    const name = make("b", {}, token);
    const left = `of ${seen.order.length.toLocaleString("en")} tokens, ${seen.kept.length.toLocaleString("en")} kept`;
    if (!kept) return ui.formula.replaceChildren("p(", name, `) = 0: not kept; ${left}`);
    if (temperature === 0) return ui.formula.replaceChildren("p(", name, ") = 1: at T = 0 the likeliest has all");
    const sum = normaliser(seen.ordered, seen.kept.length, temperature);
    const power = make("sup", {}, `(${logit.toFixed(2)} − ${seen.ordered[0].toFixed(2)}) / ${temperature.toFixed(2)}`);
    ui.formula.replaceChildren("p(", name, ") = e", power, ` / ${sum.toFixed(3)} = ${percent(chance)}; ${left}`);
  }

  drawTree() {
    const { ui, at, root } = this;
    const held = ui.tree.contains(document.activeElement);
    ui.grown.hidden = root.children.length === 0;
    ui.tree.replaceChildren(...branch(root, (leaf) => this.chip(leaf)));
    if (held) /** @type {HTMLElement | null} */ (ui.tree.querySelector("[aria-current]"))?.focus();
    ui.text.hidden = at.parent === null;
    ui.text.replaceChildren(this.shownText, make("mark", {}, at.following?.written ?? ""));
  }

  /** @param {Leaf} leaf */
  chip(leaf) {
    const [here, aside] = [leaf === this.at, leaf.parent !== null && !pathTo(this.tip).includes(leaf)];
    const className = `nt-token${aside ? " nt-off" : ""}`;
    const button = make("button", { type: "button", className, tabIndex: here ? 0 : -1 });
    button.append(leaf.parent ? leaf.token : "text");
    if (here) button.setAttribute("aria-current", "true");
    button.style.setProperty("--w", Math.sqrt(leaf.parent ? leaf.chance : 0).toFixed(3));
    button.title = leaf.parent ? `${percent(leaf.raw)}; with the dials ${percent(leaf.chance)}` : this.shownText;
    button.onclick = () => this.choose(leaf);
    return button;
  }
}
