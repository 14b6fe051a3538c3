import assert from "node:assert/strict";
import { test } from "node:test";

import { candidates, makeVocabulary } from "../../../companion/widgets/browser/candidates.js";

const WORDS = ["Tom", "is", ".", "ball", "\ufffd", "park"];
const decode = (ids) =>
  ids
    .map((id) => WORDS[id])
    .join(" ")
    .replace(" .", ".");
const words = makeVocabulary({ decoder: { type: "WordPiece" } }, { decode }, WORDS);
const bytes = makeVocabulary({ decoder: { type: "ByteLevel" } }, { decode }, WORDS);
const LOGITS = Float32Array.of(0, 3, 2, 1, 2.5, -9);

test("the five likeliest come first, with their share of the whole", () => {
  const answer = candidates(words, LOGITS, 0);
  assert.deepEqual(
    answer.map(({ token }) => token),
    ["is", "\ufffd", ".", "ball", "Tom"],
  );
  const total = LOGITS.reduce((sum, logit) => sum + Math.exp(logit), 0);
  assert.ok(Math.abs(answer[0].probability - Math.exp(3) / total) < 1e-9);
});

test("large scores give probabilities, not infinities", () => {
  const [first, second] = candidates(words, Float32Array.of(1000, 1000, 0, 0, 0, 0), 0);
  assert.deepEqual([first.probability, second.probability], [0.5, 0.5]);
});

test("a word brings the space before it, and a full stop brings none", () => {
  const text = Object.fromEntries(candidates(words, LOGITS, 0).map((one) => [one.token, one.text]));
  assert.deepEqual([text.is, text["."]], [" is", "."]);
});

test("a token of bytes is written as it is", () => {
  assert.equal(candidates(bytes, LOGITS, 0)[0].text, "is");
});

test("behind a mask a token is written as it is named", () => {
  assert.equal(candidates(words, LOGITS)[0].text, "is");
});

test("a part of a character cannot be typed", () => {
  assert.equal(candidates(words, LOGITS, 0)[1].text, "");
});

test("a vocabulary smaller than the list is named whole", () => {
  assert.equal(candidates(words, Float32Array.of(1, 2), 0).length, 2);
});
