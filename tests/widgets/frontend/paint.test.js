import assert from "node:assert/strict";
import { test } from "node:test";

import { planAtlas } from "../../../companion/widgets/frontend/atlas.js";
import { fit, fontSize, labelled, makeTheme, plan, rgb, shade } from "../../../companion/widgets/frontend/paint.js";

const STYLES = { ramp: "#000000 #ff8000", zero: "#0a141e", text: "black", mono: "monospace" };
const theme = makeTheme((key) => STYLES[key] ?? "grey");

/** Ten pixels a letter. */
const context = { measureText: (text) => ({ width: 10 * Array.from(text).length }) };
const canvas = { getContext: () => ({ ...context }) };

test("the ramp goes from its first stop to its last", () => {
  assert.equal(theme.ramp.length, 256);
  assert.deepEqual(theme.ramp[0], [0, 0, 0]);
  assert.deepEqual(theme.ramp[255], [255, 128, 0]);
  assert.deepEqual(theme.ramp[51], [51, 26, 0]);
});

test("a word holds a colour as a pixel lies in memory: red first, opaque", () => {
  assert.deepEqual(
    [...new Uint8Array(Uint32Array.of(theme.words[255], theme.nothing).buffer)],
    [...[255, 128, 0, 255], ...[10, 20, 30, 255]],
  );
});

test("the other colours and the font are those of the style sheet", () => {
  assert.equal(theme.text, "black");
  assert.equal(theme.font(12), "12px monospace");
  assert.equal(rgb([1, 2, 3]), "rgb(1 2 3)");
});

test("a shade grows with the root of the weight, and a row without weights has none", () => {
  assert.deepEqual(
    [0, 0.25, 1].map((weight) => shade(weight, 1)),
    [0, 128, 255],
  );
  assert.equal(shade(0.25, 0.25), 255);
  assert.equal(shade(2, 1), 255);
  assert.equal(shade(0, 0), 0);
});

test("a label that is too long ends in an ellipsis and never breaks a character", () => {
  assert.equal(fit(context, "short", 50), "short");
  assert.equal(fit(context, "longer", 40), "lon…");
  assert.equal(fit(context, "😀😀😀", 20), "😀…");
  assert.equal(fit(context, "word", 1), "w…");
});

test("labels shrink with their cells down to the smallest that can be read", () => {
  assert.deepEqual([44, 12, 3].map(fontSize), [12, 10, 9]);
});

test("every label is shown where there is room", () => {
  assert.deepEqual([...labelled({ n: 4, cell: 20 }, [2])].sort(), [0, 1, 2, 3]);
});

test("without room every second label is shown, and none beside the one that is pointed at", () => {
  assert.deepEqual([...labelled({ n: 6, cell: 5 }, [3])].sort(), [0, 3]);
  assert.deepEqual([...labelled({ n: 6, cell: 5 }, [4])].sort(), [0, 2, 4]);
});

test("a matrix fits its stage, and its cells end on half pixels", () => {
  const g = plan(canvas, ["a", "bc", "def"], ["a", "bc", "def"], 200, "matrix", theme);
  assert.equal(g.left, 40);
  assert.equal(g.cell, 44);
  const [many, some] = [60, 30].map((count) => Array(count).fill("abc"));
  assert.ok(plan(canvas, many, many, 360, "matrix", theme).width <= 360);
  assert.equal((2 * plan(canvas, some, some, 333, "matrix", theme).cell) % 1, 0);
});

test("arcs take the whole stage and a row for each token", () => {
  const g = plan(canvas, ["a", "bc", "def"], ["a", "bc", "def"], 200, "arcs", theme);
  assert.deepEqual([g.width, g.cell, g.height], [200, 26, 3 * 26 + 8]);
});

test("a matrix that is no square has as many rows and columns as there are tokens on either side", () => {
  const g = plan(canvas, ["a", "bc"], ["d", "e", "f", "long"], 400, "matrix", theme);
  assert.deepEqual([g.rows, g.columns, g.left, g.top], [2, 4, 30, 50]);
  assert.deepEqual([g.width, g.height], [30 + 4 * 44 + 2, 50 + 2 * 44 + 2]);
});

test("arcs across end before the names of the other tokens, and the longer side makes the height", () => {
  const g = plan(canvas, ["a", "bc"], ["d", "e", "f"], 400, "arcs", theme, true);
  assert.deepEqual([g.left, g.end, g.height], [30, 400 - 10 - 10 - 44, 3 * 26 + 8]);
});

test("an atlas has a cell for each head, never smaller than can be pointed at", () => {
  assert.deepEqual(planAtlas(212, [2, 4, 9, 9]), {
    gutter: 20,
    cell: 40,
    layers: 2,
    heads: 4,
    width: 180,
    height: 100,
  });
  assert.equal(planAtlas(100, [2, 64, 9, 9]).cell, 6);
});
