import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { sidesOf, turned } from "../../../companion/widgets/frontend/kinds.js";
import { headName, overlaid } from "../../../companion/widgets/frontend/overlay.js";
import { arePaired, keptBy, keptPart } from "../../../companion/widgets/frontend/pairs.js";
import { Picture } from "../../../companion/widgets/frontend/picture.js";
import { fakeDocument } from "./dom.js";

const NOTHING = { kinds: [], kind: "", target: [], segments: [], pair: "", overlay: [], examples: [], example: 0 };

/** A picture of these weights, one layer of heads; each row of them a query. */
function pictureOf(heads, more = {}) {
  const [rows, columns] = [heads[0].length, heads[0][0].length];
  const attention = new DataView(Float32Array.from(heads.flat(2)).buffer);
  const tokens = Array.from({ length: columns }, (_, k) => `t${k}`);
  const state = { ...NOTHING, attention, tokens, encoding: "float32", levels: 255, view: "matrix", layer: 0, head: 0 };
  Object.assign(state, { shape: [1, heads.length, rows, columns], model_layers: 0 }, more);
  const picture = new Picture({ get: (name) => state[name] }, { append() {} });
  return Object.assign(picture, { state });
}

const HEADS = [
  [
    [1, 0, 0],
    [0.5, 0.5, 0],
    [0.25, 0.25, 0.5],
  ],
  [
    [1, 0, 0],
    [0, 1, 0],
    [0, 0.75, 0.25],
  ],
];

beforeEach(() => fakeDocument());

test("a head is laid over others once, a second time takes it out, and a fifth is not taken", () => {
  const four = [0, 1, 2, 3].reduce((heads, head) => overlaid(heads, [0, head]), []);
  assert.equal(four.length, 4);
  assert.equal(overlaid(four, [1, 0]), four);
  assert.deepEqual(overlaid(four, [0, 2]), [
    [0, 0],
    [0, 1],
    [0, 3],
  ]);
});

test("of heads over each other the key is pointed at that one of them looks at most, and all are named", () => {
  const overlay = [
    [0, 0],
    [0, 1],
  ];
  const picture = pictureOf(HEADS, { overlay, view: "arcs" });
  assert.deepEqual(picture.pinned, { row: 2, column: 1 });
  assert.deepEqual(picture.places, overlay.map(headName));
  assert.deepEqual([...picture.row(2, picture.drawn[1])], [0, 0.75, 0.25]);
});

test("a matrix, a mean and a rollout have no room for heads over each other", () => {
  const picture = pictureOf(HEADS, { overlay: [[0, 1]] });
  assert.deepEqual([picture.over, picture.place], [[], "layer 0, head 0"]);
  picture.state.view = "arcs";
  picture.lens.of = "mean";
  assert.deepEqual([picture.over, picture.place], [[], "layer 0, mean of its heads"]);
});

test("a rollout is named with the layer that it ends at, and is offered where a token reads nothing else", () => {
  const picture = pictureOf(HEADS);
  picture.lens.of = "rollout";
  assert.equal(picture.place, "rollout through layer 0");
  assert.deepEqual([...picture.row(1)], [0.125, 0.875, 0]);
  const rolls = ["", "encoder", "decoder", "cross"].map((kind) => {
    picture.state.kind = kind;
    return picture.rolls;
  });
  assert.deepEqual(rolls, [true, true, false, false]);
});

test("a rollout of fewer maps than the model has layers says so", () => {
  const picture = pictureOf(HEADS, { model_layers: 3 });
  picture.lens.of = "rollout";
  assert.match(picture.told(0, [], []), /Only 1 of the model’s 3 layers have a map here/);
});

test("a pair keeps what leads from one sentence to the other, and says how much that is", () => {
  const segments = [0, 0, 1];
  assert.deepEqual(keptPart(Float32Array.from(HEADS[0].flat()), 3, keptBy(segments, "BA")), {
    weight: 0.5 / 3,
    cells: 2 / 9,
  });
  const both = ["AA", "AB", "BA", "BB"].map(
    (pair) => keptPart(Float32Array.from(HEADS[1].flat()), 3, keptBy(segments, pair)).weight,
  );
  assert.ok(Math.abs(both.reduce((a, b) => a + b) - 1) < 1e-9);
  assert.ok([0, 1, 2].every((i) => keptBy(segments, "")(i, 0)));
});

test("a token of neither sentence is kept by no pair, and without two sentences there is no pair", () => {
  assert.equal(keptBy([2, 0, 1], "AB")(0, 2), false);
  assert.deepEqual([[], [0, 0], [1, 2], [0, 1, 2]].map(arePaired), [false, false, false, true]);
  assert.equal(pictureOf(HEADS, { segments: [0, 0, 0], pair: "AB" }).pair, "");
});

test("by key, a pair still leads from the sentence that looks", () => {
  const picture = pictureOf(HEADS, { segments: [0, 0, 1], pair: "BA" });
  assert.deepEqual([picture.kept(2, 0), picture.kept(0, 2)], [true, false]);
  picture.lens.read = true;
  assert.deepEqual([picture.kept(2, 0), picture.kept(0, 2)], [false, true]);
});

const CROSS = {
  kinds: [
    { kind: "encoder", shape: [2, 1, 3, 3] },
    { kind: "cross", shape: [1, 1, 2, 3] },
  ],
  kind: "cross",
  tokens: ["a", "b", "c"],
  target: ["d", "e"],
};

test("cross-attention has the target's tokens as rows and the source's as columns; by key it is the other way", () => {
  const model = { get: (name) => CROSS[name] };
  assert.deepEqual(sidesOf(model), { queries: ["d", "e"], keys: ["a", "b", "c"] });
  const heads = [...Array(3).fill(HEADS[0]).flat(), [1, 0, 0], [0, 0.25, 0.75]]; // two layers of the encoder first
  const picture = pictureOf([heads.slice(1)], { ...CROSS, shape: [1, 1, 2, 3] });
  picture.state.attention = new DataView(Float32Array.from([...Array(18).fill(0), 1, 0, 0, 0, 0.25, 0.75]).buffer);
  picture.read();
  assert.deepEqual([picture.tokens, picture.others], [CROSS.target, CROSS.tokens]);
  picture.pinned.row = 1;
  picture.read();
  assert.deepEqual(picture.pinned, { row: 1, column: 2 });
  picture.lens.read = true;
  picture.readSides();
  assert.deepEqual([picture.tokens.length, [...picture.row(2)]], [3, [0, 0.75]]);
});

test("another kind keeps the head where it has one, and lays none over others", () => {
  const state = { ...CROSS, layer: 0, head: 0, shape: [1, 1, 2, 3] };
  const model = { get: (name) => state[name] };
  const expected = { kind: "encoder", shape: [2, 1, 3, 3], layer: 0, head: 0, overlay: [] };
  assert.deepEqual(turned(model, "encoder"), expected);
  Object.assign(state, { kind: "encoder", layer: 1, shape: [2, 1, 3, 3] });
  assert.equal(turned(model, "cross").layer, 0);
});
