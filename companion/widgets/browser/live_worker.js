// The worker behind live.js: tokenizer and model, from files beside this one and from nowhere else.

import { candidates, makeVocabulary } from "./candidates.js";

/** @import { InferenceSession } from "onnxruntime-web" */
/** @import { Candidate, Shape } from "../frontend/types" */

/** @typedef {{ number: number, name: string, text: string, webgpu: boolean }} Question */
/** @typedef {{ context_length: number, mask?: string, mask_id?: number }} Limits */

/**
 * @typedef {object} Answer
 * @property {number[]} ids
 * @property {string[]} tokens
 * @property {Float32Array<ArrayBuffer>} logits of the last position
 * @property {Float32Array<ArrayBuffer>} allLogits
 * @property {Float32Array<ArrayBuffer>} attention
 * @property {Shape} shape
 * @property {Candidate[]} next_tokens
 * @property {string} mask
 * @property {string} device
 * @property {number} latency_ms
 */

/** @typedef {{ number: number } & ({ loading: string } | { error: string } | { answer: Answer })} Reply */

/** @type {Map<string, ReturnType<typeof load>>} */
const opened = new Map();

/**
 * The address of a file beside this one; with each build it is another.
 *
 * @param {string} path
 */
function beside(path) {
  const address = new URL(path, import.meta.url);
  address.search = new URL(import.meta.url).search;
  return address.href;
}

/** @param {string} path */
async function get(path) {
  const response = await fetch(beside(path));
  if (!response.ok) throw new Error(`${path} could not be loaded: ${response.status} ${response.statusText}`);
  return response;
}

/**
 * @param {boolean} webgpu
 * @returns {Promise<typeof import("onnxruntime-web")>}
 */
const runtime = (webgpu) => import(beside(webgpu ? "ort/ort.webgpu.min.mjs" : "ort/ort.wasm.min.mjs"));

/** @returns {Promise<typeof import("@huggingface/tokenizers")>} */
const tokenizers = () => import(beside("tokenizers.min.mjs"));

/**
 * @param {string} name
 * @param {boolean} webgpu
 */
async function load(name, webgpu) {
  const [ort, { Tokenizer }, model, file, labels, limits] = await Promise.all([
    runtime(webgpu),
    tokenizers(),
    get(`zoo/${name}/model.onnx`).then((response) => response.arrayBuffer()),
    get(`zoo/${name}/tokenizer.json`).then((response) => response.json()),
    get(`zoo/${name}/labels.json`).then((response) => response.json()),
    get(`zoo/${name}/limits.json`).then((response) => /** @type {Promise<Limits>} */ (response.json())),
  ]);
  ort.env.wasm.wasmPaths = new URL("ort/", import.meta.url).href;
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  const session = await start(ort, model, webgpu);
  const tokenizer = new Tokenizer(file, {});
  return { ort, session, tokenizer, vocabulary: makeVocabulary(file, tokenizer, labels), ...limits };
}

/**
 * @param {typeof import("onnxruntime-web")} ort
 * @param {ArrayBuffer} model
 * @param {boolean} webgpu
 */
async function start(ort, model, webgpu) {
  /** @type {InferenceSession.SessionOptions} */
  const options = { executionProviders: [webgpu ? "webgpu" : "wasm"], logSeverityLevel: 3 }; // errors, no advice
  try {
    return await ort.InferenceSession.create(model, options);
  } catch (problem) {
    if (!webgpu) throw problem;
    const why = /** @type {Error} */ (problem).message;
    throw new Error(`WebGPU cannot be used here; untick it to go on without. (${why})`);
  }
}

/**
 * Open a model once for each way of running it.
 *
 * @param {string} name
 * @param {boolean} webgpu
 */
function open(name, webgpu) {
  const key = `${name} ${webgpu}`;
  const known = opened.get(key);
  if (known) return known;
  const loading = load(name, webgpu);
  loading.catch(() => opened.delete(key)); // try again at the next keystroke
  opened.set(key, loading);
  return loading;
}

/**
 * @param {Question} question
 * @param {(what: string) => void} report
 * @returns {Promise<Answer>}
 */
async function run({ name, text, webgpu }, report) {
  if (!opened.has(`${name} ${webgpu}`)) report("loading the model …");
  const model = await open(name, webgpu);
  const start = performance.now();
  const { ids } = model.tokenizer.encode(text);
  if (ids.length === 0) throw new Error("the text is empty: the model needs at least one token");
  if (ids.length > model.context_length) {
    throw new Error(`the text has ${ids.length} tokens; the model reads at most ${model.context_length}`);
  }
  const input = new model.ort.Tensor("int64", BigInt64Array.from(ids, BigInt), [1, ids.length]);
  const { logits, attention } = await model.session.run({ ids: input });
  // out of the runtime's own memory, so that it can be handed over
  const allLogits = new Float32Array(/** @type {Float32Array} */ (logits.data));
  const at = (/** @type {number} */ place) => allLogits.slice(place * logits.dims[2], (place + 1) * logits.dims[2]);
  const last = at(ids.length - 1);
  const masked = model.mask_id === undefined ? -1 : ids.lastIndexOf(model.mask_id);
  const next = model.mask ? [] : candidates(model.vocabulary, last, ids[ids.length - 1]);
  return {
    ids,
    tokens: ids.map((id) => model.vocabulary.labels[id]),
    logits: last,
    allLogits,
    attention: new Float32Array(/** @type {Float32Array} */ (attention.data)),
    shape: /** @type {Shape} */ (attention.dims.map(Number)),
    next_tokens: masked < 0 ? next : candidates(model.vocabulary, at(masked)),
    mask: model.mask ?? "",
    device: `this page · ${webgpu ? "WebGPU" : "WASM"}`,
    latency_ms: performance.now() - start,
  };
}

/**
 * @param {Reply} reply
 * @param {Transferable[]} transfer
 */
const send = (reply, transfer = []) => self.postMessage(reply, { transfer });

let queue = Promise.resolve();
self.onmessage = ({ data }) => {
  /** @type {Question} */
  const question = data;
  const { number } = question;
  queue = queue
    .then(() => run(question, (loading) => send({ number, loading })))
    .then(
      (answer) => send({ number, answer }, [answer.attention.buffer, answer.logits.buffer, answer.allLogits.buffer]),
      (problem) => send({ number, error: problem.message }),
    );
};
