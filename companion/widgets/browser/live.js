// The model in the page: starts a worker at the first question and puts texts to it. Nothing is loaded before.

import { areKept } from "./kept.js";

/** @import { ByteVocabulary, HeadEdit, State, VocabularyFile } from "../frontend/types" */
/** @import { Answer, Continued, Progress, Reply } from "./live_worker.js" */
/** @typedef {(how: Progress) => void} Loading */
/** @typedef {{ title: string, bytes: number, files: string[], asked: boolean }} Entry a model's name, what there is to load, and whether a button asks it */
/** @typedef {{ runtime: number, models: Record<string, Entry>, tokenizers?: Record<string, VocabularyFile> }} Catalogue of the models and vocabularies beside this script */

const FROM_DISK =
  "Opened from disk, a page may not load the model: the picture is the precomputed one. " +
  "Serve the book (make serve) and type again.";

const LARGE = 10_000_000; // bytes that are not loaded unasked

/** What a question ends with whose model the reader did not wait for. */
export class Cancelled extends Error {}

/**
 * The sentence of each token: 0 up to the first [SEP], 1 after it; none where the model has no such token.
 *
 * @param {string[]} tokens
 */
export function segmentsOf(tokens) {
  const end = tokens.indexOf("[SEP]");
  return end < 0 ? [] : tokens.map((_, i) => Number(i > end));
}

export class LiveModels {
  /** @type {Map<number, { name: string, resolve: (answer: Answer) => void, reject: (why: Error) => void, loading: Loading }>} */
  waiting = new Map();
  /** @type {Worker | null} */
  worker = null;
  asked = 0;
  /** @type {Set<string>} */
  ready = new Set();

  /**
   * @param {URL} address of the worker
   * @param {Catalogue} catalogue
   */
  constructor(address, catalogue) {
    this.address = address;
    this.catalogue = catalogue;
  }

  /**
   * Whether the browser has all of a model from an earlier visit.
   *
   * @param {string} name
   */
  isKept(name) {
    const files = this.catalogue.models[name].files.map((file) => new URL(`zoo/${name}/${file}`, this.address));
    for (const file of files) file.search = ""; // the name of a file says what is in it
    return areKept(files.map((file) => file.href));
  }

  /**
   * What it costs to load a model, where it is not loaded unasked.
   *
   * @param {string} name
   */
  async offer(name) {
    const { title, bytes } = this.catalogue.models[name];
    const waits = bytes > LARGE && !(await this.isKept(name));
    return waits ? { title, bytes, runtime: this.catalogue.runtime } : undefined;
  }

  /** @param {string} file that a picture lies in */
  picture(file) {
    return this.json(`pictures/${file}`);
  }

  /**
   * A published vocabulary, which lies beside this script.
   *
   * @param {string} name
   * @returns {Promise<ByteVocabulary>}
   */
  vocabulary(name) {
    const file = this.catalogue.tokenizers?.[name]?.file ?? "";
    return this.json(`tokenizers/${file}`);
  }

  /** @param {string} path */
  async json(path) {
    if (window.location.protocol === "file:") throw new Error("opened from disk; serve the book (make serve)");
    const response = await fetch(new URL(path, this.address));
    const file = path.split("/").pop();
    if (!response.ok) throw new Error(`${file}: ${response.status} ${response.statusText}`);
    return response.json();
  }

  /**
   * Wait for a model no longer; what the worker still says of these questions is not heard.
   *
   * @param {string} name
   */
  cancel(name) {
    this.worker?.postMessage({ cancel: name, before: this.asked });
    for (const [number, question] of this.waiting) {
      if (question.name !== name) continue;
      this.waiting.delete(number);
      question.reject(new Cancelled(`${name} is no longer waited for`));
    }
  }

  /** Free the models that were loaded; the next question loads its own again, from what the browser keeps. */
  leave() {
    this.worker?.terminate();
    this.worker = null;
    this.ready.clear();
    for (const { name, reject } of this.waiting.values())
      reject(new Cancelled(`the page was left before ${name} answered`));
    this.waiting.clear();
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
      this.worker = null; // the next question tries again
      this.ready.clear();
    };
    return worker;
  }

  /** @param {Reply} reply */
  receive(reply) {
    const question = this.waiting.get(reply.number);
    if (!question) return;
    if ("loading" in reply) question.loading(reply.loading);
    else if ("ready" in reply) this.ready.add(reply.ready);
    else this.waiting.delete(reply.number);
    if ("error" in reply) question.reject(new Error(reply.error));
    if ("answer" in reply) question.resolve(reply.answer);
  }

  /**
   * Run a model of the book on a text.
   *
   * @param {string} name
   * @param {string} text
   * @param {{ webgpu?: boolean, loading?: Loading, edit?: HeadEdit, everywhere?: boolean } & Continued} how
   * @returns {Promise<Answer>}
   */
  run(name, text, { webgpu = false, loading = () => {}, ...more } = {}) {
    return new Promise((resolve, reject) => {
      this.worker ??= this.start();
      this.asked += 1;
      this.waiting.set(this.asked, { name, resolve, reject, loading });
      this.worker.postMessage({ number: this.asked, name, text, webgpu, ...more });
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
    const segments = segmentsOf(tokens);
    return { tokens, segments, attention, encoding: "float32", shape, next_tokens, mask, device, latency_ms };
  }
}
