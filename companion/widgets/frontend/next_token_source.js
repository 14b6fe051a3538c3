// Who answers a NextTokenView: what the page was built with, the models of the book, or a kernel.

/** @import { LiveModels, Loading } from "../browser/live.js" */
/** @import { Following, Model, NextTokenState, PackedFollowing } from "./types" */

const NAMED_TOKENS = 40; // as in next_token.py
const LOGIT_STEP = 2048;
const NOBODY = "This page has no model: only what was written before it was made can be walked.";

/**
 * @param {PackedFollowing} answer
 * @returns {Following}
 */
export function unpackFollowing({ logits, ...answer }) {
  const letters = atob(logits);
  const code = (/** @type {number} */ k) => letters.charCodeAt(2 * k) + 256 * letters.charCodeAt(2 * k + 1);
  const most = answer.candidates[0].logit;
  const numbers = Float32Array.from({ length: letters.length / 2 }, (_, k) => most - code(k) / LOGIT_STEP);
  for (const { id, logit } of answer.candidates) numbers[id] = logit; // those that are named are exact
  return { ...answer, logits: numbers };
}

export class Source {
  calledOff = false;

  /**
   * @param {Model<NextTokenState>} model
   * @param {LiveModels | undefined} models of the book
   * @param {string} name
   */
  constructor(model, models, name) {
    this.model = model;
    this.models = models?.catalogue.models[name] ? models : undefined; // the book may be built without it
    this.name = name;
    this.known = new Map(model.get("answers").map((answer) => [Source.key(answer.text, answer.after), answer]));
  }

  /**
   * @param {string} text
   * @param {number[]} after
   */
  static key(text, after) {
    return JSON.stringify([text, after]);
  }

  /** Whether any text can be asked about. */
  get answers() {
    return Boolean(this.models) || this.model.get("is_live");
  }

  /** Whether each answer takes a moment, so that a text is better not read at each key. */
  get slow() {
    return Boolean(this.models?.catalogue.models[this.name].asked);
  }

  /** Whether the model has answered on this page, maybe another view. */
  get ready() {
    return Boolean(this.models?.ready.has(this.name));
  }

  /** What must be loaded on a click before anything can be asked. */
  async offer() {
    return this.models && !this.ready ? this.models.offer(this.name) : undefined;
  }

  cancel() {
    this.calledOff = true;
    this.models?.cancel(this.name);
  }

  /**
   * @param {string} text
   * @param {number[]} after
   */
  knows(text, after) {
    return this.known.has(Source.key(text, after));
  }

  /**
   * @param {string} text
   * @param {number[]} after
   * @param {boolean} loads the model, whatever the page knows
   * @param {Loading} loading
   * @returns {Promise<Following>}
   */
  async ask(text, after, loads, loading) {
    this.calledOff = false;
    const known = loads ? undefined : this.known.get(Source.key(text, after));
    if (known) return unpackFollowing(known);
    if (this.models) {
      const answer = await this.models.run(this.name, text, { after, count: NAMED_TOKENS, loading });
      const { tokens, written, ends, next_tokens, logits, device, latency_ms } = answer;
      return { text, after, tokens, written, ends, candidates: next_tokens, logits, device, latency_ms };
    }
    if (!this.model.get("is_live")) throw new Error(NOBODY);
    return unpackFollowing(await this.askKernel(text, after));
  }

  /**
   * @param {string} text
   * @param {number[]} after
   * @returns {Promise<PackedFollowing>}
   */
  askKernel(text, after) {
    const number = (this.model.get("question").number ?? 0) + 1; // whichever view of the same model asked last
    return new Promise((resolve, reject) => {
      const hear = () => {
        const answer = this.model.get("answer");
        if (answer.number !== number) return;
        this.model.off("change:answer", hear);
        if (answer.error) reject(new Error(answer.error));
        else resolve(answer);
      };
      this.model.on("change:answer", hear);
      this.model.set("question", { number, text, after });
      this.model.save_changes();
    });
  }
}
