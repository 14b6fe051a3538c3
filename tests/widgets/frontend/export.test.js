import assert from "node:assert/strict";
import { test } from "node:test";

import { toSvg } from "../../../companion/widgets/frontend/export.js";
import { fakeDocument } from "./dom.js";

const THEME = { paper: "#ffffff" };

/** The SVG of what a function draws; every letter is seven pixels wide. */
function drawn(paint, title = "Attention matrix, layer 1, head 2: a to b, 0.5.") {
  fakeDocument();
  const plain = document.createElement;
  const measuring = { measureText: (text) => ({ width: 7 * text.length }) };
  document.createElement = (tag) => Object.assign(plain(tag), { getContext: () => measuring });
  return toSvg({ width: 100, height: 50 }, THEME, title, (canvas) => paint(canvas.getContext("2d")));
}

test("a file is named after the head, and has its size, its title and paper", () => {
  const { name, text } = drawn(() => {});
  assert.equal(name, "attention-matrix-layer-1-head-2");
  assert.match(text, /^<svg xmlns="http:\/\/www.w3.org\/2000\/svg" width="100" height="50"/);
  assert.match(text, /<title>Attention matrix, layer 1, head 2: a to b, 0.5.<\/title>/);
  assert.match(text, /<rect width="100" height="50" fill="#ffffff"\/>/);
});

test("a token that looks like markup stays text, where it is drawn and in the title", () => {
  const hostile = `<script>"&`;
  const { text } = drawn((context) => context.fillText(hostile, 1, 2), hostile);
  assert.equal(text.split("&lt;script&gt;&quot;&amp;").length, 3);
  assert.ok(!text.includes("<script"));
});

test("text is moved and turned as it is on the screen, and what follows is not", () => {
  const { text } = drawn((context) => {
    Object.assign(context, { fillStyle: "red", font: "12px mono", textAlign: "right", textBaseline: "middle" });
    context.save();
    context.translate(10, 20);
    context.rotate(-Math.PI / 2);
    context.fillText("up", 0, 0);
    context.restore();
    context.fillText("on", 3, 4);
  });
  assert.match(
    text,
    /<text x="0" y="0" text-anchor="end" dominant-baseline="central" fill="red" style="[^"]*12px mono[^"]*" transform="translate\(10 20\) rotate\(-90\)">up</,
  );
  assert.match(text, /<text x="3" y="4"[^>]*white-space: pre">on</);
});

test("boxes, curves and circles keep their places, and what is faint stays faint", () => {
  const { text } = drawn((context) => {
    context.globalAlpha = 0.22;
    Object.assign(context, { strokeStyle: "blue", lineWidth: 2, lineCap: "round" });
    context.strokeRect(1, 2, 3, 4);
    context.beginPath();
    context.moveTo(1, 2);
    context.bezierCurveTo(3, 4, 5, 6, 7, 8.123);
    context.stroke();
    context.beginPath();
    context.arc(10, 10, 2, 0, 7);
    context.fill();
  });
  assert.match(
    text,
    /<rect x="1" y="2" width="3" height="4" fill="none" stroke="blue" stroke-width="2" opacity="0.22">/,
  );
  assert.match(text, /d="M1 2C3 4 5 6 7 8.12"/);
  assert.match(text, /d="M8 10a2 2 0 1 0 4 0a2 2 0 1 0 -4 0"/);
});

test("an image of weights lies in the file itself, its pixels sharp", () => {
  const { text } = drawn((context) => context.drawImage({ toDataURL: () => "data:image/png;base64,AA" }, 1, 2, 30, 30));
  assert.match(text, /href="data:image\/png;base64,AA" style="image-rendering: pixelated"/);
});

test("a text is as wide in the file as on the screen", () => {
  let width = 0;
  drawn((context) => {
    width = context.measureText("four").width;
  });
  assert.equal(width, 28);
});

test("a dashed line is dashed, and the next is whole again", () => {
  const { text } = drawn((context) => {
    for (const dash of [[7, 4], []]) {
      context.setLineDash(dash);
      context.beginPath();
      context.moveTo(0, 0);
      context.stroke();
    }
  });
  assert.equal(text.match(/stroke-dasharray="7 4"/g).length, 1);
});
