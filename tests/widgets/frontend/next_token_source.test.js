import assert from "node:assert/strict";
import { test } from "node:test";

import { StaticModel } from "../../../companion/widgets/browser/static_host.js";
import { Source } from "../../../companion/widgets/frontend/next_token_source.js";

const logits = Buffer.from(Uint16Array.of(0, 2048, 65535).buffer).toString("base64");
const ANSWER = { text: "a", after: [], tokens: ["a"], written: "", ends: false, logits, device: "d", latency_ms: 0 };
const PACKED = { ...ANSWER, candidates: [{ id: 0, token: "x", probability: 0.7, text: "x", logit: 5.25 }] };

/** A source over what a page knows; a kernel answers each question with `respond`. */
function source({ models, is_live = false, respond } = {}) {
  const state = { answers: [PACKED], is_live, question: {}, answer: {} };
  const model = new StaticModel(state, () => respond?.(model, model.get("question")));
  return new Source(model, models, "story");
}

const quiet = () => {};

test("what the page knows is answered by nobody, and its logits are steps below the largest", async () => {
  const { logits, candidates } = await source().ask("a", [], false, quiet);
  assert.deepEqual([...logits.subarray(0, 2)], [5.25, 4.25]);
  assert.ok(logits[2] < 5.25 - 31);
  assert.equal(candidates[0].token, "x");
});

test("a page without a model says so, and knows what it can show", async () => {
  const alone = source();
  assert.deepEqual([alone.answers, alone.knows("a", []), alone.knows("a", [1])], [false, true, false]);
  await assert.rejects(alone.ask("b", [], false, quiet), /This page has no model/);
});

test("a model of the book is asked for what follows the chosen tokens", async () => {
  const asked = [];
  const answer = { ...ANSWER, next_tokens: [], logits: Float32Array.of(1) };
  const run = async (...question) => asked.push(question) && answer;
  const catalogue = { models: { story: { asked: true } } };
  const book = source({ models: { catalogue, run, ready: new Set(), offer: async (name) => `an offer of ${name}` } });
  assert.deepEqual([book.answers, book.slow, await book.offer()], [true, true, "an offer of story"]);
  const { after, candidates } = await book.ask("b", [3], false, quiet);
  const [[name, text, how]] = asked;
  assert.deepEqual([name, text, how.after, after, candidates], ["story", "b", [3], [3], []]);
});

test("a book that was built without the model has only what it was built with", () => {
  assert.equal(source({ models: { catalogue: { models: {} } } }).answers, false);
});

test("a kernel's answers reach their questions, in any order, and its refusals too", async () => {
  const asked = [];
  const kernel = source({ is_live: true, respond: (model, question) => asked.push({ model, ...question }) });
  const both = [kernel.ask("b", [], false, quiet), kernel.ask("c", [1], false, quiet)];
  const refused = assert.rejects(both[0], /too long/);
  asked[1].model.update({ answer: { ...PACKED, number: 2, text: "c" } });
  asked[0].model.update({ answer: { number: 1, error: "too long" } });
  await refused;
  assert.equal((await both[1]).text, "c");
});
