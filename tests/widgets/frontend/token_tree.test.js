import assert from "node:assert/strict";
import { test } from "node:test";

import { branch, grow, newRoot, pathTo, prune, stepInTree } from "../../../companion/widgets/frontend/token_tree.js";
import { fakeDocument } from "./dom.js";

const token = (id) => ({ id, token: `t${id}`, raw: 0.5, chance: 0.5 });

/** A text that was continued by 1 2, and then once more from 1 by 3. */
function forked() {
  const root = newRoot();
  const one = grow(root, token(1));
  return { root, one, two: grow(one, token(2)), three: grow(one, token(3)) };
}

test("a token that was chosen before is walked, not chosen again", () => {
  const { one, two } = forked();
  assert.equal(grow(one, token(2)), two);
  assert.deepEqual([one.depth, two.depth, one.children.length], [1, 2, 2]);
});

test("the path leads from the text to the token", () => {
  const { one, three } = forked();
  assert.deepEqual(pathTo(three), [one, three]);
});

test("what had no answer is taken away, and the text stays", () => {
  const { root, one, two, three } = forked();
  prune(two);
  prune(root);
  assert.deepEqual(one.children, [three]);
});

test("arrow keys lead along the branch that is shown, and to the one beside it", () => {
  const { root, one, two, three } = forked();
  const path = [one, three];
  assert.equal(stepInTree(one, "ArrowRight", path), three);
  assert.equal(stepInTree(three, "ArrowLeft", path), one);
  assert.equal(stepInTree(three, "ArrowUp", path), two);
  assert.equal(stepInTree(two, "ArrowDown", path), three);
  assert.equal(stepInTree(three, "ArrowDown", path), undefined);
  assert.equal(stepInTree(root, "ArrowLeft", path), null);
});

test("a branch is one line, and where it forks its branches stand below it", () => {
  fakeDocument();
  const { root } = forked();
  const chip = (leaf) => Object.assign(document.createElement("button"), { children: [leaf.token || "text"] });
  const [line, fork] = branch(root, chip);
  assert.equal(line.text, "textt1");
  assert.deepEqual(
    fork.children.map(({ text }) => text),
    ["t2", "t3"],
  );
});
