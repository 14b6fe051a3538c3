// The numbers of one head, read from the bytes of a layer, and what attention makes of them, step by step.

import { fromHalf } from "./weights.js";

/** @import { Row, StepsShape } from "./types" */

/**
 * The 16-bit floats of a view, which may start at an odd address.
 *
 * @param {DataView<ArrayBuffer>} view
 */
function signedHalves(view) {
  const bits = new Uint16Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));
  return Float32Array.from(bits, (code) => (code & 0x8000 ? -fromHalf(code) : fromHalf(code)));
}

/**
 * @param {Float32Array} one
 * @param {Float32Array} other
 */
export function timesEach(one, other) {
  return one.map((value, c) => value * other[c]);
}

/** @param {Iterable<number>} values */
export function sumUp(values) {
  let total = 0;
  for (const value of values) total += value;
  return total;
}

/** The queries, keys and values of some layers. */
export class Products {
  /**
   * @param {DataView<ArrayBuffer>} view of each layer its queries (heads, n, d_k), its keys, its values
   * @param {DataView<ArrayBuffer>} mask (layers, n, n)
   * @param {StepsShape} shape
   * @param {number} scale
   */
  constructor(view, mask, shape, scale) {
    this.numbers = signedHalves(view);
    this.allowed = new Uint8Array(mask.buffer, mask.byteOffset, mask.byteLength);
    this.shape = shape;
    this.scale = scale;
  }

  /**
   * One vector.
   *
   * @param {0 | 1 | 2} kind query, key or value
   * @param {number} layer its place among those that are here
   * @param {number} head
   * @param {number} token
   */
  vector(kind, layer, head, token) {
    const [, heads, n, keySize, valueSize] = this.shape;
    const width = kind === 2 ? valueSize : keySize;
    const start = heads * n * (layer * (2 * keySize + valueSize) + kind * keySize) + (head * n + token) * width;
    return this.numbers.subarray(start, start + width);
  }

  /**
   * All that one token computes in one head.
   *
   * @param {number} layer
   * @param {number} head
   * @param {number} token
   * @returns {Row}
   */
  row(layer, head, token) {
    const [, , n] = this.shape;
    const all = (/** @type {0 | 1 | 2} */ kind) =>
      Array.from({ length: n }, (_, j) => this.vector(kind, layer, head, j));
    const [query, keys, values] = [this.vector(0, layer, head, token), all(1), all(2)];
    const product = keys.map((key) => sumUp(timesEach(query, key)));
    const scaled = product.map((score) => score * this.scale);
    const may = Array.from(this.allowed.subarray((layer * n + token) * n, (layer * n + token + 1) * n), Boolean);
    const masked = scaled.map((score, j) => (may[j] ? score : -Infinity));
    const most = Math.max(...masked);
    const exponential = masked.map((score) => Math.exp(score - most));
    const total = sumUp(exponential);
    const weight = exponential.map((one) => one / total);
    const output = values[0].map((_, c) => sumUp(values.map((value, j) => weight[j] * value[c])));
    return { query, keys, values, product, scaled, may, masked, most, exponential, total, weight, output };
  }
}

/**
 * A number as it is written here: with a true minus, and what is too small to show named so.
 *
 * @param {number} value
 * @param {number} digits
 */
export function inDigits(value, digits = 2) {
  if (value === -Infinity) return "−∞";
  const text = value.toFixed(digits);
  if (Number(text) === 0) return value > 0 && digits > 2 ? `< 0.${"0".repeat(digits - 1)}1` : (0).toFixed(digits);
  return text.replace("-", "−");
}

/**
 * The colour of a number among others of which none is larger than `most`, on a square-root scale.
 *
 * @param {number} value
 * @param {number} most
 */
export function signedTint(value, most) {
  const strength = Math.round(100 * Math.sqrt(Math.min(1, Math.abs(value) / (most || 1))));
  return `color-mix(in srgb, var(--ca-${value < 0 ? "accent" : "blue"}) ${strength}%, var(--ca-zero))`;
}

/**
 * A vector as a background: a cell for each of its numbers.
 *
 * @param {Float32Array} values
 * @param {number} most
 */
export function stripOf(values, most) {
  const at = (/** @type {number} */ c) => `${((100 * c) / values.length).toFixed(3)}%`;
  const stops = Array.from(values, (value, c) => `${signedTint(value, most)} ${at(c)} ${at(c + 1)}`);
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/**
 * A number as a background: a bar to the right of the middle, or to its left when negative.
 *
 * @param {number} value
 * @param {number} most
 */
export function signedBar(value, most) {
  const length = 50 * Math.min(1, Math.abs(value) / (most || 1));
  const [from, to] = value < 0 ? [50 - length, 50] : [50, 50 + length];
  const stops = `var(--ca-zero) ${from}%, var(--ca-${value < 0 ? "accent" : "blue"}) ${from}% ${to}%`;
  return `linear-gradient(to right, ${stops}, var(--ca-zero) ${to}%)`;
}

/** @param {number} weight */
export function weightBar(weight) {
  return `linear-gradient(to right, var(--ca-blue) ${100 * weight}%, var(--ca-zero) 0)`;
}

/** @param {(ArrayLike<number>)[]} vectors */
export function largestOf(vectors) {
  return Math.max(0, ...vectors.map((vector) => Math.max(0, ...Array.from(vector, Math.abs))));
}
