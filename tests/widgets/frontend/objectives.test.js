import assert from "node:assert/strict";
import { test } from "node:test";

import { drawChances, lessonOf } from "../../../companion/widgets/frontend/objectives.js";

const WORDS = "the cat sat on the mat today".split(" ");
const DRAW = { masked: [1, 4], lost: [2, 3, 5], order: [3, 0, 6, 1, 5, 2, 4], predicted: 2, prefix: 3 };

/** The words that a target is predicted from, by target. */
function whatIsRead(objective) {
  const { targets, matrices } = lessonOf(objective, WORDS, DRAW);
  return targets.map(({ word, matrix, row }) => {
    const { columns, allowed } = matrices[matrix];
    return [word, columns.filter((_, j) => allowed[row][j]).join(" ")];
  });
}

test("a causal target is predicted from the words before it", () => {
  assert.deepEqual(whatIsRead("causal")[2], ["on", "the cat sat"]);
  assert.equal(whatIsRead("causal").length, WORDS.length - 1);
});

test("a masked target is predicted from both sides, with no hidden word in sight", () => {
  const read = "the [MASK] sat on [MASK] mat today";
  assert.deepEqual(whatIsRead("masked"), [
    ["cat", read],
    ["the", read],
  ]);
});

test("the target after a prefix is predicted from the prefix, and a later one from the words between as well", () => {
  assert.deepEqual(whatIsRead("prefix").slice(0, 2), [
    ["on", "the cat sat"],
    ["the", "the cat sat on"],
  ]);
});

test("a permuted target reads what is earlier in the order, wherever it stands, and never itself", () => {
  assert.deepEqual(whatIsRead("permutation"), [
    ["sat", "the cat on the mat today"],
    ["the", "the cat on mat today"],
  ]);
});

test("spans leave one mark each, and are written behind their marks", () => {
  const { inputs, targets } = lessonOf("spans", WORDS, DRAW);
  assert.deepEqual(
    inputs.map(([, words]) => words.join(" ")),
    ["the cat ⟨1⟩ the ⟨2⟩ today ⟨end⟩", "⟨start⟩ ⟨1⟩ sat on ⟨2⟩ mat ⟨3⟩"],
  );
  assert.equal(targets.map(({ word }) => word).join(" "), "⟨1⟩ sat on ⟨2⟩ mat ⟨3⟩ ⟨end⟩");
});

test("a denoiser is asked for the whole sentence", () => {
  const { inputs, targets } = lessonOf("denoising", WORDS, DRAW);
  assert.equal(inputs[0][1].join(" "), "the cat [MASK] the [MASK] today ⟨end⟩");
  assert.equal(targets.map(({ word }) => word).join(" "), `${WORDS.join(" ")} ⟨end⟩`);
});

test("whatever chance decides fits the sentence", () => {
  for (let n = 2; n < 40; n += 1) {
    for (let again = 0; again < 20; again += 1) {
      const { masked, lost, order, predicted, prefix } = drawChances(n);
      assert.deepEqual(
        [...order].sort((a, b) => a - b),
        [...Array(n).keys()],
      );
      for (const places of [masked, lost]) {
        assert.ok(places.length >= 1 && places.length < n && places.every((i) => i >= 0 && i < n));
        assert.equal(new Set(places).size, places.length);
      }
      assert.ok(predicted >= 1 && predicted < n && prefix >= 1 && prefix < n);
    }
  }
});
