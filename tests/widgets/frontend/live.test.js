import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Cancelled, LiveModels, segmentsOf } from "../../../companion/widgets/browser/live.js";

let workers = [];

class FakeWorker {
  constructor(address) {
    Object.assign(this, { address, asked: [] });
    workers.push(this);
  }

  postMessage(question) {
    this.asked.push(question);
  }

  terminate() {
    this.ended = true;
  }
}

beforeEach(() => {
  workers = [];
  Object.assign(globalThis, { Worker: FakeWorker, window: { location: { protocol: "https:" } } });
});

const ANSWER = {
  tokens: ["a"],
  attention: Float32Array.of(1),
  shape: [1, 1, 1, 1],
  next_tokens: [],
  mask: "",
  device: "this page · WASM",
  latency_ms: 4,
  ids: [0],
};

test("no worker is started before the first question, and one answers all", () => {
  const models = new LiveModels("worker.js");
  assert.equal(workers.length, 0);
  models.run("storyworld-en", "a");
  models.run("storyworld-en", "ab", { webgpu: true });
  assert.equal(workers.length, 1);
  assert.deepEqual(workers[0].asked, [
    { number: 1, name: "storyworld-en", text: "a", webgpu: false },
    { number: 2, name: "storyworld-en", text: "ab", webgpu: true },
  ]);
});

test("each answer reaches its own question, whatever the order", async () => {
  const models = new LiveModels("worker.js");
  const questions = [models.run("storyworld-en", "a"), models.run("storyworld-en", "b")];
  workers[0].onmessage({ data: { number: 2, answer: "second" } });
  workers[0].onmessage({ data: { number: 1, answer: "first" } });
  assert.deepEqual(await Promise.all(questions), ["first", "second"]);
});

test("how far the loading is, and that the model is ready, is known before the answer", async () => {
  const models = new LiveModels("worker.js");
  const reports = [];
  const question = models.run("storyworld-en", "a", { loading: (how) => reports.push(how) });
  workers[0].onmessage({ data: { number: 1, loading: { got: 1, all: 4 } } });
  assert.equal(models.ready.has("storyworld-en"), false);
  workers[0].onmessage({ data: { number: 1, ready: "storyworld-en" } });
  assert.equal(models.ready.has("storyworld-en"), true);
  workers[0].onmessage({ data: { number: 1, answer: "first" } });
  assert.equal(await question, "first");
  assert.deepEqual(reports, [{ got: 1, all: 4 }]);
});

test("a page that is left frees its models, and a question after that begins anew", async () => {
  const models = new LiveModels("worker.js");
  models.leave(); // before any question
  const question = models.run("storyworld-en", "a");
  workers[0].onmessage({ data: { number: 1, ready: "storyworld-en" } });
  models.leave();
  await assert.rejects(question, Cancelled);
  assert.deepEqual([workers[0].ended, models.ready.size, models.waiting.size], [true, 0, 0]);
  const again = models.run("storyworld-en", "b");
  assert.equal(workers.length, 2);
  workers[1].onmessage({ data: { number: 2, answer: ANSWER } });
  assert.equal(await again, ANSWER);
});

test("calling a model off ends its questions at once, and no word of the worker's comes through after", async () => {
  const models = new LiveModels("worker.js");
  const reports = [];
  const question = models.run("minilm-l6", "a", { loading: (how) => reports.push(how) });
  const other = models.run("storyworld-en", "b");
  models.cancel("minilm-l6");
  assert.deepEqual(workers[0].asked.at(-1), { cancel: "minilm-l6", before: 2 });
  await assert.rejects(question, Cancelled);
  workers[0].onmessage({ data: { number: 1, loading: { got: 1, all: 4 } } });
  workers[0].onmessage({ data: { number: 1, error: "aborted" } });
  assert.deepEqual(reports, []);
  workers[0].onmessage({ data: { number: 2, answer: ANSWER } });
  assert.equal(await other, ANSWER);
});

test("a model is kept when the browser has every file of it, under the name that says what is in it", async () => {
  const catalogue = { models: { large: { files: ["a.onnx", "b.onnx"] } } };
  const models = new LiveModels(new URL("https://host/companion/live_worker.js?1"), catalogue);
  const held = new Set(["https://host/companion/zoo/large/a.onnx"]);
  globalThis.caches = { open: async () => ({ match: async (address) => (held.has(address) ? "bytes" : undefined) }) };
  assert.equal(await models.isKept("large"), false);
  held.add("https://host/companion/zoo/large/b.onnx");
  assert.equal(await models.isKept("large"), true);
  delete globalThis.caches; // as on a page that is not served securely
  assert.equal(await models.isKept("large"), false);
});

test("an answer becomes the traits of a view", async () => {
  const models = new LiveModels("worker.js");
  const question = models.answer("storyworld-en", "a", false, () => {});
  workers[0].onmessage({ data: { number: 1, answer: ANSWER } });
  const { attention, ...traits } = await question;
  assert.equal(attention.getFloat32(0, true), 1);
  const { ids: _, attention: __, ...expected } = ANSWER;
  assert.deepEqual(traits, { ...expected, segments: [], encoding: "float32" });
});

test("the second sentence of an answer begins behind the first [SEP]", () => {
  assert.deepEqual(segmentsOf(["[CLS]", "a", "[SEP]", "b", "[SEP]"]), [0, 0, 0, 1, 1]);
  assert.deepEqual(segmentsOf(["a", "b"]), []);
});

test("an error of the worker's model reaches the question", async () => {
  const question = new LiveModels("worker.js").run("storyworld-en", "");
  workers[0].onmessage({ data: { number: 1, error: "the text is empty" } });
  await assert.rejects(question, { message: "the text is empty" });
});

test("a worker that fails fails every question, and the next one starts another", async () => {
  const models = new LiveModels("worker.js");
  const questions = [models.run("storyworld-en", "a"), models.run("storyworld-en", "b")];
  workers[0].onerror({ message: "" });
  for (const question of questions) await assert.rejects(question, /picture stays as it was \(no module worker\)/);
  models.run("storyworld-en", "c");
  assert.equal(workers.length, 2);
});

test("a page opened from disk starts no worker and says why", async () => {
  globalThis.window.location.protocol = "file:";
  await assert.rejects(new LiveModels("worker.js").run("storyworld-en", "a"), /Opened from disk/);
  assert.equal(workers.length, 0);
});
