import assert from "node:assert/strict";
import { beforeEach, test } from "node:test";

import { barParts, build, isDark, make, nextRow } from "../../../companion/widgets/frontend/elements.js";
import { fakeDocument } from "./dom.js";

const CANDIDATE = { token: "␣cat", probability: 0.1234, text: " cat" };

beforeEach(() => fakeDocument());

test("names with a hyphen and roles are attributes, all others are properties", () => {
  const element = make("input", { type: "radio", role: "alert", "aria-hidden": "true", "data-i": 3 }, "text");
  assert.equal(element.type, "radio");
  assert.deepEqual(element.attributes, { role: "alert", "aria-hidden": "true", "data-i": "3" });
  assert.equal(element.text, "text");
});

test("a bar carries its share for the style sheet", () => {
  const [name, bar, number] = barParts("token", 1 / 3, "0.333");
  assert.deepEqual([name.text, bar.styles["--share"], number.text], ["token", "0.3333", "0.333"]);
});

test("a candidate of a live view is a button that says what a click does", () => {
  const [button] = nextRow(CANDIDATE, true, "").children;
  assert.deepEqual([button.tag, button.type, button.title], ["button", "button", "Append to the text"]);
  assert.equal(button.attributes["data-text"], " cat");
  assert.equal(button.text, "␣cat12.3 %");
  assert.equal(nextRow(CANDIDATE, true, "[MASK]").children[0].title, "Put it in the place of [MASK]");
});

test("a candidate that cannot be typed, or of a view that is not live, is no button", () => {
  assert.equal(nextRow({ ...CANDIDATE, text: "" }, true, "").children[0].tag, "div");
  assert.equal(nextRow(CANDIDATE, false, "").children[0].tag, "div");
});

test("two views on a page share no id, and every label names a control of its own view", () => {
  const views = [build(), build()].map((ui) => ui.root.all());
  const ids = views.map((elements) => elements.map((element) => element.id).filter(Boolean));
  assert.equal(new Set(ids.flat()).size, ids.flat().length);
  for (const [k, elements] of views.entries()) {
    for (const { htmlFor } of elements) if (htmlFor !== undefined) assert.ok(ids[k].includes(htmlFor));
  }
});

for (const [host, settings, dark] of [
  ["the book", { data: { theme: "dark" } }, true],
  ["the book in the light", { data: { theme: "light" }, dark: true }, false],
  ["Colab", { theme: "dark" }, true],
  ["VS Code", { body: { vscodeThemeKind: "vscode-dark" } }, true],
  ["JupyterLab", { body: { jpThemeLight: "false" } }, true],
  ["JupyterLab in the light", { body: { jpThemeLight: "true" }, dark: true }, false],
  ["the reader's system, where nobody says", { dark: true }, true],
]) {
  test(`the theme is that of ${host}`, () => {
    fakeDocument(settings);
    assert.equal(isDark(), dark);
  });
}
