import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { Picture } from "../../../companion/widgets/frontend/picture.js";
import { fakeDocument } from "./dom.js";

/** A model of one layer and one head, in which each of n tokens looks most at the one before it. */
function modelOf(n) {
  const state = { shape: [1, 1, n, n], encoding: "uint8", levels: 4, layer: 0, head: 0, examples: [], example: 0 };
  Object.assign(state, { view: "matrix", kinds: [], kind: "", target: [], segments: [], pair: "", overlay: [] });
  const codes = new Uint8Array(n * n);
  for (let i = 0; i < n; i += 1) codes.set([3, 2].slice(0, i + 1), Math.max(0, i - 1) + i * n);
  state.attention = new DataView(codes.buffer);
  state.tokens = Array.from({ length: n }, (_, k) => `t${k}`);
  return { state, get: (name) => state[name] };
}

const pictureOf = (model) => new Picture(model, { append() {} });

beforeEach(() => fakeDocument());

test("a picture points at its last token, and at what that looks at most", () => {
  assert.deepEqual(pictureOf(modelOf(4)).pinned, { row: 3, column: 2 });
});

test("it keeps pointing at the last token while the text grows and shrinks", () => {
  const model = modelOf(3);
  const picture = pictureOf(model);
  for (const n of [5, 2]) {
    Object.assign(model.state, modelOf(n).state);
    picture.read();
    assert.deepEqual(picture.pinned, { row: n - 1, column: n - 2 });
  }
});

test("another token that was chosen stays chosen, as long as it is there", () => {
  const model = modelOf(5);
  const picture = pictureOf(model);
  picture.pinned = { row: 2, column: 0 };
  Object.assign(model.state, modelOf(6).state);
  picture.read();
  assert.deepEqual(picture.pinned, { row: 2, column: 1 });
  Object.assign(model.state, modelOf(2).state);
  picture.read();
  assert.equal(picture.pinned.row, 1);
});

test("a chosen text opens at the row that is worth a look, and the reader may leave it", () => {
  const model = modelOf(5);
  Object.assign(model.state, { examples: [{ text: "chosen", row: 2 }], shown: "chosen" });
  const picture = pictureOf(model);
  assert.equal(picture.pinned.row, 2);
  picture.pinned = { row: 3, column: 0 };
  picture.read();
  assert.equal(picture.pinned.row, 3);
});

test("a token that looks at nothing is taken to look at itself, and one that is not there at none", () => {
  const model = modelOf(3);
  model.state.attention = new DataView(new ArrayBuffer(9));
  const picture = pictureOf(model);
  assert.deepEqual(
    [1, 3, -1].map((i) => picture.strongest(i)),
    [1, -1, -1],
  );
});

test("many changes within a frame are drawn once", () => {
  const frames = [];
  globalThis.requestAnimationFrame = (draw) => frames.push(draw);
  const picture = pictureOf(modelOf(3));
  let drawn = 0;
  picture.draw = () => (drawn += 1);
  picture.ui.root.clientWidth = 100;
  picture.refresh("picture");
  picture.refresh("live", "choice");
  assert.equal(frames.length, 1);
  assert.deepEqual([...picture.stale], ["picture", "live", "choice"]);
  frames[0]();
  picture.refresh("point");
  assert.deepEqual([drawn, frames.length], [1, 2]);
});

test("nothing is drawn while there is no room", () => {
  globalThis.requestAnimationFrame = (draw) => draw();
  const picture = pictureOf(modelOf(3));
  picture.draw = () => assert.fail("it was drawn");
  picture.ui.root.clientWidth = 0;
  picture.refresh("picture");
  assert.ok(picture.stale.has("picture")); // for the frame in which there is some
});

/** Draw what is known about the model into a picture whose state has these values. */
function sending(values) {
  const picture = pictureOf(modelOf(2));
  picture.ui.offer.contains = () => false;
  Object.assign(picture.model.state, values);
  picture.drawOffer();
  picture.drawSending();
  return picture;
}

test("a model that reads along has no button to ask it, and one that a click loads has it when it is there", () => {
  const offer = { title: "SmolLM2", bytes: 97e6, runtime: 14e6 };
  const hidden = (values) => sending(values).ui.sending.hidden;
  assert.deepEqual([hidden({}), hidden({ asking: false, offer }), hidden({ asking: false })], [true, true, false]);
  assert.equal(sending({}).ui.question.textContent, "Type: the model reads along");
  assert.equal(sending({ asking: false }).ui.question.textContent, "Type, then ask the model");
});

test("the button, and a line for those who do not see it, say that the model reads, and that it has answered", () => {
  const picture = sending({ asking: true });
  assert.deepEqual(
    [picture.ui.send.textContent, picture.ui.said.textContent],
    ["Reading …", "The model reads your text."],
  );
  picture.model.state.asking = false;
  picture.drawSending();
  assert.deepEqual([picture.ui.send.textContent, picture.ui.said.textContent], ["Ask", "The model has answered."]);
});
