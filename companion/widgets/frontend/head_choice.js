// What is chosen in a head lab: the text, and what is done to which heads.

/** @import { Edited, Head, LabState, Model } from "./types" */

/** @param {Head[]} heads */
export const inOrder = (heads) => [...heads].sort(([a, b], [c, d]) => a - c || b - d);

/**
 * What a result depends on, as a string to compare; the second text does not count while no head is patched from it.
 *
 * @param {Edited} edited
 */
export function keyOf({ text, off, patched, source }) {
  return JSON.stringify([text, inOrder(off), inOrder(patched), patched.length > 0 && source]);
}

/**
 * The heads as they are chosen now, and the text.
 *
 * @param {Pick<Model<LabState>, "get">} model
 * @returns {Edited}
 */
export function chosenNow(model) {
  return { text: model.get("text"), off: model.get("off"), patched: model.get("patched"), source: model.get("source") };
}

/**
 * The heads after one was switched off or on, or patched or left; it is no longer what it was.
 *
 * @param {Pick<Edited, "off" | "patched">} edited
 * @param {Head} head
 * @param {"off" | "patched"} how
 */
export function toggled(edited, [layer, head], how) {
  const others = (/** @type {Head[]} */ heads) => heads.filter(([l, h]) => l !== layer || h !== head);
  const changed = { off: others(edited.off), patched: others(edited.patched) };
  const was = changed[how].length < edited[how].length;
  if (!was) changed[how] = inOrder([...changed[how], [layer, head]]);
  return changed;
}
