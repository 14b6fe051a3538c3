// What an edit of heads changes, from a model's answers with all heads and with the edited ones. In the kernel,
// head_runs.py computes the same.

import { likeliest } from "./candidates.js";

/** @import { Answer } from "./live_worker.js" */
/** @import { Comparison } from "../frontend/types" */

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
 * @param {Scored} before
 * @param {Scored} after
 * @returns {Comparison}
 */
export function compared(before, after) {
  const { ids, tokens, mask } = before;
  const size = before.allLogits.length / ids.length;
  const row = (/** @type {Scored} */ answer, /** @type {number} */ place) =>
    answer.allLogits.subarray(place * size, (place + 1) * size);
  const place = mask ? tokens.lastIndexOf(mask) : ids.length - 1;
  const loss = (/** @type {Scored} */ answer, /** @type {number} */ i) => {
    const logits = row(answer, i);
    return logSumExp(logits) - logits[ids[i + 1]];
  };
  /** @type {Map<number, string>} */
  const named = new Map();
  for (const answer of place < 0 ? [] : [before, after]) {
    for (const [k, id] of likeliest(row(answer, place)).entries()) named.set(id, answer.next_tokens[k].token);
  }
  const chance = (/** @type {Scored} */ answer) => {
    const logits = row(answer, place);
    const total = logSumExp(logits);
    return (/** @type {number} */ id) => Math.exp(logits[id] - total);
  };
  const [ofBefore, ofAfter] = place < 0 ? [Number, Number] : [chance(before), chance(after)];
  const chances = [...named].map(([id, token]) => ({ token, before: ofBefore(id), after: ofAfter(id) }));
  const losses = mask
    ? []
    : ids.slice(1).map((_, i) => /** @type {[number, number]} */ ([loss(before, i), loss(after, i)]));
  return { tokens, mask, chances: chances.sort((a, b) => b.before - a.before), losses };
}
