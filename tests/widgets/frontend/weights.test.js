import assert from "node:assert/strict";
import { test } from "node:test";

import { byKey, fromHalf, largest, Weights, without } from "../../../companion/widgets/frontend/weights.js";

/** A view over `bytes` that begins at an odd address, as in a message of a kernel. */
function atOddAddress(bytes) {
  const whole = new Uint8Array(bytes.byteLength + 1);
  whole.set(new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength), 1);
  return new DataView(whole.buffer, 1);
}

test("16-bit floats are read exactly", () => {
  const known = { 0: 0, 15360: 1, 14336: 0.5, 13653: 0.333251953125, 1: 2 ** -24, 1024: 2 ** -14 };
  for (const [bits, value] of Object.entries(known)) assert.equal(fromHalf(Number(bits)), value);
});

test("float16 bytes become the weights of each head, from any address", () => {
  const codes = Uint16Array.of(0x3c00, 0, 0x3800, 0x3800, 0, 0x3c00, 0x3400, 0x3a00);
  const weights = new Weights(atOddAddress(codes), "float16", 255, [1, 2, 2, 2]);
  assert.deepEqual([...weights.head(0, 0)], [1, 0, 0.5, 0.5]);
  assert.deepEqual([...weights.head(0, 1)], [0, 1, 0.25, 0.75]);
});

test("float32 bytes are the weights", () => {
  const weights = new Weights(atOddAddress(Float32Array.of(1, 0, 0.25, 0.75)), "float32", 255, [1, 1, 2, 2]);
  assert.deepEqual([...weights.head(0, 0)], [1, 0, 0.25, 0.75]);
});

for (const levels of [255, 7]) {
  test(`uint8 codes are square roots in ${levels} levels`, () => {
    const codes = Uint8Array.of(levels, 0, 1, levels - 1);
    const weights = new Weights(atOddAddress(codes), "uint8", levels, [1, 1, 2, 2]);
    const expected = Float32Array.of(1, 0, 1 / levels ** 2, ((levels - 1) / levels) ** 2);
    assert.deepEqual(weights.head(0, 0), expected);
  });
}

test("heads are numbered layer by layer, and the last one read is kept", () => {
  const codes = Uint8Array.from({ length: 6 }, (_, k) => k);
  const weights = new Weights(new DataView(codes.buffer), "uint8", 1, [3, 2, 1, 1]);
  assert.deepEqual([...weights.head(2, 1)], [25]);
  assert.equal(weights.head(2, 1), weights.head(2, 1));
  assert.deepEqual([...weights.head(1, 0)], [4]);
});

test("a pooled head keeps the largest weight of each patch", () => {
  const codes = Uint8Array.of(1, 2, 0, 0, 3, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 4);
  const weights = new Weights(new DataView(codes.buffer), "uint8", 1, [1, 1, 4, 4]);
  assert.deepEqual([...weights.pooled(0, 0, 2, 2)], [9, 0, 0, 25]);
});

test("a head pooled to its own size is the head", () => {
  const codes = Uint8Array.of(1, 2, 3, 4);
  const weights = new Weights(new DataView(codes.buffer), "uint8", 4, [1, 1, 2, 2]);
  assert.deepEqual(weights.pooled(0, 0, 2, 2), weights.head(0, 0));
});

test("a coarse weight says that it is one", () => {
  const view = new DataView(new ArrayBuffer(4));
  assert.equal(new Weights(view, "float32", 255, [1, 1, 1, 1]).say(0.12345), "0.123");
  assert.equal(new Weights(view, "uint8", 255, [1, 1, 2, 2]).say(0.12345), "≈ 0.12");
});

test("the largest positions come first, equal ones in their order, zeros never", () => {
  assert.deepEqual(largest(Float32Array.of(0.1, 0.4, 0, 0.4, 0.2), 3), [1, 3, 4]);
  assert.deepEqual(largest(Float32Array.of(0, 0.5), 5), [1]);
  assert.deepEqual(largest(new Float32Array(3), 5), []);
});

test("the mean of a layer is that of its heads, and of no other layer", () => {
  const codes = Float32Array.of(1, 0, 0.5, 0.5, 0, 1, 0.25, 0.75, 1, 0, 1, 0, 1, 0, 1, 0);
  const weights = new Weights(new DataView(codes.buffer), "float32", 255, [2, 2, 2, 2]);
  assert.deepEqual([...weights.mean(0)], [0.5, 0.5, 0.375, 0.625]);
  assert.deepEqual([...weights.mean(1)], [1, 0, 1, 0]);
});

test("the sink is the key that gets most of all weight, with its part", () => {
  const codes = Float32Array.of(1, 0, 0.75, 0.25, 1, 0, 0.25, 0.75);
  const weights = new Weights(new DataView(codes.buffer), "float32", 255, [1, 2, 2, 2]);
  assert.deepEqual(weights.sink, { key: 0, part: 0.75 });
  const nothing = new Weights(new DataView(new ArrayBuffer(16)), "float32", 255, [1, 1, 2, 2]);
  assert.deepEqual(nothing.sink, { key: 0, part: 0 });
});

test("of a text of a thousand tokens the sink is found too", () => {
  const n = 1000;
  const codes = new Uint8Array(n * n);
  for (let i = 0; i < n; i += 1) codes.set([1, 3], Math.min(i * n + 6, n * n - 2));
  const { key, part } = new Weights(new DataView(codes.buffer), "uint8", 4, [1, 1, n, n]).sink;
  assert.equal(key, 7);
  assert.ok(Math.abs(part - 0.9) < 1e-6);
});

test("without a key the others are parts of what is left, and a query that looked nowhere else looks nowhere", () => {
  assert.deepEqual(
    [...without(Float32Array.of(0.5, 0.125, 0.375, 1, 0, 0, 0, 0.5, 0.5), 3, 0)],
    [0, 0.25, 0.75, 0, 0, 0, 0, 0.5, 0.5],
  );
});

test("by key, a row holds what each query gives to a token", () => {
  assert.deepEqual([...byKey(Float32Array.of(1, 0, 0.25, 0.75), 2)], [1, 0.25, 0, 0.75]);
});

test("a small picture can leave a key out", () => {
  const weights = new Weights(new DataView(Float32Array.of(1, 0, 0.5, 0.25).buffer), "float32", 255, [1, 1, 2, 2]);
  assert.deepEqual([...weights.pooled(0, 0, 2, 2, 0)], [0, 0, 0, 0.25]);
  assert.deepEqual([...weights.pooled(0, 0, 1, 1)], [1]);
});

test("a rectangle has a row for each query and a column for each key, behind the maps before it", () => {
  const codes = Float32Array.of(9, 9, 0.5, 0.25, 0.25, 0, 1, 0);
  const weights = new Weights(new DataView(codes.buffer), "float32", 255, [1, 1, 2, 3], 2);
  assert.deepEqual([...weights.head(0, 0)], [0.5, 0.25, 0.25, 0, 1, 0]);
  assert.deepEqual([...byKey(weights.head(0, 0), 3)], [0.5, 0, 0.25, 1, 0.25, 0]);
  assert.deepEqual([...weights.pooled(0, 0, 2, 1)], [0.5, 1]);
  assert.deepEqual([...weights.pooled(0, 0, 1, 3)], [0.5, 1, 0.25]);
});

test("the rollout of a layer is half its mean and half the identity, times that of the layers before it", () => {
  const codes = Float32Array.of(1, 0, 1, 0, 1, 0, 0, 1, 1, 0, 1, 0, 1, 0, 1, 0);
  const weights = new Weights(new DataView(codes.buffer), "float32", 255, [2, 2, 2, 2]);
  assert.deepEqual([...weights.rollout(0)], [1, 0, 0.25, 0.75]);
  assert.deepEqual([...weights.rollout(1)], [1, 0, 0.625, 0.375]);
  assert.deepEqual([...weights.rollout(0)], [1, 0, 0.25, 0.75]);
});

test("the rows of a rollout of coarse weights sum to one", () => {
  const n = 5;
  const codes = Uint8Array.from({ length: 3 * n * n }, (_, k) => (7 * k) % 5);
  const weights = new Weights(new DataView(codes.buffer), "uint8", 7, [3, 1, n, n]);
  for (let i = 0; i < n; i += 1) {
    const row = weights.rollout(2).subarray(i * n, (i + 1) * n);
    assert.ok(Math.abs(row.reduce((a, b) => a + b, 0) - 1) < 1e-6);
  }
});
