import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import {
  inDigits,
  largestOf,
  Products,
  signedBar,
  signedTint,
  stripOf,
} from "../../../companion/widgets/frontend/steps_numbers.js";
import { stepsParts } from "../../../companion/widgets/frontend/steps_parts.js";
import { stepArithmetic, stepSentence } from "../../../companion/widgets/frontend/steps_words.js";
import { fakeDocument } from "./dom.js";

const [ONE, TWO, MINUS] = [0x3c00, 0x4000, 0xbc00]; // 1, 2 and -1 in 16 bits

/** One layer of one head over two tokens, d_k = 2 and d_v = 1; the first may not read the second. */
function small() {
  const [queries, keys, values] = [
    [ONE, TWO, ONE, ONE],
    [ONE, ONE, MINUS, TWO],
    [ONE, MINUS],
  ];
  const bits = Uint16Array.from([...queries, ...keys, ...values]);
  const odd = new Uint8Array(bits.byteLength + 1);
  odd.set(new Uint8Array(bits.buffer), 1);
  const mask = Uint8Array.from([1, 0, 1, 1]);
  return new Products(new DataView(odd.buffer, 1), new DataView(mask.buffer), [1, 1, 2, 2, 1], 0.5);
}

const textOf = (parts) => parts.map((part) => (typeof part === "string" ? part : part.text)).join("");

beforeEach(() => fakeDocument());

test("scores, weights and the output follow from the vectors, whatever address they begin at", () => {
  const row = small().row(0, 0, 1);
  assert.deepEqual(row.product, [2, 1]);
  assert.deepEqual(row.scaled, [1, 0.5]);
  assert.deepEqual(row.exponential, [1, Math.exp(-0.5)]);
  const [first, second] = row.weight;
  assert.ok(Math.abs(first + second - 1) < 1e-12);
  assert.ok(Math.abs(row.output[0] - (first - second)) < 1e-6);
});

test("what may not be read has a score of minus infinity and no weight", () => {
  const row = small().row(0, 0, 0);
  assert.deepEqual(row.masked, [1.5, -Infinity]);
  assert.deepEqual(row.weight, [1, 0]);
  assert.equal(stepArithmetic("mask", row, 1, 0, 0.5), "may not be read: 1.50 − ∞ = −∞");
});

test("each step says what it does to one key in numbers", () => {
  const row = small().row(0, 0, 1);
  assert.equal(stepArithmetic("compare", row, 1, 0, 0.5), "2.00 − 1.00 = 1.00. Number 0: 1.00 × −1.00 = −1.00");
  assert.equal(stepArithmetic("scale", row, 0, 0, 0.5), "2.00 ÷ 2.00 = 1.00");
  assert.equal(stepArithmetic("softmax", row, 1, 0, 0.5), "exp(0.50 − 1.00) = 0.607; ÷ 1.607 = 0.378");
  assert.match(stepArithmetic("add", row, 1, 0, 0.5), /^Number 0: 0\.378 × −1\.00 = −0\.378; over all tokens 0\.245$/);
});

test("the sentence of a mask says how many scores it takes away, and when it takes none", () => {
  assert.match(
    textOf(stepSentence("mask", small().row(0, 0, 0), "He", 0.5)),
    /^Where He may not read.*to 1 of 2 scores/,
  );
  assert.equal(
    textOf(stepSentence("mask", small().row(0, 0, 1), "He", 0.5)),
    "Nothing is hidden from He: 0 is added to every score.",
  );
});

test("numbers are written with a true minus, without a negative zero, and the tiny ones named so", () => {
  assert.deepEqual(
    [-1.234, -0.001, -Infinity].map((x) => inDigits(x)),
    ["−1.23", "0.00", "−∞"],
  );
  assert.deepEqual(
    [0.0004, 0, 1].map((x) => inDigits(x, 3)),
    ["< 0.001", "0.000", "1.000"],
  );
});

test("a strip has a cell for each number, orange below zero and blue above, the stronger the larger", () => {
  assert.equal(signedTint(-1, 4), "color-mix(in srgb, var(--ca-accent) 50%, var(--ca-zero))");
  assert.equal(signedTint(4, 4), "color-mix(in srgb, var(--ca-blue) 100%, var(--ca-zero))");
  assert.equal(stripOf(Float32Array.of(1, -1, 0, 2), 2).match(/color-mix/g).length, 4);
  assert.equal(largestOf([Float32Array.of(1, -3), [2]]), 3);
  assert.equal(signedTint(0, 0), "color-mix(in srgb, var(--ca-blue) 0%, var(--ca-zero))");
});

test("a bar leads from the middle to the side of its sign", () => {
  assert.match(signedBar(-1, 2), /var\(--ca-accent\) 25% 50%/);
  assert.match(signedBar(2, 2), /var\(--ca-blue\) 50% 100%/);
});

test("two views on a page share no id, and each step has a part of the formula", () => {
  const views = [stepsParts(), stepsParts()];
  const ids = views.map((ui) => [...ui.tabs.children, ui.layer, ui.head, ui.query, ui.panel].map(({ id }) => id));
  assert.equal(new Set(ids.flat()).size, ids.flat().length);
  const marked = views[0].formula.all().map((part) => part.attributes["data-step"]);
  const named = views[0].tabs.children.map((tab) => tab.attributes["data-step"]);
  for (const step of named) assert.ok(marked.includes(step));
});
