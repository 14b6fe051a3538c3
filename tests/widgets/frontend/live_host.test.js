import assert from "node:assert/strict";
import { test } from "node:test";

import { Cancelled, LiveModels } from "../../../companion/widgets/browser/live.js";
import { answer, connect, follow } from "../../../companion/widgets/browser/live_host.js";
import { StaticModel } from "../../../companion/widgets/browser/static_host.js";

globalThis.navigator ??= {}; // an older Node has none

const watched = (state) => ({ model: new StaticModel(state, () => {}) });

/** Models of a page that answer a question as told. */
function models(respond, ready = []) {
  return { catalogue: { models: { minilm: { title: "MiniLM" } } }, ready: new Set(ready), answer: respond };
}

const asLiveModels = { offer: LiveModels.prototype.offer };
const OFFER = { title: "MiniLM", bytes: 26e6, runtime: 14e6 };

test("an answer of the page's model replaces the picture, and the error", async () => {
  const { model } = watched({ text: "new", answered: "old", error: "too long", device: "precomputed", latency_ms: 0 });
  const asked = [];
  const respond = async (...question) => asked.push(question.slice(0, 3)) && { device: "this page" };
  await answer(model, models(respond), "minilm");
  assert.deepEqual(asked, [["minilm", "new", false]]);
  assert.deepEqual([model.get("answered"), model.get("error"), model.get("device")], ["new", "", "this page"]);
  assert.equal(model.get("shown"), "new");
});

test("a model that refuses leaves the picture and says why", async () => {
  const { model } = watched({ text: "new", shown: "old", error: "", device: "precomputed", latency_ms: 3 });
  const respond = async (...question) => {
    question[3]({ got: 1e6, all: 4e6 });
    assert.deepEqual([model.get("device"), model.get("loaded")], ["loading MiniLM: 1 of 4 MB", 0.25]);
    throw new Error("the text is empty");
  };
  await answer(model, models(respond), "minilm");
  assert.deepEqual([model.get("answered"), model.get("error")], ["new", "the text is empty"]);
  assert.deepEqual([model.get("device"), model.get("latency_ms")], ["precomputed", 3]);
  assert.deepEqual([model.get("shown"), model.get("loaded")], ["old", undefined]);
});

test("a large model answers no text before it was asked for, and every one from then on", async () => {
  const { model } = watched({ text: "new", answered: "old", offer: OFFER });
  const asked = [];
  const page = models(async (_, text) => asked.push(text) && {});
  await follow(model, page, "minilm");
  assert.deepEqual([asked, model.get("answered")], [[], "new"]);
  await answer(model, page, "minilm");
  assert.equal(model.get("offer"), undefined);
  await follow(model, page, "minilm");
  assert.deepEqual(asked, ["new", "new"]);
});

test("a large model that was loaded for another view of the page answers this one too", async () => {
  const { model } = watched({ text: "new", answered: "old", offer: OFFER });
  const respond = async () => ({ device: "this page" });
  await follow(model, models(respond, ["minilm"]), "minilm");
  assert.deepEqual([model.get("device"), model.get("offer")], ["this page", undefined]);
});

test("what is typed while a model is loaded is answered after it", async () => {
  const { model } = watched({ text: "a", answered: "a", offer: OFFER });
  const asked = [];
  const respond = async (_, text) => {
    if (asked.push(text) === 1) model.set("text", "ab");
    return {};
  };
  await answer(model, models(respond), "minilm");
  assert.deepEqual([asked, model.get("shown"), model.get("answered")], [["a", "ab"], "ab", "ab"]);
});

test("a loading that is called off, or fails, is offered again; only the failure is an error", async () => {
  for (const [problem, error] of [
    [new Cancelled("aborted"), ""],
    [new Error("the connection broke"), "the connection broke"],
  ]) {
    const { model } = watched({ text: "a", answered: "a", shown: "a", offer: OFFER, loading: true });
    const respond = async () => Promise.reject(problem);
    await answer(model, models(respond), "minilm");
    assert.deepEqual([model.get("error"), model.get("offer"), model.get("loading")], [error, OFFER, false]);
  }
});

test("only a large model that the browser does not keep is offered, and one that is not there is no model", async () => {
  const entry = (bytes) => ({ title: "MiniLM", bytes });
  const catalogue = { runtime: 14e6, models: { small: entry(4e6), large: entry(26e6), kept: entry(26e6) } };
  const page = { ...asLiveModels, catalogue, isKept: async (name) => name === "kept" };
  const offers = {};
  for (const name of ["small", "large", "kept", "absent"]) {
    const { model } = watched({ is_live: false });
    await connect(model, page, name);
    offers[name] = [model.get("is_live"), model.get("offer")];
  }
  const offer = { title: "MiniLM", bytes: 26e6, runtime: 14e6 };
  const expected = {
    small: [true, undefined],
    large: [true, offer],
    kept: [true, undefined],
    absent: [false, undefined],
  };
  assert.deepEqual(offers, expected);
});

test("a click loads, a second one calls it off, and keys wait for the first", async () => {
  const asked = [];
  const page = {
    ...models(async (_, text) => asked.push(`answer ${text}`) && new Promise(() => {})),
    cancel: (name) => asked.push(`cancel ${name}`),
    ...asLiveModels,
    isKept: async () => false,
  };
  page.catalogue.models.minilm.bytes = 26e6;
  const { model } = watched({ text: "a", answered: "a" });
  const saved = await connect(model, page, "minilm");
  model.set("text", "ab");
  saved(new Set(["text"]));
  assert.deepEqual([asked, model.get("answered")], [[], "ab"]);
  for (const loading of [true, false]) {
    model.set("loading", loading);
    saved(new Set(["loading"]));
  }
  assert.deepEqual(asked, ["answer ab", "cancel minilm"]);
});

test("a model that a button asks leaves a new text unanswered until then", async () => {
  const asked = [];
  const page = {
    ...models(async (_, text) => asked.push(text) && { device: "this page" }),
    ...asLiveModels,
    isKept: async () => true,
  };
  page.catalogue.models.minilm = { title: "MiniLM", bytes: 97e6, asked: true };
  const { model } = watched({ text: "a", answered: "a", shown: "a" });
  const saved = await connect(model, page, "minilm");
  assert.equal(model.get("asking"), false);
  model.set("text", "ab");
  saved(new Set(["text"]));
  assert.deepEqual([asked, model.get("answered"), model.get("shown")], [[], "ab", "a"]);
  model.set("asking", true);
  saved(new Set(["asking"]));
  assert.equal(model.get("asking"), true);
  await new Promise(setImmediate);
  assert.deepEqual([asked, model.get("shown"), model.get("asking")], [["ab"], "ab", false]);
});

test("what is typed while such a model reads waits for the next question", async () => {
  const { model } = watched({ text: "a", answered: "a", asking: false });
  const asked = [];
  const respond = async (_, text) => {
    asked.push(text);
    model.set("text", "ab");
    return {};
  };
  await answer(model, models(respond, ["minilm"]), "minilm");
  assert.deepEqual([asked, model.get("shown"), model.get("answered")], [["a"], "a", "ab"]);
});

test("a model that another view has loaded is offered no more, and still asked by its button", async () => {
  const { model } = watched({ text: "new", answered: "old", offer: OFFER, asking: false });
  const respond = async () => assert.fail("nobody asked");
  await follow(model, models(respond, ["minilm"]), "minilm");
  assert.deepEqual([model.get("answered"), model.get("offer"), model.get("asking")], ["new", undefined, false]);
});

test("an answer that comes after another text was chosen leaves that text's picture", async () => {
  const { model } = watched({ text: "mine", shown: "first", example: 0, device: "this page", asking: false });
  const respond = async () => {
    model.update({ example: 1, text: "second", answered: "second", shown: "second", device: "precomputed" });
    return { device: "this page", tokens: ["mine"] };
  };
  await answer(model, models(respond, ["minilm"]), "minilm");
  assert.deepEqual([model.get("shown"), model.get("answered"), model.get("tokens")], ["second", "second", undefined]);
  assert.deepEqual([model.get("device"), model.get("asking")], ["precomputed", false]);
});

test("a question that fails lets the reader ask again", async () => {
  const { model } = watched({ text: "long", answered: "long", shown: "a", asking: true });
  const respond = async () => Promise.reject(new Error("the text has 200 tokens"));
  await answer(model, models(respond, ["minilm"]), "minilm");
  assert.deepEqual(
    [model.get("error"), model.get("asking"), model.get("shown")],
    ["the text has 200 tokens", false, "a"],
  );
});
