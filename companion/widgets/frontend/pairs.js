// Pairs of sentences: which weights lead from one to the other, and how much of all weight that is.

/** @import { State } from "./types" */
/** @typedef {(query: number, key: number) => boolean} Kept */

/** @type {Record<State["pair"], string>} */
export const PAIR_NAMES = { "": "all", AA: "A → A", AB: "A → B", BA: "B → A", BB: "B → B" };

/**
 * Whether there are tokens of both sentences.
 *
 * @param {number[]} segments
 */
export const arePaired = (segments) => segments.includes(0) && segments.includes(1);

/**
 * Which weights are shown.
 *
 * @param {number[]} segments
 * @param {string} pair
 * @returns {Kept}
 */
export function keptBy(segments, pair) {
  const [from, to] = [...pair].map((letter) => Number(letter === "B"));
  return (query, key) => pair === "" || (segments[query] === from && segments[key] === to);
}

/**
 * The part of the weight that is shown, and the part of the cells.
 *
 * @param {Float32Array} weights row by row
 * @param {number} columns
 * @param {Kept} kept
 */
export function keptPart(weights, columns, kept) {
  let [shown, whole, cells] = [0, 0, 0];
  for (let k = 0; k < weights.length; k += 1) {
    whole += weights[k];
    if (!kept(Math.floor(k / columns), k % columns)) continue;
    shown += weights[k];
    cells += 1;
  }
  return { weight: whole ? shown / whole : 0, cells: cells / weights.length };
}
