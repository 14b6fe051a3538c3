import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { deflateSync } from "node:zlib";

import { choose, mount, StaticModel, unpack } from "../../../companion/widgets/browser/static_host.js";
import { fakeDocument } from "./dom.js";

/** A model over `state`, and what was told: the names that changed, then what each save reported. */
function watched(state) {
  const [heard, saved] = [[], []];
  const model = new StaticModel(state, (changed) => saved.push([...changed]));
  const listen = (name) => {
    const listener = () => heard.push([name, model.get(name)]);
    model.on(`change:${name}`, listener);
    return listener;
  };
  return { model, heard, saved, listen };
}

test("what is set is got, and its listeners hear of it", () => {
  const { model, heard, listen } = watched({ layer: 0, head: 0 });
  listen("layer");
  model.set("layer", 2);
  model.set("head", 1);
  assert.equal(model.get("layer"), 2);
  assert.deepEqual(heard, [["layer", 2]]);
});

test("setting the same value again tells nobody and saves nothing", () => {
  const { model, heard, saved, listen } = watched({ layer: 1 });
  listen("layer");
  model.set("layer", 1);
  model.save_changes();
  assert.deepEqual(heard, []);
  assert.deepEqual(saved, [[]]);
});

test("saving names what changed since the last time", () => {
  const { model, saved } = watched({ layer: 0, head: 0, text: "" });
  model.set("layer", 1);
  model.set("head", 1);
  model.save_changes();
  model.set("text", "word");
  model.save_changes();
  assert.deepEqual(saved, [["layer", "head"], ["text"]]);
});

test("a listener that was taken off hears no more, and another one still does", () => {
  const { model, heard, listen } = watched({ layer: 0 });
  const first = listen("layer");
  listen("layer");
  model.off("change:layer", first);
  model.off("change:head", first); // nobody listens there
  model.set("layer", 1);
  assert.deepEqual(heard, [["layer", 1]]);
});

test("a listener may take itself off while it is told", () => {
  const { model, heard, listen } = watched({ layer: 0 });
  const once = () => model.off("change:layer", once);
  model.on("change:layer", once);
  listen("layer");
  model.set("layer", 1);
  assert.deepEqual(heard, [["layer", 1]]);
});

test("an update is whole before anyone hears of a part of it, and is no change to save", () => {
  const { model, saved } = watched({ tokens: [], shape: [] });
  const seen = [];
  model.on("change:tokens", () => seen.push(model.get("shape")));
  model.update({ tokens: ["a"], shape: [1, 1, 1, 1] });
  model.save_changes();
  assert.deepEqual(seen, [[1, 1, 1, 1]]);
  assert.deepEqual(saved, [[]]);
});

test("packed bytes come back", async () => {
  const view = await unpack(deflateSync(Buffer.from([1, 2, 255])).toString("base64"));
  assert.deepEqual([...new Uint8Array(view.buffer)], [1, 2, 255]);
});

const packed = (text) => ({ text, attention: deflateSync(Buffer.from([7])).toString("base64") });

test("the picture of a chosen text comes out of the page, or out of its file", async () => {
  const { model } = watched({ example: 1, text: "old" });
  await choose(model, { dataset: {}, textContent: JSON.stringify(packed("in the page")) }, null);
  assert.deepEqual([model.get("text"), model.get("attention").getUint8(0)], ["in the page", 7]);
  const beside = { picture: async (file) => packed(`in ${file}`) };
  await choose(model, { dataset: { file: "a.json" }, textContent: "" }, beside);
  assert.equal(model.get("text"), "in a.json");
});

test("of two texts chosen soon after each other the last one stays", async () => {
  const { model } = watched({ example: 0, text: "old" });
  const first = choose(model, { dataset: {}, textContent: JSON.stringify(packed("first")) }, null);
  model.set("example", 1);
  await first;
  assert.equal(model.get("text"), "old");
});

test("a picture that cannot be loaded leaves the one that is there and says why", async () => {
  const { model } = watched({ example: 1, text: "old" });
  const beside = { picture: async () => Promise.reject(new Error("404")) };
  await choose(model, { dataset: { file: "a.json" } }, beside);
  assert.deepEqual([model.get("text"), model.get("error")], ["old", "The picture could not be loaded (404)."]);
});

/** A figure with its words and a state, as the build writes it. */
function figureWith(state, widget = "steps") {
  fakeDocument();
  globalThis.window = globalThis;
  const figure = document.createElement("figure");
  Object.assign(figure, {
    dataset: { widget },
    childNodes: ["in words"],
    querySelector: () => ({ textContent: state }),
    querySelectorAll: () => [],
    replaceChildren: (...now) => (figure.children = now),
  });
  figure.append("in words");
  return figure;
}

test("a figure is drawn over its words", async () => {
  const figure = figureWith('{"text":"a"}');
  await mount(figure, { steps: ({ model, el }) => el.append(`drawn ${model.get("text")}`) }, null);
  assert.equal(figure.text, "drawn a");
});

for (const [why, state, widget] of [
  ["its state is of another version", '{"text":"a"}', "older"],
  ["its state is broken", '{"text":', "steps"],
  ["its script did not come", '{"text":"a"}', "unknown"],
]) {
  test(`a figure keeps its words and says so when ${why}`, async () => {
    const told = mock.method(console, "error", () => {});
    const older = ({ model }) => model.get("rows").slice(1);
    const figure = figureWith(state, widget);
    await mount(figure, { steps: () => {}, older }, null);
    told.mock.restore();
    const [words, { textContent }] = figure.children;
    assert.equal(words, "in words");
    assert.match(textContent, /^The widget could not be drawn here/);
    assert.equal(told.mock.callCount(), 1);
  });
}
