// The tree of what was written: every token that was chosen stays, under the one that it was chosen after.

import { make } from "./elements.js";

/** @import { Leaf } from "./types" */

/** @returns {Leaf} */
export function newRoot() {
  return { id: -1, token: "", depth: 0, parent: null, children: [], following: null, raw: 1, chance: 1 };
}

/**
 * The child of a token that is the given one, new if it was not chosen before.
 *
 * @param {Leaf} parent
 * @param {{ id: number, token: string, raw: number, chance: number }} chosen
 */
export function grow(parent, chosen) {
  const known = parent.children.find(({ id }) => id === chosen.id);
  if (known) return known;
  /** @type {Leaf} */
  const leaf = { ...chosen, depth: parent.depth + 1, parent, children: [], following: null };
  parent.children.push(leaf);
  return leaf;
}

/** @param {Leaf} leaf */
export function prune(leaf) {
  if (leaf.parent) leaf.parent.children = leaf.parent.children.filter((other) => other !== leaf);
}

/**
 * The tokens from the text to this one.
 *
 * @param {Leaf} leaf
 * @returns {Leaf[]}
 */
export function pathTo(leaf) {
  return leaf.parent ? [...pathTo(leaf.parent), leaf] : [];
}

/**
 * Where a key leads in the tree, if it leads anywhere: along the branch, or to the one beside it.
 *
 * @param {Leaf} leaf
 * @param {string} key
 * @param {Leaf[]} path that is shown; forks are walked along it
 * @returns {Leaf | null | undefined}
 */
export function stepInTree(leaf, key, path) {
  if (key === "ArrowLeft") return leaf.parent;
  if (key === "ArrowRight") return leaf.children.find((child) => path.includes(child)) ?? leaf.children[0];
  if (key !== "ArrowUp" && key !== "ArrowDown") return null;
  let fork = leaf;
  while (fork.parent && fork.parent.children.length === 1) fork = fork.parent;
  const branches = fork.parent?.children ?? [];
  return branches[branches.indexOf(fork) + (key === "ArrowUp" ? -1 : 1)];
}

/**
 * The tree as lists in lists: a branch is a line of tokens, and where it forks its branches stand below it.
 *
 * @param {Leaf} first of a branch
 * @param {(leaf: Leaf) => HTMLElement} chip
 * @returns {HTMLElement[]} the line, and the list of its branches
 */
export function branch(first, chip) {
  const line = make("div", { className: "nt-branch" });
  let leaf = first;
  for (;;) {
    line.append(chip(leaf));
    if (leaf.children.length !== 1) break;
    [leaf] = leaf.children;
  }
  if (leaf.children.length === 0) return [line];
  const branches = leaf.children.map((child) => make("li", {}, ...branch(child, chip)));
  return [line, make("ul", { className: "nt-fork" }, ...branches)];
}
