// Sampling: what temperature, top-k, top-p and min-p make of logits, as companion.generation.sampling does. All three
// filters keep a beginning of the tokens in their order, the likeliest first, so a token is known by its rank here.

/** @import { Dials, Following } from "./types" */
/** @typedef {{ id: number, token: string, logit: number, raw: number, chance: number, kept: boolean }} Choice */

/**
 * The tokens by falling logit; equal ones in the order of their ids.
 *
 * @param {Float32Array} logits
 */
export function ranking(logits) {
  return Uint32Array.from(logits.keys()).sort((a, b) => logits[b] - logits[a] || a - b);
}

/**
 * e^((z − z_max) / T), for the logits in their order.
 *
 * @param {ArrayLike<number>} ordered
 * @param {number} temperature
 */
function weightsAt(ordered, temperature) {
  const weights = new Float64Array(ordered.length);
  for (let k = 0; k < weights.length; k += 1) weights[k] = Math.exp((ordered[k] - ordered[0]) / temperature);
  return weights;
}

/** @param {Float64Array} weights */
const addUp = (weights) => weights.reduce((sum, weight) => sum + weight, 0);

/** @param {Float64Array} weights */
function scaledUp(weights) {
  const total = addUp(weights);
  return weights.map((weight) => weight / total);
}

/**
 * What the model itself says, by rank.
 *
 * @param {ArrayLike<number>} ordered logits, falling
 */
export function rawProbabilities(ordered) {
  return scaledUp(weightsAt(ordered, 1));
}

/**
 * Probabilities that the next token is drawn with, by rank, of as many tokens as are kept.
 *
 * @param {ArrayLike<number>} ordered logits, falling
 * @param {Dials} dials
 */
export function dialled(ordered, { temperature, top_k, top_p, min_p }) {
  if (temperature === 0) return Float64Array.of(1);
  let kept = scaledUp(weightsAt(ordered, temperature).subarray(0, top_k ?? undefined));
  if (top_p !== null) {
    let before = 0;
    const end = kept.findIndex((probability) => {
      if (before >= top_p) return true;
      before += probability;
      return false;
    });
    kept = scaledUp(kept.subarray(0, end < 0 ? undefined : end));
  }
  if (min_p !== null) {
    const end = kept.findIndex((probability) => probability < min_p * kept[0]);
    kept = scaledUp(kept.subarray(0, end < 0 ? undefined : end));
  }
  return kept;
}

/**
 * The sum below the fraction of the softmax, over the tokens that are kept.
 *
 * @param {ArrayLike<number>} ordered logits, falling
 * @param {number} kept
 * @param {number} temperature
 */
export function normaliser(ordered, kept, temperature) {
  return addUp(weightsAt(ordered, temperature).subarray(0, kept));
}

/**
 * The rank that a number from 0 to 1 falls on, where the probabilities lie side by side.
 *
 * @param {Float64Array} probabilities
 * @param {number} number
 */
export function rankAt(probabilities, number) {
  let passed = 0;
  const rank = probabilities.findIndex((probability) => {
    passed += probability;
    return number < passed;
  });
  return rank < 0 ? probabilities.length - 1 : rank; // a sum that rounding left below the number
}

/**
 * The random number of a place, 0 to 1: of one seed always the same ones, whatever way the reader came.
 *
 * @param {number} seed
 * @param {number} place how many tokens were written before
 */
export function randomAt(seed, place) {
  let bits = Math.imul(seed ^ 0x9e3779b9, 0x85ebca6b) + Math.imul(place + 1, 0x9e3779b1);
  for (const factor of [0x7feb352d, 0x846ca68b]) bits = Math.imul(bits ^ (bits >>> 15), factor);
  return ((bits ^ (bits >>> 16)) >>> 0) / 2 ** 32;
}

/** What follows a token, in the order of probability, and what the dials make of it. */
export class Distribution {
  /** @param {Following} following */
  constructor(following) {
    this.following = following;
    this.order = ranking(following.logits);
    this.ordered = Float32Array.from(this.order, (id) => following.logits[id]);
    this.raw = rawProbabilities(this.ordered);
    this.names = new Map(following.candidates.map(({ id, token }) => [id, token]));
    this.kept = this.raw;
  }

  /** @param {Dials} dials */
  turn(dials) {
    this.kept = dialled(this.ordered, dials);
  }

  /**
   * @param {number} rank
   * @returns {Choice}
   */
  choice(rank) {
    const [id, kept] = [this.order[rank], rank < this.kept.length];
    const token = this.names.get(id) ?? `token ${id}`;
    return { id, token, logit: this.ordered[rank], raw: this.raw[rank], chance: kept ? this.kept[rank] : 0, kept };
  }
}
