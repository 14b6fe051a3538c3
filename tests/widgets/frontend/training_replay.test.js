import assert from "node:assert/strict";
import { test } from "node:test";

import { inWords, points } from "../../../companion/widgets/frontend/training_replay.js";

test("a curve reaches from edge to edge, its largest value on top", () => {
  const found = points([0, 50, 100], [4, 1, 2]);
  assert.deepEqual(
    found.map(([x]) => x),
    [6, 300, 594],
  );
  assert.deepEqual(
    found.map(([, y]) => y),
    [6, 90, 62],
  );
});

test("steps that are not evenly apart are not drawn so", () => {
  assert.deepEqual(
    points([0, 25, 100], [0, 0, 1]).map(([x]) => x),
    [6, 153, 594],
  );
});

test("one checkpoint, or a curve that never moves, is a line and no division by zero", () => {
  for (const [x, y] of [...points([7], [3]), ...points([0, 1], [2, 2])])
    assert.ok(Number.isFinite(x) && Number.isFinite(y));
});

test("values are said in three digits at most", () => {
  assert.deepEqual([3.1459, 0.001234, 2, 1234.5].map(inWords), ["3.15", "0.001", "2", "1230"]);
});
