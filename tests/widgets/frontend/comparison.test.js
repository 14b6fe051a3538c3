import assert from "node:assert/strict";
import { test } from "node:test";

import { candidates, makeVocabulary } from "../../../companion/widgets/browser/candidates.js";
import { compared } from "../../../companion/widgets/browser/comparison.js";

const LABELS = ["a", "b", "c", "d", "e", "f", "[MASK]"];
const WORDS = makeVocabulary({}, { decode: (ids) => ids.map((id) => LABELS[id]).join(" ") }, LABELS);

/** The answer of a model that scores each position so, as the worker gives it. */
function answer(ids, rows, mask = "") {
  const place = mask ? ids.lastIndexOf(LABELS.indexOf(mask)) : ids.length - 1;
  const next = place < 0 ? [] : candidates(WORDS, Float32Array.from(rows[place]), ids.at(-1));
  const tokens = ids.map((id) => LABELS[id]);
  return { ids, tokens, mask, allLogits: Float32Array.from(rows.flat()), next_tokens: next };
}

const FLAT = [0, 0, 0, 0, 0, 0, 0];
const SURE = [0, Math.log(6), 0, 0, 0, 0, 0]; // half on b

test("each token but the first has its loss in nats, before and after", () => {
  const { losses } = compared(answer([0, 1, 1], [SURE, FLAT, FLAT]), answer([0, 1, 1], [FLAT, SURE, FLAT]));
  const expected = [Math.log(2), Math.log(7), Math.log(7), Math.log(2)];
  for (const [k, loss] of losses.flat().entries()) assert.ok(Math.abs(loss - expected[k]) < 1e-6);
  assert.equal(losses.length, 2);
});

test("the likeliest tokens of both runs are listed once, each with both probabilities", () => {
  const before = answer([0], [[5, 4, 3, 2, 1, -8, -9]]);
  const after = answer([0], [[-9, -8, 1, 2, 3, 4, 5]]);
  const { chances } = compared(before, after);
  assert.deepEqual(
    chances.map(({ token }) => token),
    ["a", "b", "c", "d", "e", "f", "[MASK]"],
  );
  assert.ok(Math.abs(chances.reduce((sum, one) => sum + one.before, 0) - 1) < 1e-6);
  assert.ok(Math.abs(chances.at(-1).after - chances[0].before) < 1e-6);
});

test("large scores give numbers, not infinities", () => {
  const rows = [FLAT, FLAT].map((row) => row.map((_, k) => (k === 1 ? 1000 : 0)));
  const { chances, losses } = compared(answer([0, 1], rows), answer([0, 1], rows));
  assert.deepEqual([chances[0].before, losses], [1, [[0, 0]]]);
});

test("a model that fills in is judged behind its last mask, and by no loss", () => {
  const ids = [6, 0, 6, 1];
  const { chances, losses, mask } = compared(
    answer(ids, [FLAT, FLAT, SURE, FLAT], "[MASK]"),
    answer(ids, [FLAT, FLAT, FLAT, FLAT], "[MASK]"),
  );
  assert.deepEqual([mask, losses], ["[MASK]", []]);
  assert.equal(chances[0].token, "b");
  assert.ok(Math.abs(chances[0].before - 0.5) < 1e-6);
});

test("a text without a mask has nothing to fill in", () => {
  const plain = answer([0, 1], [FLAT, FLAT], "[MASK]");
  assert.deepEqual(compared(plain, plain).chances, []);
});
