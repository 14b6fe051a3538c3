// The model in the page: starts a worker at the first keystroke and puts texts to it. Nothing is loaded before.

/** @import { State } from "../frontend/types" */
/** @import { Answer, Reply } from "./live_worker.js" */
/** @typedef {(what: string) => void} Loading */

const FROM_DISK =
  "Opened from disk, a page may not load the model: the picture is the precomputed one. " +
  "Serve the book (make serve) and type again.";

export class LiveModels {
  /** @type {Map<number, { resolve: (answer: Answer) => void, reject: (why: Error) => void, loading: Loading }>} */
  waiting = new Map();
  /** @type {Worker | null} */
  worker = null;
  asked = 0;

  /** @param {URL} address of the worker */
  constructor(address) {
    this.address = address;
  }

  start() {
    if (window.location.protocol === "file:") throw new Error(FROM_DISK);
    const worker = new Worker(this.address, { type: "module" });
    worker.onmessage = ({ data }) => this.receive(data);
    worker.onerror = (event) => {
      const why = event.message || "no module worker";
      for (const { reject } of this.waiting.values()) {
        reject(new Error(`The model could not be loaded, so the picture stays as it was (${why}).`));
      }
      this.waiting.clear();
      this.worker = null; // the next keystroke tries again
    };
    return worker;
  }

  /** @param {Reply} reply */
  receive(reply) {
    const question = this.waiting.get(reply.number);
    if (!question) return;
    if ("loading" in reply) {
      question.loading(reply.loading);
      return;
    }
    this.waiting.delete(reply.number);
    if ("error" in reply) question.reject(new Error(reply.error));
    else question.resolve(reply.answer);
  }

  /**
   * Run a model of the book on a text.
   *
   * @param {string} name
   * @param {string} text
   * @param {{ webgpu?: boolean, loading?: Loading }} how
   * @returns {Promise<Answer>}
   */
  run(name, text, { webgpu = false, loading = () => {} } = {}) {
    return new Promise((resolve, reject) => {
      this.worker ??= this.start();
      this.asked += 1;
      this.waiting.set(this.asked, { resolve, reject, loading });
      this.worker.postMessage({ number: this.asked, name, text, webgpu });
    });
  }

  /**
   * The same answer as the traits of a view.
   *
   * @param {string} name
   * @param {string} text
   * @param {boolean} webgpu
   * @param {Loading} loading
   * @returns {Promise<Partial<State>>}
   */
  async answer(name, text, webgpu, loading) {
    const answer = await this.run(name, text, { webgpu, loading });
    const { tokens, shape, next_tokens, mask, device, latency_ms } = answer;
    const attention = new DataView(answer.attention.buffer);
    return { tokens, attention, encoding: "float32", shape, next_tokens, mask, device, latency_ms };
  }
}
