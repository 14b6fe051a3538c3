// What an edit of heads changes, from a model's answers with all heads and with the edited ones, and what two models
// predict. In the kernel, head_runs.py and two_runs.py compute the same.

import { likeliest } from "./candidates.js";

/** @import { Answer } from "./live_worker.js" */
/** @import { Comparison, Prediction } from "../frontend/types" */

/**
 * Log of the sum of the exponentials: what is taken off a logit to make it a log-probability.
 *
 * @param {Float32Array} logits
 */
function logSumExp(logits) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  return most + Math.log(logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
}

/** @typedef {Pick<Answer, "ids" | "tokens" | "allLogits" | "next_tokens" | "mask">} Scored at all positions */

/**
 * The scores at one place.
 *
 * @param {Scored} answer
 * @param {number} place
 */
function row({ allLogits, ids }, place) {
  const size = allLogits.length / ids.length;
  return allLogits.subarray(place * size, (place + 1) * size);
}

/**
 * The place that is predicted: the last one or, of a model that fills in, its last mask; below 0 without one.
 *
 * @param {Scored} answer
 */
const placeOf = ({ ids, tokens, mask }) => (mask ? tokens.lastIndexOf(mask) : ids.length - 1);

/**
 * The likeliest tokens of both answers at a place, with their probability in each.
 *
 * @param {Scored} before
 * @param {Scored} after
 * @param {number} place
 * @returns {Comparison["chances"]}
 */
function chancesAt(before, after, place) {
  /** @type {Map<number, string>} */
  const named = new Map();
  for (const answer of [before, after]) {
    for (const [k, id] of likeliest(row(answer, place)).entries()) named.set(id, answer.next_tokens[k].token);
  }
  const [ofBefore, ofAfter] = [before, after].map((answer) => {
    const logits = row(answer, place);
    const total = logSumExp(logits);
    return (/** @type {number} */ id) => Math.exp(logits[id] - total);
  });
  const chances = [...named].map(([id, token]) => ({ token, before: ofBefore(id), after: ofAfter(id) }));
  return chances.sort((a, b) => b.before - a.before);
}

/**
 * @param {Scored} before
 * @param {Scored} after
 * @returns {Comparison}
 */
export function compared(before, after) {
  const { ids, tokens, mask } = before;
  const place = placeOf(before);
  const loss = (/** @type {Scored} */ answer, /** @type {number} */ i) => {
    const logits = row(answer, i);
    return logSumExp(logits) - logits[ids[i + 1]];
  };
  const losses = mask
    ? []
    : ids.slice(1).map((_, i) => /** @type {[number, number]} */ ([loss(before, i), loss(after, i)]));
  return { tokens, mask, chances: place < 0 ? [] : chancesAt(before, after, place), losses };
}

/**
 * What two models predict at the same place, and KL(one || other) of the two distributions in bits.
 *
 * @param {Scored} one
 * @param {Scored} other
 * @returns {Prediction}
 */
export function predictedBy(one, other) {
  const [mask, place] = [one.mask === other.mask ? one.mask : "", placeOf(one)];
  const both = place >= 0 && one.mask === other.mask && one.next_tokens.length > 0 && other.next_tokens.length > 0;
  if (!both || one.allLogits.length !== other.allLogits.length) return { mask, chances: [], divergence: null };
  const [p, q] = [row(one, place), row(other, place)];
  const [ofP, ofQ] = [logSumExp(p), logSumExp(q)];
  const nats = p.reduce((sum, logit, k) => sum + Math.exp(logit - ofP) * (logit - ofP - (q[k] - ofQ)), 0);
  return { mask, chances: chancesAt(one, other, place), divergence: nats / Math.LN2 };
}
