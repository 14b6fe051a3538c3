// The worker behind live.js: tokenizer and model, from files beside this one and from nowhere else.

import { added, candidates, makeVocabulary } from "./candidates.js";
import { bytesOf, keepOnly } from "./kept.js";

/** @import { InferenceSession } from "onnxruntime-web" */
/** @import { Candidate, HeadEdit, Shape } from "../frontend/types" */

/**
 * A text for a model, and the tokens that were chosen after it; with heads ablated or patched, and scored at all positions
 * and not at the last alone, if it says so.
 *
 * @typedef {{ after?: number[], count?: number }} Continued the chosen tokens, and how many likely ones are named
 * @typedef {{ edit?: HeadEdit, everywhere?: boolean }} Looked
 * @typedef {{ number: number, name: string, text: string, webgpu: boolean } & Continued & Looked} Question
 */
/** @typedef {{ context_length: number, files: string[], mask?: string, mask_id?: number }} Limits */
/** @typedef {{ got: number, all: number }} Progress in bytes */

/**
 * @typedef {object} Answer
 * @property {number[]} ids
 * @property {string[]} tokens
 * @property {Float32Array<ArrayBuffer>} logits of the last position
 * @property {Float32Array<ArrayBuffer>} allLogits of all positions that the model scores
 * @property {Float32Array<ArrayBuffer>} attention
 * @property {Shape} shape
 * @property {Candidate[]} next_tokens
 * @property {string} written what the tokens after the text add to it
 * @property {boolean} ends whether the last token is no text, as one that ends a text
 * @property {string} mask
 * @property {string} device
 * @property {number} latency_ms
 */

/** @typedef {{ loading: Progress } | { ready: string } | { error: string } | { answer: Answer }} Told */
/** @typedef {{ number: number } & Told} Reply */

/** @type {Map<string, ReturnType<typeof load>>} */
const opened = new Map();
/** @type {Map<string, AbortController>} */
const underWay = new Map();
/** @type {Map<string, number>} up to which question nobody waits for a model any more */
const calledOff = new Map();

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

/**
 * @param {boolean} webgpu
 * @param {(address: string) => Promise<ArrayBuffer>} get
 * @returns {Promise<typeof import("onnxruntime-web")>}
 */
async function runtime(webgpu, get) {
  const ort = await import(beside(webgpu ? "ort/ort.webgpu.min.mjs" : "ort/ort.wasm.min.mjs"));
  ort.env.wasm.wasmBinary ??= await get(PROGRAMS[Number(webgpu)]);
  ort.env.wasm.wasmPaths = new URL("ort/", import.meta.url).href;
  ort.env.wasm.numThreads = THREADS;
  return ort;
}

// Shared memory needs two headers that a plain file server does not send; tools/serve.py sends them.
const THREADS = self.crossOriginIsolated ? Math.min(4, navigator.hardwareConcurrency) : 1;
const PROGRAMS = ["ort/ort-wasm-simd-threaded.wasm", "ort/ort-wasm-simd-threaded.asyncify.wasm"].map(beside);

/** @returns {Promise<typeof import("@huggingface/tokenizers")>} */
const tokenizers = () => import(beside("tokenizers.min.mjs"));

/**
 * @param {string} name
 * @param {boolean} webgpu
 * @param {(how: Progress) => void} report
 */
async function load(name, webgpu, report) {
  const controller = new AbortController();
  const { signal } = controller;
  underWay.set(name, controller);
  const progress = { got: 0, all: 0 };
  const count = (/** @type {keyof Progress} */ what) => (/** @type {number} */ bytes) => {
    progress[what] += bytes;
    report({ ...progress });
  };
  const [expected, arrived] = [count("all"), count("got")];
  const get = (/** @type {string} */ address) => bytesOf(address, { signal, expected, arrived });
  const json = async (/** @type {string} */ address) => JSON.parse(new TextDecoder().decode(await get(address)));
  try {
    const folder = `zoo/${name}/`;
    const lists = ["limits.json", "tokenizer.json", "labels.json"].map((list) => beside(folder + list));
    const [limits, file, labels] = await Promise.all(lists.map(json));
    const shards = /** @type {Limits} */ (limits).files.map((shard) => new URL(folder + shard, import.meta.url).href);
    const model = Promise.all(shards.map(get)).then((parts) => new Blob(parts).arrayBuffer());
    const [ort, { Tokenizer }] = await Promise.all([runtime(webgpu, get), tokenizers(), model]);
    const session = await start(ort, await model, webgpu);
    await keepOnly(new URL(folder, import.meta.url).href, [...lists, ...shards]);
    await keepOnly(new URL("ort/", import.meta.url).href, PROGRAMS);
    const tokenizer = new Tokenizer(file, {});
    const vocabulary = makeVocabulary(file, tokenizer, labels);
    return { ort, session, tokenizer, vocabulary, .../** @type {Limits} */ (limits) };
  } catch (problem) {
    controller.abort(); // the other files are of no use
    throw problem;
  } finally {
    underWay.delete(name);
  }
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
 * @param {(how: Progress) => void} report
 */
function open(name, webgpu, report) {
  const key = `${name} ${webgpu}`;
  const known = opened.get(key);
  if (known) return known;
  const loading = load(name, webgpu, report);
  loading.catch(() => opened.delete(key)); // try again at the next keystroke
  opened.set(key, loading);
  return loading;
}

/** @typedef {Awaited<ReturnType<typeof load>>} Loaded */

/**
 * The numbers of a text's tokens.
 *
 * @param {Loaded} model
 * @param {string} text
 */
function numbers(model, text) {
  const { ids } = model.tokenizer.encode(text);
  if (ids.length === 0) throw new Error("the text is empty: the model needs at least one token");
  return within(model, ids);
}

/**
 * The same numbers, if the model reads so many.
 *
 * @param {Loaded} model
 * @param {number[]} ids
 */
function within({ context_length }, ids) {
  if (ids.length <= context_length) return ids;
  throw new Error(`the text has ${ids.length} tokens; in this page the model reads at most ${context_length}`);
}

/**
 * Run a model with its heads multiplied by a mask and added to by a patch; without these they stay as they are.
 *
 * @param {Loaded} model
 * @param {number[]} ids
 * @param {string[]} outputs
 * @param {{ edit?: HeadEdit, patch?: Float32Array, everywhere?: boolean }} how
 */
async function compute({ ort, session }, ids, outputs, { edit, patch, everywhere = false }) {
  const input = session.inputMetadata.find(({ name }) => name === "patch");
  const [layers, heads, , width] = /** @type {number[]} */ (input?.isTensor ? input.shape : []);
  const mask = new Float32Array(layers * heads).fill(1);
  const added = new Float32Array(layers * heads * ids.length * width);
  for (const [layer, head] of [...(edit?.off ?? []), ...(edit?.patched ?? [])]) mask[layer * heads + head] = 0;
  for (const [layer, head] of patch ? (edit?.patched ?? []) : []) {
    const from = (layer * heads + head) * ids.length * width;
    added.set(/** @type {Float32Array} */ (patch).subarray(from, from + ids.length * width), from);
  }
  const whole = (/** @type {number[]} */ values, /** @type {number[]} */ shape) =>
    new ort.Tensor("int64", BigInt64Array.from(values, BigInt), shape);
  const places = everywhere ? [...ids.keys()] : [ids.length - 1];
  /** @type {Record<string, import("onnxruntime-web").Tensor>} */
  const inputs = {
    ids: whole(ids, [1, ids.length]),
    head_mask: new ort.Tensor("float32", mask, [layers, heads]),
    patch: new ort.Tensor("float32", added, [layers, heads, ids.length, width]),
  };
  if (session.inputNames.includes("places")) inputs.places = whole(places, [places.length]); // of a large vocabulary
  return session.run(inputs, outputs);
}

/**
 * The outputs of the heads in another text of as many tokens.
 *
 * @param {Loaded} model
 * @param {string} source
 * @param {number} count
 */
async function headsOf(model, source, count) {
  const ids = numbers(model, source);
  if (ids.length !== count) {
    throw new Error(`the second text has ${ids.length} tokens and the first ${count}; a patch needs as many`);
  }
  const { heads } = await compute(model, ids, ["heads"], {});
  return new Float32Array(/** @type {Float32Array} */ (heads.data));
}

/**
 * @param {Question} question
 * @param {(told: Told) => void} tell
 * @returns {Promise<Answer>}
 */
async function run({ name, text, webgpu, after = [], count, edit, everywhere }, tell) {
  const model = await open(name, webgpu, (loading) => tell({ loading }));
  tell({ ready: name });
  const start = performance.now();
  const read = numbers(model, text);
  const ids = within(model, [...read, ...after]);
  const patch = edit?.patched.length ? await headsOf(model, edit.source, ids.length) : undefined;
  const outputs = model.session.outputNames.filter((output) => output !== "heads");
  const { logits, attention } = await compute(model, ids, outputs, { edit, patch, everywhere });
  // out of the runtime's own memory, so that it can be handed over; an encoder has none
  const allLogits = new Float32Array(/** @type {Float32Array | undefined} */ (logits?.data) ?? []);
  const [, rows, size] = logits?.dims.map(Number) ?? [0, 0, 0]; // of a large model, the last row alone
  const at = (/** @type {number} */ place) => {
    const row = place - ids.length + rows;
    return allLogits.slice(row * size, (row + 1) * size);
  };
  const last = at(ids.length - 1);
  const masked = model.mask_id === undefined ? -1 : ids.lastIndexOf(model.mask_id);
  const next = model.mask || !logits ? [] : candidates(model.vocabulary, last, ids[ids.length - 1], count);
  return {
    ids,
    tokens: ids.map((id) => model.vocabulary.labels[id]),
    logits: last,
    allLogits,
    attention: new Float32Array(/** @type {Float32Array} */ (attention.data)),
    shape: /** @type {Shape} */ (attention.dims.map(Number)),
    next_tokens: masked < 0 ? next : candidates(model.vocabulary, at(masked)),
    written: added(model.vocabulary, read[read.length - 1], after),
    ends: after.length > 0 && model.tokenizer.decode(after.slice(-1), { skip_special_tokens: true }) === "",
    mask: model.mask ?? "",
    device: `this page · ${webgpu ? "WebGPU" : THREADS > 1 ? `WASM, ${THREADS} threads` : "WASM"}`,
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
  if ("cancel" in data) {
    calledOff.set(data.cancel, data.before);
    underWay.get(data.cancel)?.abort();
    return;
  }
  /** @type {Question} */
  const question = data;
  const { number, name } = question;
  queue = queue.then(async () => {
    if (number <= (calledOff.get(name) ?? 0)) return;
    try {
      const answer = await run(question, (told) => send({ number, ...told }));
      send({ number, answer }, [answer.attention.buffer, answer.logits.buffer, answer.allLogits.buffer]);
    } catch (problem) {
      send({ number, error: /** @type {Error} */ (problem).message });
    }
  });
};
