// The worker behind live.js: tokenizer and model, from files beside this one and from nowhere else.

const CANDIDATES = 5;
const opened = new Map();

/** GPT-2's visible stand-in of each byte, as in companion.data.tokenization. */
const BYTE_OF = new Map();
for (let byte = 0, other = 0; byte < 256; byte += 1) {
  const printable = (byte > 32 && byte < 127) || (byte > 160 && byte < 173) || byte > 173;
  BYTE_OF.set(String.fromCharCode(printable ? byte : 256 + other), byte);
  if (!printable) other += 1;
}

async function get(path) {
  const address = new URL(path, import.meta.url);
  address.search = new URL(import.meta.url).search;
  const response = await fetch(address);
  if (!response.ok) throw new Error(`${path} could not be loaded: ${response.status} ${response.statusText}`);
  return response;
}

async function load(name, webgpu) {
  const [ort, { Tokenizer }, model, vocabulary, limits] = await Promise.all([
    import(webgpu ? "./ort/ort.webgpu.min.mjs" : "./ort/ort.wasm.min.mjs"),
    import("./tokenizers.min.mjs"),
    get(`zoo/${name}/model.onnx`).then((response) => response.arrayBuffer()),
    get(`zoo/${name}/tokenizer.json`).then((response) => response.json()),
    get(`zoo/${name}/limits.json`).then((response) => response.json()),
  ]);
  ort.env.wasm.wasmPaths = new URL("./ort/", import.meta.url).href;
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  const session = await start(ort, model, webgpu);
  const tokenizer = new Tokenizer(vocabulary, {});
  return { ort, session, tokenizer, byteLevel: vocabulary.decoder?.type === "ByteLevel", ...limits };
}

async function start(ort, model, webgpu) {
  const options = { executionProviders: [webgpu ? "webgpu" : "wasm"], logSeverityLevel: 3 }; // errors, no advice
  try {
    return await ort.InferenceSession.create(model, options);
  } catch (problem) {
    if (!webgpu) throw problem;
    throw new Error(`WebGPU cannot be used here; untick it to go on without. (${problem.message})`);
  }
}

/** Open a model once for each way of running it. */
function open(name, webgpu) {
  const key = `${name} ${webgpu}`;
  if (!opened.has(key)) {
    const loading = load(name, webgpu);
    loading.catch(() => opened.delete(key)); // try again at the next keystroke
    opened.set(key, loading);
  }
  return opened.get(key);
}

/** A token's name as companion.data.tokenization.token_labels gives it. */
function label({ tokenizer, byteLevel }, id) {
  const token = tokenizer.id_to_token(id);
  if (!byteLevel || tokenizer.get_added_tokens_decoder().has(id)) return token;
  const bytes = Uint8Array.from(token, (letter) => BYTE_OF.get(letter));
  const hex = (byte) => `⟨${byte.toString(16).toUpperCase().padStart(2, "0")}⟩`;
  try {
    const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
    const visible = { " ": "␣", "\n": "⏎", "\t": "⇥" };
    return Array.from(text, (c) => visible[c] ?? (c < " " || c === "\x7f" ? hex(c.charCodeAt(0)) : c)).join("");
  } catch {
    return Array.from(bytes, hex).join("");
  }
}

/** What a token adds to a text that ends with another one: a word brings the space before it. */
function added({ tokenizer, byteLevel }, last, id) {
  const decode = (ids) => tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  if (byteLevel) return decode([id]);
  const before = decode([last]);
  const both = decode([last, id]);
  return both.startsWith(before) ? both.slice(before.length) : both;
}

/** The likeliest tokens at one place, after the token `last` or, without one, behind a mask. */
function candidates(model, logits, last) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
  const best = Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a]).slice(0, CANDIDATES);
  return best.map((id) => {
    const text = last === undefined ? label(model, id) : added(model, last, id);
    const whole = !text.includes("\ufffd"); // part of a character cannot be typed
    return { token: label(model, id), probability: Math.exp(logits[id] - most) / total, text: whole ? text : "" };
  });
}

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
  const at = (place) => logits.data.slice(place * logits.dims[2], (place + 1) * logits.dims[2]);
  const last = at(ids.length - 1);
  const masked = model.mask ? ids.lastIndexOf(model.mask_id) : -1;
  const next = model.mask ? [] : candidates(model, last, ids.at(-1));
  return {
    ids,
    tokens: ids.map((id) => label(model, id)),
    logits: last,
    allLogits: logits.data.slice(),
    attention: attention.data.slice(), // out of the runtime's own memory, so that it can be handed over
    shape: attention.dims.map(Number),
    next_tokens: masked < 0 ? next : candidates(model, at(masked)),
    mask: model.mask ?? "",
    device: `this page · ${webgpu ? "WebGPU" : "WASM"}`,
    latency_ms: performance.now() - start,
  };
}

let queue = Promise.resolve();
self.onmessage = ({ data }) => {
  const { number } = data;
  const report = (loading) => self.postMessage({ number, loading });
  queue = queue.then(() => run(data, report)).then(
    (result) => self.postMessage({ number, result }, [result.attention.buffer, result.logits.buffer, result.allLogits.buffer]),
    (problem) => self.postMessage({ number, error: problem.message }),
  );
};
