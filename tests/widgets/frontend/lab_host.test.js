import assert from "node:assert/strict";
import { test } from "node:test";

import { connectLab } from "../../../companion/widgets/browser/lab_host.js";
import { Cancelled, LiveModels } from "../../../companion/widgets/browser/live.js";
import { StaticModel } from "../../../companion/widgets/browser/static_host.js";

const EMPTY = { source: "", off: [], patched: [] };
const ANSWER = { ids: [0], tokens: ["a"], mask: "", allLogits: Float32Array.of(0, 1), device: "this page" };
const NEXT = ["a", "b"].map((token) => ({ token, text: "", probability: 0.5 }));

/** A lab of a small or a large model, and the questions that were put to it. */
async function lab(respond, { bytes = 1e6, ready = [] } = {}) {
  const asked = [];
  const run = async (_, text, { edit, loading }) => {
    asked.push([text, edit?.off ?? "all"]);
    await respond?.(text, loading);
    return { ...ANSWER, next_tokens: NEXT, latency_ms: 4 };
  };
  const cancelled = [];
  const models = {
    catalogue: { runtime: 14e6, models: { small: { title: "Small", bytes } } },
    ready: new Set(ready),
    isKept: async () => false,
    offer: LiveModels.prototype.offer,
    cancel: (name) => cancelled.push(name),
    run,
  };
  const shown = { text: "a", ...EMPTY };
  const model = new StaticModel({ ...shown, shown, error: "", device: "precomputed", latency_ms: 0 }, () => {});
  await connectLab(model, models, "small");
  return { model, asked, models, cancelled };
}

const settle = () => new Promise((done) => setTimeout(done, 5));

test("a head that is switched off is asked about beside all heads, which are asked about once", async () => {
  const { model, asked } = await lab();
  model.set("off", [[0, 1]]);
  await settle();
  assert.deepEqual(asked, [
    ["a", "all"],
    ["a", [[0, 1]]],
  ]);
  model.set("off", []);
  await settle();
  assert.equal(asked.length, 2);
  assert.deepEqual([model.get("shown").off, model.get("device"), model.get("latency_ms")], [[], "this page", 4]);
});

test("what is changed while the model answers is answered next, and what lies between is not", async () => {
  const { model, asked } = await lab(settle);
  for (const head of [0, 1, 2]) {
    model.set("off", [[0, head]]);
    await Promise.resolve();
  }
  await settle().then(settle).then(settle).then(settle).then(settle);
  assert.deepEqual(asked.at(-1), ["a", [[0, 2]]]);
  assert.ok(asked.length <= 3);
  assert.deepEqual(model.get("shown").off, [[0, 2]]);
});

test("a refusal is told, and the next change asks again", async () => {
  const { model } = await lab(async (text) => {
    if (!text) throw new Error("the text is empty");
  });
  model.set("text", "");
  await settle();
  assert.deepEqual([model.get("error"), model.get("shown").text], ["the text is empty", "a"]);
  model.set("text", "b");
  await settle();
  assert.deepEqual([model.get("error"), model.get("shown").text], ["", "b"]);
});

test("a large model is not asked before the reader loads it", async () => {
  const { model, asked } = await lab(undefined, { bytes: 1e8 });
  assert.deepEqual(model.get("offer"), { title: "Small", bytes: 1e8, runtime: 14e6 });
  model.set("off", [[0, 1]]);
  await settle();
  assert.deepEqual(asked, []);
  model.set("loading", true);
  await settle();
  assert.deepEqual(asked.length, 2);
  assert.deepEqual([model.get("offer"), model.get("loading")], [undefined, false]);
});

test("how far the loading is is told, and calling it off leaves all as it was", async () => {
  const { model, cancelled } = await lab(
    async (_, loading) => {
      loading({ got: 1e6, all: 4e6 });
      assert.deepEqual([model.get("device"), model.get("loaded")], ["loading Small: 1 of 4 MB", 0.25]);
      model.set("loading", false);
      throw new Cancelled();
    },
    { bytes: 1e8 },
  );
  model.set("loading", true);
  await settle();
  assert.deepEqual([model.get("device"), model.get("error"), cancelled], ["precomputed", "", ["small", "small"]]);
  assert.ok(model.get("offer"));
});

test("a large model that was loaded for another view of the page answers at once", async () => {
  const { model, asked } = await lab(undefined, { bytes: 1e8, ready: ["small"] });
  model.set("off", [[0, 1]]);
  await settle();
  assert.equal(asked.length, 2);
});

test("a book that was built without the model leaves the lab as it is", async () => {
  const model = new StaticModel({}, () => {});
  await connectLab(model, { catalogue: { models: {} } }, "small");
  assert.equal(model.get("is_live"), undefined);
});
