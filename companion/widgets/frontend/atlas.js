// Atlas: all heads of all layers, small.

import { lookOf } from "./overlay.js";
import { contextOf, prepare, shade } from "./paint.js";

/** @import { AtlasGeometry, Head, Shape, Theme } from "./types" */
/** @import { Weights } from "./weights.js" */

/**
 * Where each head's small picture goes in an atlas of this width.
 *
 * @param {number} width
 * @param {Shape} shape
 * @returns {AtlasGeometry}
 */
export function planAtlas(width, [layers, heads]) {
  const gutter = 20;
  const cell = Math.max(6, Math.min(40, Math.floor((width - gutter) / heads)));
  return { gutter, cell, layers, heads, width: gutter + heads * cell, height: gutter + layers * cell };
}

/**
 * Draw every head of every layer, small; the chosen one is framed, or with a head of -1 whole layers from the first on.
 * Heads that lie over each other have a frame and a mark of their own.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {AtlasGeometry} g
 * @param {{ image: HTMLCanvasElement, first: number, layer: number, head: number, overlay: Head[], theme: Theme }} what
 */
export function drawAtlas(canvas, g, { image, first, layer, head, overlay, theme }) {
  const context = prepare(canvas, g.width, g.height);
  context.imageSmoothingEnabled = true;
  context.drawImage(image, g.gutter, g.gutter, g.heads * g.cell, g.layers * g.cell);
  context.font = theme.font(10);
  context.textAlign = "center";
  context.textBaseline = "middle";
  const number = (
    /** @type {number} */ k,
    /** @type {boolean} */ chosen,
    /** @type {number} */ x,
    /** @type {number} */ y,
  ) => {
    context.fillStyle = chosen ? theme.accent : theme.muted;
    if (g.cell >= 13 || chosen || k % 2 === 0) context.fillText(String(k), x, y);
  };
  for (let h = 0; h < g.heads; h += 1) number(h, h === head, g.gutter + (h + 0.5) * g.cell, g.gutter / 2);
  for (let l = 0; l < g.layers; l += 1) number(l, l === layer, g.gutter / 2, g.gutter + (l + 0.5) * g.cell);
  context.lineWidth = 2;
  const frame = (/** @type {number[]} */ ...[l, h, high, wide, inside]) =>
    context.strokeRect(
      g.gutter + h * g.cell + inside,
      g.gutter + l * g.cell + inside,
      wide * g.cell - 2 * inside,
      high * g.cell - 2 * inside,
    );
  for (const [k, [l, h]] of overlay.entries()) {
    const { colour, mark } = lookOf(theme, k);
    const [x, y] = [g.gutter + (h + 0.5) * g.cell, g.gutter + (l + 0.5) * g.cell];
    context.strokeStyle = colour;
    frame(l, h, 1, 1, 2);
    context.fillStyle = theme.paper;
    context.fillRect(x - 6, y - 6, 12, 12);
    context.fillStyle = colour;
    context.fillText(mark, x, y + 0.5);
  }
  context.strokeStyle = theme.accent;
  if (head < 0) frame(first, 0, layer - first + 1, g.heads, 0);
  else frame(layer, head, 1, 1, 0);
}

/**
 * The atlas as one image, with a gap of one part in twelve around each head.
 *
 * @param {Weights} weights
 * @param {AtlasGeometry} g
 * @param {Theme} theme
 * @param {number} aside a key that is left out, or -1
 */
export function atlasImage(weights, g, theme, aside) {
  const cell = Math.round(g.cell * Math.min(window.devicePixelRatio || 1, 2));
  const gap = Math.max(1, Math.round(cell / 12));
  const side = cell - 2 * gap;
  const [high, wide] = [weights.rows, weights.columns].map((count) => Math.max(1, Math.min(count, side)));
  const image = document.createElement("canvas");
  Object.assign(image, { width: g.heads * cell, height: g.layers * cell });
  const context = contextOf(image);
  const pixels = context.createImageData(image.width, image.height);
  const words = new Uint32Array(pixels.data.buffer);
  const [down, right] = [high, wide].map((size) =>
    Array.from({ length: side }, (_, k) => Math.floor((k * size) / side)),
  );
  for (let layer = 0; layer < g.layers; layer += 1) {
    for (let head = 0; head < g.heads; head += 1) {
      const pooled = weights.pooled(layer, head, high, wide, aside);
      for (let y = 0; y < side; y += 1) {
        const start = (layer * cell + gap + y) * image.width + head * cell + gap;
        for (let x = 0; x < side; x += 1) {
          const weight = pooled[down[y] * wide + right[x]];
          words[start + x] = weight > 0 ? theme.words[shade(weight, 1)] : theme.nothing;
        }
      }
    }
  }
  context.putImageData(pixels, 0, 0);
  return image;
}
