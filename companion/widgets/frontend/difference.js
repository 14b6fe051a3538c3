// Difference: the weights of one head less those of another, as a map with two hues around a neutral zero.

import { shade } from "./paint.js";

/** @import { Geometry, Theme } from "./types" */

const SIGNED = 11; // pixels of a cell that has room for a sign
const SMALL = 0.05; // a difference that is marked with no sign

/**
 * The difference of two heads, cell by cell.
 *
 * @param {Float32Array} one
 * @param {Float32Array} other
 */
export const differenceOf = (one, other) => one.map((weight, k) => weight - other[k]);

/**
 * The colour of a difference, −1 … 1, as a pixel lies in memory; its strength grows with the root, as a weight's does.
 *
 * @param {number} difference
 * @param {Pick<Theme, "poles">} theme
 */
export function signedWord(difference, { poles: [less, none, more] }) {
  const [end, part] = [difference < 0 ? less : more, shade(Math.abs(difference), 1) / 255];
  const [r, g, b] = none.map((from, c) => Math.round(from + (end[c] - from) * part));
  return (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
}

/**
 * Put n × n differences into an image, one pixel each.
 *
 * @param {Float32Array} differences
 * @param {number} n
 * @param {Theme} theme
 */
export function signedImage(differences, n, theme) {
  const image = document.createElement("canvas");
  Object.assign(image, { width: n, height: n });
  const context = /** @type {CanvasRenderingContext2D} */ (image.getContext("2d"));
  const pixels = context.createImageData(n, n);
  const words = new Uint32Array(pixels.data.buffer);
  for (const [k, difference] of differences.entries()) words[k] = signedWord(difference, theme);
  context.putImageData(pixels, 0, 0);
  return image;
}

/**
 * Write the sign into each cell of a drawn map that has room for it, so that hue is not all that says it.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Geometry} g
 * @param {Float32Array} differences
 * @param {number} n
 * @param {Theme} theme
 */
export function drawSigns(canvas, g, differences, n, theme) {
  if (g.cell < SIGNED) return;
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.font = theme.font(Math.min(14, 0.8 * g.cell));
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.fillStyle = theme.text;
  for (const [k, difference] of differences.entries()) {
    const [x, y] = [g.left + ((k % n) + 0.5) * g.cell, g.top + (Math.floor(k / n) + 0.5) * g.cell];
    if (Math.abs(difference) >= SMALL) context.fillText(difference < 0 ? "−" : "+", x, y);
  }
}
