import assert from "node:assert/strict";
import { test } from "node:test";
import { deflateSync } from "node:zlib";

import { answer, StaticModel, unpack } from "../../../companion/widgets/browser/static_host.js";

/** A model over `state`, and what was told: the names that changed, then what each save reported. */
function watched(state) {
  const [heard, saved] = [[], []];
  const model = new StaticModel(state, (changed) => saved.push([...changed]));
  const listen = (name) => {
    const listener = () => heard.push([name, model.get(name)]);
    model.on(`change:${name}`, listener);
    return listener;
  };
  return { model, heard, saved, listen };
}

test("what is set is got, and its listeners hear of it", () => {
  const { model, heard, listen } = watched({ layer: 0, head: 0 });
  listen("layer");
  model.set("layer", 2);
  model.set("head", 1);
  assert.equal(model.get("layer"), 2);
  assert.deepEqual(heard, [["layer", 2]]);
});

test("setting the same value again tells nobody and saves nothing", () => {
  const { model, heard, saved, listen } = watched({ layer: 1 });
  listen("layer");
  model.set("layer", 1);
  model.save_changes();
  assert.deepEqual(heard, []);
  assert.deepEqual(saved, [[]]);
});

test("saving names what changed since the last time", () => {
  const { model, saved } = watched({ layer: 0, head: 0, text: "" });
  model.set("layer", 1);
  model.set("head", 1);
  model.save_changes();
  model.set("text", "word");
  model.save_changes();
  assert.deepEqual(saved, [["layer", "head"], ["text"]]);
});

test("a listener that was taken off hears no more, and another one still does", () => {
  const { model, heard, listen } = watched({ layer: 0 });
  const first = listen("layer");
  listen("layer");
  model.off("change:layer", first);
  model.off("change:head", first); // nobody listens there
  model.set("layer", 1);
  assert.deepEqual(heard, [["layer", 1]]);
});

test("a listener may take itself off while it is told", () => {
  const { model, heard, listen } = watched({ layer: 0 });
  const once = () => model.off("change:layer", once);
  model.on("change:layer", once);
  listen("layer");
  model.set("layer", 1);
  assert.deepEqual(heard, [["layer", 1]]);
});

test("an update is whole before anyone hears of a part of it, and is no change to save", () => {
  const { model, saved } = watched({ tokens: [], shape: [] });
  const seen = [];
  model.on("change:tokens", () => seen.push(model.get("shape")));
  model.update({ tokens: ["a"], shape: [1, 1, 1, 1] });
  model.save_changes();
  assert.deepEqual(seen, [[1, 1, 1, 1]]);
  assert.deepEqual(saved, [[]]);
});

test("packed bytes come back", async () => {
  const view = await unpack(deflateSync(Buffer.from([1, 2, 255])).toString("base64"));
  assert.deepEqual([...new Uint8Array(view.buffer)], [1, 2, 255]);
});

test("an answer of the page's model replaces the picture, and the error", async () => {
  const { model } = watched({ text: "new", answered: "old", error: "too long", device: "precomputed", latency_ms: 0 });
  const asked = [];
  const models = { answer: async (...question) => asked.push(question.slice(0, 3)) && { device: "this page" } };
  await answer(model, models, "prose");
  assert.deepEqual(asked, [["prose", "new", false]]);
  assert.deepEqual([model.get("answered"), model.get("error"), model.get("device")], ["new", "", "this page"]);
});

test("a model that refuses leaves the picture and says why", async () => {
  const { model } = watched({ text: "new", answered: "old", error: "", device: "precomputed", latency_ms: 3 });
  const models = {
    async answer(...question) {
      question[3]("loading the model …");
      assert.equal(model.get("device"), "loading the model …");
      throw new Error("the text is empty");
    },
  };
  await answer(model, models, "prose");
  assert.deepEqual([model.get("answered"), model.get("error")], ["new", "the text is empty"]);
  assert.deepEqual([model.get("device"), model.get("latency_ms")], ["precomputed", 3]);
});
