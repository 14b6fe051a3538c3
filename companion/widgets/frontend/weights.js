// Numbers: the bytes of a picture become weights, and weights become words.

/** @import { Encoding, Shape } from "./types" */

/**
 * Read one 16-bit float; weights are never negative.
 *
 * @param {number} bits
 */
export function fromHalf(bits) {
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
}

/**
 * @param {DataView<ArrayBuffer>} view
 * @param {Encoding} encoding
 */
function codesOf(view, encoding) {
  if (encoding === "uint8") return new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
  // a message may start at an odd address, where no 16- or 32-bit array can
  const bytes = view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength);
  return encoding === "float16" ? new Uint16Array(bytes) : new Float32Array(bytes);
}

const QUERIES = 64; // of each head, read to find the sink

/** The attention of every head, over the bytes of `view`. */
export class Weights {
  /**
   * @param {DataView<ArrayBuffer>} view
   * @param {Encoding} encoding
   * @param {number} levels
   * @param {Shape} shape
   * @param {number} start of its first weight, among those of other kinds
   */
  constructor(view, encoding, levels, shape, start = 0) {
    /** @type {Record<Encoding, (code: number) => number>} */
    const readers = { float32: (x) => x, float16: fromHalf, uint8: (code) => (code / levels) ** 2 };
    this.rows = shape[2];
    this.columns = shape[3];
    this.size = this.rows * this.columns;
    this.codes = codesOf(view, encoding).subarray(start, start + shape[0] * shape[1] * this.size);
    this.read = readers[encoding];
    this.exact = encoding !== "uint8";
    this.shape = shape;
    /** @type {Float32Array[]} by layer */
    this.rolled = [];
    this.kept = new Float32Array(0);
    this.key = -1;
    /** @type {{ key: number, part: number } | undefined} */
    this.found = undefined;
  }

  /**
   * The weights of one head, row by row; the last head asked for is kept.
   *
   * @param {number} layer
   * @param {number} head
   */
  head(layer, head) {
    const key = layer * this.shape[1] + head;
    if (this.key !== key) {
      const { size } = this;
      const codes = this.codes.subarray(key * size, (key + 1) * size);
      this.kept = new Float32Array(size);
      for (let k = 0; k < size; k += 1) this.kept[k] = this.read(codes[k]);
      this.key = key;
    }
    return this.kept;
  }

  /**
   * The mean of a layer's heads, row by row.
   *
   * @param {number} layer
   */
  mean(layer) {
    const { size } = this;
    const heads = this.shape[1];
    const mean = new Float32Array(size);
    for (let start = layer * heads * size; start < (layer + 1) * heads * size; start += size) {
      for (let k = 0; k < size; k += 1) mean[k] += this.read(this.codes[start + k]) / heads;
    }
    return mean;
  }

  /**
   * Attention rollout through a layer: the product of (mean of the heads + identity) / 2 of this and all layers before
   * it. Coarse rows, which no longer sum to 1, are made to.
   *
   * @param {number} layer
   */
  rollout(layer) {
    const n = this.columns;
    for (let l = this.rolled.length; l <= layer; l += 1) {
      const step = this.mean(l);
      for (let i = 0; i < n; i += 1) {
        const row = step.subarray(i * n, (i + 1) * n);
        const whole = (!this.exact && row.reduce((a, b) => a + b, 0)) || 1;
        for (let j = 0; j < n; j += 1) row[j] /= 2 * whole;
        row[i] += 0.5;
      }
      this.rolled.push(l ? product(step, this.rolled[l - 1], n) : step);
    }
    return this.rolled[layer];
  }

  /** The key that gets most of all weight, and which part of it; of a long text, over some of its queries. */
  get sink() {
    if (this.found) return this.found;
    const n = this.columns;
    const [queries, apart] = [this.codes.length / n, Math.ceil(this.rows / QUERIES)];
    const got = new Float64Array(n);
    for (let query = 0; query < queries; query += apart) {
      for (let j = 0; j < n; j += 1) got[j] += this.read(this.codes[query * n + j]);
    }
    const [whole, most] = [got.reduce((a, b) => a + b, 0), got.reduce((a, b) => Math.max(a, b), 0)];
    this.found = { key: got.indexOf(most), part: whole ? most / whole : 0 };
    return this.found;
  }

  /**
   * One head as high × wide, each value the largest weight of its patch; codes keep the order of weights.
   *
   * @param {number} layer
   * @param {number} head
   * @param {number} high
   * @param {number} wide
   * @param {number} aside a key that is left out
   */
  pooled(layer, head, high, wide, aside = -1) {
    const { rows, columns } = this;
    const start = (layer * this.shape[1] + head) * this.size;
    const column = Uint16Array.from({ length: columns }, (_, j) => (j * wide) / columns);
    const most = new Float32Array(high * wide);
    for (let i = 0; i < rows; i += 1) {
      const row = Math.floor((i * high) / rows) * wide;
      for (let j = 0, k = start + i * columns; j < columns; j += 1, k += 1) {
        const place = row + column[j];
        if (this.codes[k] > most[place] && j !== aside) most[place] = this.codes[k];
      }
    }
    return most.map(this.read);
  }

  /**
   * A weight in words; a coarse one says so.
   *
   * @param {number} weight
   */
  say(weight) {
    return this.exact ? weight.toFixed(3) : `≈ ${weight.toFixed(2)}`;
  }
}

/**
 * The positions of the largest values of a row, largest first, zeros left out.
 *
 * @param {Float32Array} row
 * @param {number} count
 */
export function largest(row, count) {
  return Array.from(row.keys())
    .filter((j) => row[j] > 0)
    .sort((a, b) => row[b] - row[a])
    .slice(0, count);
}

/**
 * The weights without a key: what each query looks at beside it, as parts of that.
 *
 * @param {Float32Array} weights
 * @param {number} n
 * @param {number} key
 */
export function without(weights, n, key) {
  const rest = weights.slice();
  for (let start = 0; start < rest.length; start += n) {
    const row = rest.subarray(start, start + n);
    row[key] = 0;
    const whole = row.reduce((a, b) => a + b, 0);
    if (whole > 0) for (let j = 0; j < n; j += 1) row[j] /= whole;
  }
  return rest;
}

/**
 * The weights by key: a row for each token that is read, a column for each that reads it.
 *
 * @param {Float32Array} weights
 * @param {number} keys
 */
export function byKey(weights, keys) {
  const queries = weights.length / keys;
  return weights.map((_, k) => weights[(k % queries) * keys + Math.floor(k / queries)]);
}

/**
 * The product of two n × n matrices, the zeros of the first left out.
 *
 * @param {Float32Array} a
 * @param {Float32Array} b
 * @param {number} n
 */
function product(a, b, n) {
  const result = new Float32Array(n * n);
  for (let i = 0; i < n; i += 1) {
    const row = result.subarray(i * n, (i + 1) * n);
    for (let k = 0; k < n; k += 1) {
      const factor = a[i * n + k];
      if (factor) for (let j = 0, at = k * n; j < n; j += 1, at += 1) row[j] += factor * b[at];
    }
  }
  return result;
}
