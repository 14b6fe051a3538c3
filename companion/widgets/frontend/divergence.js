// Divergence: how far apart the heads of two models are. In the kernel, companion.metrics.divergence computes the same.

/** @import { Weights } from "./weights.js" */

/** @param {number} count */
const upTo = (count) => Array.from({ length: count }, (_, k) => k);

/**
 * Jensen–Shannon divergence of two heads over the same tokens, in bits, mean over the queries.
 *
 * @param {Float32Array} one n × n, row by row
 * @param {Float32Array} other
 * @param {number} n
 */
export function divergenceOf(one, other, n) {
  let sum = 0;
  for (let k = 0; k < one.length; k += 1) {
    const [p, q] = [one[k], other[k]];
    if (p > 0) sum += p * Math.log2((2 * p) / (p + q));
    if (q > 0) sum += q * Math.log2((2 * q) / (p + q));
  }
  return Math.max(0, sum / 2 / n); // rounding reaches below
}

/**
 * Of each layer of the second model and each head: its divergence from the head of that number in the paired layer.
 *
 * @param {Weights} first
 * @param {Weights} second
 * @param {number[]} layers of the first, for each of the second
 */
export function pairedDivergence(first, second, layers) {
  const [, heads, n] = second.shape;
  return layers.map((layer, other) =>
    upTo(heads).map((head) => divergenceOf(first.head(layer, head), second.head(other, head), n)),
  );
}

/**
 * The divergence of each head of a model from one head.
 *
 * @param {Float32Array} head n × n, row by row
 * @param {Weights} second
 */
export function divergenceFrom(head, second) {
  const [layers, heads, n] = second.shape;
  return upTo(layers).map((layer) => upTo(heads).map((k) => divergenceOf(head, second.head(layer, k), n)));
}
