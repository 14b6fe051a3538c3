// Arcs: from each token to those that it looks at, of one head or of several over each other.

import { drawRowLabels, FONT_SIZE, fontSize, prepare, rgb, SMALLEST, shade } from "./paint.js";
import { largest } from "./weights.js";

/** @import { Geometry, Most, Theme } from "./types" */
/** @import { Kept } from "./pairs.js" */
/** @typedef {{ labels: string[], others: string[], row: number, column: number, theme: Theme, kept: Kept }} Pointed */
/** @typedef {{ mine: Float32Array, most: number, colour: string, dash: number[], mark: string }} Over a head over others: its row, and how it is drawn */

const DRAWN_KEYS = 24; // of a row
const FAINT = 0.15; // how opaque an arc is that the reader leaves out
const FAINTEST = 0.1; // shade below which several heads would only hide each other
const APART = 3; // pixels between the arcs of two heads
const MARK_ROOM = 10;

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Geometry} g
 * @param {number} i
 * @param {number} j
 * @param {number} width
 * @param {number} shift in pixels, so that the arcs of several heads lie side by side
 */
function arc(context, g, i, j, width, shift = 0) {
  const [from, to] = [i, j].map((k) => g.top + (k + 0.5) * g.cell + shift);
  const reach = (g.width - g.left - 8) * 1.3 * (Math.abs(i - j) / Math.max(1, g.rows - 1)) ** 0.6;
  const [bend, end] = g.across ? [(g.left + g.end) / 2, g.end] : [g.left + reach, g.left];
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(g.left, from);
  context.bezierCurveTo(bend, from, bend, to, end, to);
  context.stroke();
}

/**
 * The names on the left, and of other tokens on the right.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Geometry} g
 * @param {Pointed} what
 */
function drawNames(context, g, { labels, others, row, column, theme }) {
  const apart = Math.abs(row - column) * g.cell > SMALLEST; // or the two labels would cover each other
  drawRowLabels(context, g, labels, theme, apart && !g.across ? [row, column] : [row]);
  if (g.across) drawRowLabels(context, g, others, theme, [column], true);
  context.font = theme.font(fontSize(g.cell));
}

/**
 * Draw one head as arcs from each query to its keys; those of the row pointed at stand out, with their weights.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Geometry} g
 * @param {Pointed & { weights: Float32Array, backdrop: number[], most: Most }} what
 */
export function drawArcs(canvas, g, what) {
  const { weights, backdrop, row, column, most, theme, kept } = what;
  const context = prepare(canvas, g.width, g.height);
  const isArc = (/** @type {number} */ i, /** @type {number} */ j) => g.across || i !== j;
  context.lineCap = "round";
  context.globalAlpha = 0.22;
  context.strokeStyle = rgb(theme.ramp[150]);
  for (const k of backdrop) {
    const [i, j] = [Math.floor(k / g.columns), k % g.columns];
    if (isArc(i, j) && kept(i, j)) arc(context, g, i, j, 0.5 + 2 * Math.sqrt(weights[k] / most(k)));
  }
  const mine = weights.subarray(row * g.columns, (row + 1) * g.columns);
  const keys = largest(mine, DRAWN_KEYS).reverse();
  const side = g.across ? g.end : g.left;
  for (const j of keys) {
    const strength = shade(mine[j], most(row * g.columns));
    context.globalAlpha = kept(row, j) ? 1 : FAINT;
    context.strokeStyle = j === column ? theme.accent : rgb(theme.ramp[Math.max(110, strength)]);
    if (isArc(row, j)) arc(context, g, row, j, 0.75 + (4 * strength) / 255);
    context.fillStyle = context.strokeStyle;
    context.beginPath();
    context.arc(side, g.top + (j + 0.5) * g.cell, 1.5 + (3 * strength) / 255, 0, 7);
    context.fill();
  }
  context.globalAlpha = 1;
  drawNames(context, g, what);
  const named = g.cell < FONT_SIZE ? [] : keys.slice(-5).filter((j) => j !== column && kept(row, j));
  for (const j of [column, ...named]) {
    context.fillStyle = j === column ? theme.accent : theme.text;
    context.fillText(mine[j].toFixed(2), side + (g.across ? 8 : -8), g.top + (j + 0.5) * g.cell + 0.5);
  }
}

/**
 * Draw a row of several heads over each other: arcs side by side in the heads' colours and dashes, and at each key the
 * marks of the heads that look at it, the larger the more.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Geometry} g
 * @param {Pointed & { heads: Over[] }} what
 */
export function drawOverlay(canvas, g, what) {
  const { heads, row, theme, kept } = what;
  const context = prepare(canvas, g.width, g.height);
  drawNames(context, g, what);
  context.textAlign = "center";
  for (const [k, { mine, most, colour, dash, mark }] of heads.entries()) {
    const shift = (k - (heads.length - 1) / 2) * Math.min(APART, g.cell / heads.length);
    const x = g.across ? g.end + 6 + MARK_ROOM * k : g.left - 6 - MARK_ROOM * (heads.length - 1 - k);
    context.strokeStyle = context.fillStyle = colour;
    for (const j of largest(mine, DRAWN_KEYS).reverse()) {
      const strength = shade(mine[j], most) / 255;
      if (strength < FAINTEST) continue;
      const faint = kept(row, j) ? 1 : FAINT;
      context.globalAlpha = faint * Math.max(0.3, strength);
      context.setLineDash(dash);
      if (g.across || j !== row) arc(context, g, row, j, 0.75 + 3 * strength, shift);
      context.setLineDash([]);
      context.globalAlpha = faint;
      context.font = theme.font(Math.min(g.cell, 4 + 9 * strength));
      context.fillText(mark, x, g.top + (j + 0.5) * g.cell + 0.5);
    }
  }
  context.globalAlpha = 1;
}
