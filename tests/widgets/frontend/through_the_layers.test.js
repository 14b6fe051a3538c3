import assert from "node:assert/strict";
import { test } from "node:test";

import { darkness, writersOf } from "../../../companion/widgets/frontend/through_the_layers.js";

const cell = (probability, norm) => ({ said: [[0, probability]], norm, heads: [], networks: [], start: 0 });

test("a cell is as dark as its token is likely", () => {
  assert.equal(darkness([[cell(0.25, 1)]], "probability")(cell(0.25, 1)), 0.25);
});

test("by length, the shortest stream is lightest and the longest darkest, on a logarithmic scale", () => {
  const levels = [
    [cell(1, 1), cell(1, 10)],
    [cell(1, 100), cell(1, 1)],
  ];
  const shade = darkness(levels, "norm");
  assert.deepEqual(
    [1, 10, 100].map((norm) => Math.round(100 * shade(cell(1, norm)))),
    [0, 50, 100],
  );
  assert.equal(darkness([[cell(1, 3)]], "norm")(cell(1, 3)), 0);
});

test("writers are named strongest first, and those against the token are left out", () => {
  const one = {
    heads: [
      [3, 1, 0.5],
      [0, 2, -0.1],
    ],
    networks: [[2, 0.9]],
    start: 0.2,
  };
  assert.deepEqual(writersOf(one), [
    ["network 2", 0.9],
    ["head 3.1", 0.5],
    ["embedding", 0.2],
  ]);
});
