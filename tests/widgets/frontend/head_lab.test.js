import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { keyOf, toggled } from "../../../companion/widgets/frontend/head_choice.js";
import { buildLab, chanceRow, isShown, lossToken, signed } from "../../../companion/widgets/frontend/head_lab_parts.js";
import { fakeDocument } from "./dom.js";

beforeEach(() => fakeDocument());

test("a change has a sign, and none that is written as nothing", () => {
  assert.deepEqual(
    [0.25, -0.25, 0.0001, -0.0001].map((change) => signed(change, 2)),
    ["+0.25", "−0.25", "±0.00", "±0.00"],
  );
});

test("a likely token has two bars, two probabilities and the change in points", () => {
  const row = chanceRow({ token: "<b>", before: 0.5, after: 0.125 });
  assert.equal(row.text, "<b>50.0 %12.5 %−37.5");
  const bars = row.all().filter(({ tag }) => tag === "i");
  assert.deepEqual(
    bars.map(({ styles }) => styles["--part"]),
    ["0.5000", "0.1250"],
  );
});

test("a token that is unlikely before and after is left out", () => {
  assert.deepEqual([isShown({ before: 0.0004, after: 0 }), isShown({ before: 0, after: 0.001 })], [false, true]);
});

test("a token is shaded by what its loss changed, and one predicted better is marked", () => {
  const [worse, better, same] = [
    [1, 2.5],
    [2.5, 1],
    [1, 1],
  ].map((losses) => lossToken("word", losses));
  assert.deepEqual([worse.styles["--w"], better.styles["--w"], same.styles["--w"]], ["0.500", "0.500", "0.000"]);
  assert.deepEqual(
    [worse, better, same].map(({ attributes }) => "data-better" in attributes),
    [false, true, false],
  );
  assert.equal(worse.title, "word: loss 1.000 with all heads, 2.500 as chosen (+1.500)");
});

test("the first token has no loss", () => {
  assert.equal(lossToken("word", undefined).title, undefined);
});

test("the order of heads makes no other choice, and a second text does while a head is patched from it", () => {
  const state = {
    text: "a",
    off: [
      [1, 0],
      [0, 2],
    ],
    patched: [],
    source: "b",
  };
  assert.equal(
    keyOf(state),
    keyOf({
      ...state,
      off: [
        [0, 2],
        [1, 0],
      ],
      source: "c",
    }),
  );
  const patched = { ...state, patched: [[0, 0]] };
  assert.notEqual(keyOf(patched), keyOf({ ...patched, source: "c" }));
});

test("a head is off, patched or on, and a second press takes the first one back", () => {
  const off = toggled({ off: [[1, 1]], patched: [] }, [0, 2], "off");
  assert.deepEqual(off, {
    off: [
      [0, 2],
      [1, 1],
    ],
    patched: [],
  });
  const patched = toggled(off, [0, 2], "patched");
  assert.deepEqual(patched, { off: [[1, 1]], patched: [[0, 2]] });
  assert.deepEqual(toggled(patched, [0, 2], "patched"), { off: [[1, 1]], patched: [] });
});

test("two labs on a page share no id, and every label names a control of its own lab", () => {
  const labs = [buildLab(), buildLab()].map((ui) => ui.root.all());
  const ids = labs.map((elements) => elements.map(({ id }) => id).filter(Boolean));
  assert.equal(new Set(ids.flat()).size, ids.flat().length);
  for (const [k, elements] of labs.entries()) {
    const targets = elements.filter(({ tag }) => tag === "label").map(({ htmlFor }) => htmlFor);
    assert.deepEqual(
      targets.filter((target) => !ids[k].includes(target)),
      [],
    );
  }
});
