// Overlay: heads over each other, each with a colour, and a mark and dashes for those who do not tell colours apart.

import { make } from "./elements.js";

/** @import { Head, Theme } from "./types" */

export const MOST_HEADS = 4;
export const MARKS = ["●", "■", "▲", "◆"];
const DASHES = [[], [7, 4], [2, 3], [9, 3, 2, 3]];

/**
 * The heads after one was laid over the others, or taken out; a fifth is not taken.
 *
 * @param {Head[]} heads
 * @param {Head} head
 * @returns {Head[]}
 */
export function overlaid(heads, [layer, head]) {
  const others = heads.filter(([l, h]) => l !== layer || h !== head);
  if (others.length < heads.length) return others;
  return heads.length < MOST_HEADS ? [...heads, [layer, head]] : heads;
}

/**
 * How the k-th head is drawn.
 *
 * @param {Theme} theme
 * @param {number} k
 */
export const lookOf = (theme, k) => ({ colour: theme.heads[k], dash: DASHES[k], mark: MARKS[k] });

/**
 * The mark of the k-th head, which is not read out: its layer and number are.
 *
 * @param {number} k
 */
export const markOf = (k) => make("i", { className: `ca-mark ca-mark-${k}`, "aria-hidden": "true" }, MARKS[k]);

/** @param {Head} head */
export const headName = ([layer, head]) => `layer ${layer}, head ${head}`;

/**
 * The heads that are over each other, each a button that takes it out.
 *
 * @param {Head[]} heads
 */
export function pinRows(heads) {
  return heads.map((head, k) => {
    const properties = { type: "button", className: "ca-save", title: "Take it out of the overlay", "data-k": k };
    return make("li", {}, make("button", properties, markOf(k), ` ${headName(head)} ×`));
  });
}
