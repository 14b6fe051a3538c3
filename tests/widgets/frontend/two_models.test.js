import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { candidates, makeVocabulary } from "../../../companion/widgets/browser/candidates.js";
import { predictedBy } from "../../../companion/widgets/browser/comparison.js";
import { LiveModels } from "../../../companion/widgets/browser/live.js";
import { StaticModel } from "../../../companion/widgets/browser/static_host.js";
import { connectTwo } from "../../../companion/widgets/browser/two_host.js";
import { differenceOf, drawSigns, signedWord } from "../../../companion/widgets/frontend/difference.js";
import { divergenceFrom, divergenceOf, pairedDivergence } from "../../../companion/widgets/frontend/divergence.js";
import { stepped } from "../../../companion/widgets/frontend/two_models.js";
import { buildTwo } from "../../../companion/widgets/frontend/two_models_parts.js";
import { Weights } from "../../../companion/widgets/frontend/weights.js";
import { fakeDocument } from "./dom.js";

beforeEach(() => fakeDocument());

const near = (found, expected) => assert.ok(Math.abs(found - expected) < 1e-6, `${found} is not ${expected}`);

const EVEN = Float32Array.of(0.5, 0.5, 0.5, 0.5);
const OWN = Float32Array.of(1, 0, 0, 1);
const OTHER = Float32Array.of(0, 1, 1, 0);
const APART = 1.5 - 0.75 * Math.log2(3); // of an even head of two tokens and one that looks at one

/** Layers of heads over two tokens. */
function model(layers) {
  const values = Float32Array.from(layers.flatMap((heads) => heads.flatMap((head) => [...head])));
  return new Weights(new DataView(values.buffer), "float32", 0, [layers.length, layers[0].length, 2, 2]);
}

test("two heads are 0 bits apart if they are alike, and 1 if they share no token", () => {
  near(divergenceOf(OWN, OWN, 2), 0);
  near(divergenceOf(OWN, OTHER, 2), 1);
  near(divergenceOf(EVEN, OWN, 2), APART);
  near(divergenceOf(OWN, EVEN, 2), APART);
});

test("heads are paired by their number and by the layers that are named", () => {
  const first = model([
    [OWN, EVEN],
    [EVEN, OTHER],
    [OTHER, OWN],
  ]);
  const second = model([
    [EVEN, OTHER],
    [OWN, OWN],
  ]);
  const found = pairedDivergence(first, second, [1, 2]);
  for (const [k, expected] of [0, 0, 1, 0].entries()) near(found.flat()[k], expected);
});

test("one head is compared with every head of the other model", () => {
  const found = divergenceFrom(
    EVEN,
    model([
      [EVEN, OTHER],
      [OWN, EVEN],
    ]),
  );
  assert.deepEqual([found.length, found[0].length], [2, 2]);
  for (const [k, expected] of [0, APART, APART, 0].entries()) near(found.flat()[k], expected);
});

test("the colour of a difference goes from one pole over the neutral zero to the other", () => {
  const theme = {
    poles: [
      [200, 0, 0],
      [10, 20, 30],
      [0, 0, 200],
    ],
  };
  const colour = (difference) => [...new Uint8Array(Uint32Array.of(signedWord(difference, theme)).buffer)];
  assert.deepEqual([-1, 0, 1].map(colour), [
    [200, 0, 0, 255],
    [10, 20, 30, 255],
    [0, 0, 200, 255],
  ]);
  assert.notDeepEqual(colour(-0.2), colour(0.2));
});

test("a difference has its sign in the cell, where there is room and it is more than a little", () => {
  const written = [];
  const context = { fillText: (...what) => written.push(what) };
  const canvas = { getContext: () => context };
  const theme = { font: (size) => `${size}px`, text: "black" };
  const difference = differenceOf(Float32Array.of(0.5, 0.5, 1, 0), Float32Array.of(0.25, 0.75, 0.99, 0.01));
  drawSigns(canvas, { cell: 20, left: 10, top: 30 }, difference, 2, theme);
  assert.deepEqual(written, [
    ["+", 20, 40],
    ["−", 40, 40],
  ]);
  drawSigns(canvas, { cell: 8, left: 10, top: 30 }, difference, 2, theme);
  assert.equal(written.length, 2);
});

test("a key leads to the cell beside, to an end or nowhere, and never out of the grid", () => {
  const key = (name) => stepped({ key: name, preventDefault: () => {} }, [1, 1], [3, 4]);
  assert.deepEqual(["ArrowUp", "ArrowRight", "End", "PageDown", "Home", "Tab"].map(key), [
    [0, 1],
    [1, 2],
    [1, 3],
    [2, 1],
    [1, 0],
    undefined,
  ]);
  assert.deepEqual(stepped({ key: "ArrowDown", preventDefault: () => {} }, [2, 0], [3, 4]), [2, 0]);
});

test("two views on a page share no id, every label names a control of its own view, and names stay text", () => {
  const views = [buildTwo(["<b>", "student"]), buildTwo(["a", "b"])].map((ui) => ui.root.all());
  const ids = views.map((elements) => elements.map(({ id }) => id).filter(Boolean));
  assert.equal(new Set(ids.flat()).size, ids.flat().length);
  for (const [k, elements] of views.entries()) {
    const targets = elements.filter(({ tag }) => tag === "label").map(({ htmlFor }) => htmlFor);
    assert.deepEqual(
      targets.filter((target) => !ids[k].includes(target)),
      [],
    );
  }
  assert.ok(views[0][0].text.includes("All heads of <b>"));
});

const LABELS = ["a", "b", "[MASK]"];
const WORDS = makeVocabulary({}, { decode: (ids) => ids.map((id) => LABELS[id]).join(" ") }, LABELS);

/** The answer of a model that scores each position so, as the worker gives it. */
function answer(rows, { ids = [0, 1], mask = "" } = {}) {
  const place = mask ? ids.lastIndexOf(2) : ids.length - 1;
  const next_tokens = place < 0 ? [] : candidates(WORDS, Float32Array.from(rows[place]), ids.at(-1));
  const tokens = ids.map((id) => LABELS[id]);
  const attention = new Float32Array(4);
  return { ids, tokens, mask, allLogits: Float32Array.from(rows.flat()), next_tokens, attention };
}

const FLAT = [0, 0, 0];
const SURE = [0, Math.log(2), 0]; // half on b

test("what two models predict is listed with both probabilities and the divergence of the second, in bits", () => {
  const { mask, chances, divergence } = predictedBy(answer([SURE, SURE]), answer([SURE, FLAT]));
  assert.deepEqual([mask, chances[0].token], ["", "b"]);
  near(chances[0].before, 1 / 2);
  near(chances[0].after, 1 / 3);
  near(divergence, Math.log2(3) - 1.5);
});

test("models that fill in are compared behind the mask, and without one not at all", () => {
  const masked = { ids: [2, 0], mask: "[MASK]" };
  near(predictedBy(answer([SURE, FLAT], masked), answer([FLAT, SURE], masked)).divergence, Math.log2(3) - 1.5);
  const plain = answer([SURE, FLAT], { mask: "[MASK]" });
  assert.deepEqual(predictedBy(plain, plain), { mask: "[MASK]", chances: [], divergence: null });
});

test("a model that goes on and one that fills in predict nothing in common", () => {
  const found = predictedBy(answer([SURE, FLAT]), answer([SURE, FLAT], { ids: [2, 0], mask: "[MASK]" }));
  assert.deepEqual(found, { mask: "", chances: [], divergence: null });
});

/** A view of two models of the page, of so many bytes each, and the questions that were put to them. */
async function view(respond, bytes = [1e6, 1e6]) {
  const asked = [];
  const cancelled = [];
  const models = {
    catalogue: {
      runtime: 14e6,
      models: { one: { title: "One", bytes: bytes[0] }, two: { title: "Two", bytes: bytes[1] } },
    },
    ready: new Set(),
    isKept: async () => false,
    offer: LiveModels.prototype.offer,
    cancel: (name) => cancelled.push(name),
    run: async (name, text) => {
      asked.push([name, text]);
      return { ...answer([SURE, FLAT]), latency_ms: 2, device: "this page", ...respond?.(name, text) };
    },
  };
  const state = { text: "a", shown: "a", error: "", device: "precomputed", latency_ms: 0 };
  const traits = new StaticModel(state, () => {});
  await connectTwo(traits, models, "one two");
  return { traits, asked, cancelled };
}

const settle = () => new Promise((done) => setTimeout(done, 5));

test("a text is put to both models, and both answer at once", async () => {
  const { traits, asked } = await view();
  traits.set("text", "b");
  await settle();
  assert.deepEqual(asked, [
    ["one", "b"],
    ["two", "b"],
  ]);
  assert.deepEqual([traits.get("shown"), traits.get("device"), traits.get("latency_ms")], ["b", "this page", 4]);
  assert.deepEqual(traits.get("tokens"), ["a", "b"]);
  assert.equal(traits.get("second").byteLength, 16);
  near(traits.get("prediction").divergence, 0);
});

test("an empty text is asked about too, and a refusal is told", async () => {
  const { traits } = await view((name, text) => {
    if (!text && name === "two") throw new Error("the text is empty");
  });
  traits.set("text", "");
  await settle();
  assert.deepEqual([traits.get("error"), traits.get("shown")], ["the text is empty", "a"]);
  traits.set("text", "b");
  await settle();
  assert.deepEqual([traits.get("error"), traits.get("shown")], ["", "b"]);
});

test("models that cut the text in two ways are not compared", async () => {
  const { traits } = await view((name) => (name === "two" ? { ids: [1, 1] } : {}));
  traits.set("text", "b");
  await settle();
  assert.match(traits.get("error"), /do not read the same tokens/);
});

test("of two models the large ones are offered together, and both are called off together", async () => {
  const both = await view(undefined, [4e7, 6e7]);
  assert.deepEqual(both.traits.get("offer"), { title: "One and Two", bytes: 1e8, runtime: 14e6 });
  both.traits.set("text", "b");
  await settle();
  assert.deepEqual(both.asked, []);
  both.traits.set("loading", true);
  both.traits.set("loading", false);
  assert.deepEqual(both.cancelled, ["one", "two"]);
  const { traits } = await view(undefined, [1e6, 6e7]);
  assert.deepEqual(traits.get("offer"), { title: "Two", bytes: 6e7, runtime: 14e6 });
});

test("a book that was built without one of them leaves the view as it is", async () => {
  const traits = new StaticModel({}, () => {});
  await connectTwo(traits, { catalogue: { models: { one: { title: "One", bytes: 1 } } } }, "one two");
  assert.equal(traits.get("is_live"), undefined);
});
