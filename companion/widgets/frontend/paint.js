// Paint: one head as a matrix or as arcs, and all heads as an atlas.

import { largest } from "./weights.js";

/** @import { AtlasGeometry, Geometry, Most, Shape, Theme } from "./types" */
/** @import { Weights } from "./weights.js" */

const FONT_SIZE = 12;
const SMALLEST = 9; // below this a label says nothing, and every second or third one is left out
const SIDE = 580; // no picture is taller

/**
 * Colours, read from the style sheet so that a theme is CSS and nothing else.
 *
 * @param {Element} root
 */
export function readTheme(root) {
  const style = getComputedStyle(root);
  return makeTheme((key) => style.getPropertyValue(`--ca-${key}`).trim());
}

/**
 * @param {(key: string) => string} name
 * @returns {Theme}
 */
export function makeTheme(name) {
  const channels = (/** @type {string} */ hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
  const stops = name("ramp").split(/\s+/).map(channels);
  const ramp = Array.from({ length: 256 }, (_, shade) => {
    const position = (shade / 255) * (stops.length - 1);
    const left = Math.min(Math.floor(position), stops.length - 2);
    return stops[left].map((from, c) => Math.round(from + (stops[left + 1][c] - from) * (position - left)));
  });
  const word = (/** @type {number[]} */ [r, g, b]) => (0xff000000 | (b << 16) | (g << 8) | r) >>> 0;
  return {
    ramp,
    words: Uint32Array.from(ramp, word),
    nothing: word(channels(name("zero"))),
    poles: ["accent", "zero", "blue"].map((key) => channels(name(key))),
    text: name("text"),
    muted: name("muted"),
    accent: name("accent"),
    paper: name("paper"),
    zero: name("zero"),
    font: (size) => `${size}px ${name("mono")}`,
  };
}

/**
 * Shade 0 … 255 of a weight, on a square-root scale: the eye sees diffuse attention too.
 *
 * @param {number} weight
 * @param {number} most
 */
export function shade(weight, most) {
  return Math.min(255, Math.round(255 * Math.sqrt(weight / (most || 1))));
}

/** @param {number[]} channels */
export function rgb([r, g, b]) {
  return `rgb(${r} ${g} ${b})`;
}

/**
 * The two-dimensional context, which every canvas has.
 *
 * @param {HTMLCanvasElement} canvas
 */
function contextOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * Make a canvas of width × height CSS pixels sharp on this screen, and return its cleared context.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
function prepare(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    Object.assign(canvas, { width: w, height: h });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  }
  const context = contextOf(canvas);
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}

/**
 * Put rows × columns weights into an image, one pixel each.
 *
 * @param {Float32Array} weights
 * @param {number} columns
 * @param {Most} most
 * @param {Theme} theme
 */
export function toImage(weights, columns, most, theme) {
  const image = document.createElement("canvas");
  Object.assign(image, { width: columns, height: weights.length / columns });
  const context = contextOf(image);
  const pixels = context.createImageData(image.width, image.height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let k = 0; k < weights.length; k += 1) {
    // a weight of exactly zero stays transparent: what may not be attended to is paper
    if (weights[k] > 0) words[k] = theme.words[shade(weights[k], most(k))];
  }
  context.putImageData(pixels, 0, 0);
  return image;
}

/**
 * Shorten a label to a width in pixels.
 *
 * @param {Pick<CanvasRenderingContext2D, "measureText">} context
 * @param {string} label
 * @param {number} width
 */
export function fit(context, label, width) {
  if (context.measureText(label).width <= width) return label;
  const letters = Array.from(label);
  while (letters.length > 1 && context.measureText(`${letters.join("")}…`).width > width) letters.pop();
  return `${letters.join("")}…`;
}

/**
 * The size of labels in cells of this height.
 *
 * @param {number} cell
 */
export function fontSize(cell) {
  return Math.max(SMALLEST, Math.min(FONT_SIZE, Math.floor(cell - 1.5)));
}

/**
 * Where everything of a picture over these labels goes, in a stage of this width.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {string[]} labels
 * @param {number} width
 * @param {Geometry["view"]} view
 * @param {Theme} theme
 * @returns {Geometry}
 */
export function plan(canvas, labels, width, view, theme) {
  const context = contextOf(canvas);
  context.font = theme.font(FONT_SIZE);
  const longest = Math.max(...labels.slice(0, 512).map((label) => context.measureText(label).width));
  const left = Math.ceil(Math.min(longest, width * 0.26, 110)) + 10;
  const n = labels.length;
  if (view === "arcs") {
    const cell = Math.min(26, Math.max(1, SIDE / n));
    return {
      view,
      n,
      left: left + 44,
      top: 4,
      cell,
      width,
      height: Math.ceil(n * cell) + 8,
      label: left - 10,
      above: 0,
    };
  }
  const top = Math.ceil(Math.min(longest, 96)) + 10;
  let cell = Math.min(44, SIDE / n, (width - left - 2) / n);
  if (cell > 4) cell = Math.floor(cell * 2) / 2; // crisp edges
  const [right, height] = [left, top].map((start) => Math.ceil(start + n * cell) + 2);
  return { view, n, left, top, cell, width: right, height, label: left - 10, above: top - 10 };
}

/**
 * Which labels there is room for: every k-th, and those that are pointed at.
 *
 * @param {Pick<Geometry, "n" | "cell">} geometry
 * @param {number[]} pointed
 */
export function labelled(geometry, pointed) {
  const step = Math.ceil((SMALLEST + 0.5) / geometry.cell);
  const shown = new Set(pointed);
  for (let i = 0; i < geometry.n; i += step) {
    if (pointed.every((p) => p === i || Math.abs(p - i) >= step)) shown.add(i);
  }
  return shown;
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Geometry} g
 * @param {string[]} labels
 * @param {Theme} theme
 * @param {number[]} pointed
 */
function drawRowLabels(context, g, labels, theme, pointed) {
  context.textAlign = "right";
  context.textBaseline = "middle";
  const font = theme.font(fontSize(g.cell));
  for (const i of labelled(g, pointed)) {
    context.fillStyle = pointed.includes(i) ? theme.accent : theme.muted;
    context.font = i === pointed[0] ? `600 ${font}` : font;
    context.fillText(fit(context, labels[i], g.label), g.label + 4, g.top + (i + 0.5) * g.cell + 0.5);
  }
}

/**
 * Draw one head as a matrix: a row for each query, a column for each key.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Geometry} g
 * @param {{ labels: string[], image: HTMLCanvasElement, row: number, column: number, theme: Theme }} what
 */
export function drawMatrix(canvas, g, { labels, image, row, column, theme }) {
  const context = prepare(canvas, g.width, g.height);
  const side = g.n * g.cell;
  context.fillStyle = theme.zero;
  context.fillRect(g.left, g.top, side, side);
  context.imageSmoothingEnabled = g.cell < 1;
  context.drawImage(image, g.left, g.top, side, side);
  if (g.cell >= 7) {
    context.fillStyle = theme.paper;
    for (let k = 1; k < g.n; k += 1) {
      context.fillRect(g.left + k * g.cell - 0.5, g.top, 1, side);
      context.fillRect(g.left, g.top + k * g.cell - 0.5, side, 1);
    }
  }
  drawRowLabels(context, g, labels, theme, [row]);
  context.textAlign = "left";
  const font = theme.font(fontSize(g.cell));
  for (const j of labelled(g, [column])) {
    context.save();
    context.translate(g.left + (j + 0.5) * g.cell + 0.5, g.top - 6);
    context.rotate(-Math.PI / 2);
    context.fillStyle = j === column ? theme.accent : theme.muted;
    context.font = j === column ? `600 ${font}` : font;
    context.fillText(fit(context, labels[j], g.above), 0, 0);
    context.restore();
  }
  context.strokeStyle = theme.accent;
  context.lineWidth = 1;
  context.strokeRect(g.left - 0.5, g.top + row * g.cell - 0.5, side + 1, g.cell + 1);
  context.lineWidth = 2;
  context.strokeRect(g.left + column * g.cell - 1, g.top + row * g.cell - 1, g.cell + 2, g.cell + 2);
}

/**
 * @param {CanvasRenderingContext2D} context
 * @param {Geometry} g
 * @param {number} i
 * @param {number} j
 * @param {number} width
 */
function arc(context, g, i, j, width) {
  const [from, to] = [i, j].map((k) => g.top + (k + 0.5) * g.cell);
  const reach = (g.width - g.left - 8) * 1.3 * (Math.abs(i - j) / Math.max(1, g.n - 1)) ** 0.6;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(g.left, from);
  context.bezierCurveTo(g.left + reach, from, g.left + reach, to, g.left, to);
  context.stroke();
}

/**
 * Draw one head as arcs from each query to its keys; those of the row pointed at stand out, with their weights.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Geometry} g
 * @param {{ labels: string[], weights: Float32Array, backdrop: number[], row: number, column: number, most: Most, theme: Theme }} what
 */
export function drawArcs(canvas, g, { labels, weights, backdrop, row, column, most, theme }) {
  const context = prepare(canvas, g.width, g.height);
  context.lineCap = "round";
  context.globalAlpha = 0.22;
  context.strokeStyle = rgb(theme.ramp[150]);
  for (const k of backdrop) {
    const [i, j] = [Math.floor(k / g.n), k % g.n];
    if (i !== j) arc(context, g, i, j, 0.5 + 2 * Math.sqrt(weights[k] / most(k)));
  }
  context.globalAlpha = 1;
  const mine = weights.subarray(row * g.n, (row + 1) * g.n);
  const keys = largest(mine, 24).reverse();
  for (const j of keys) {
    const strength = shade(mine[j], most(row * g.n));
    context.strokeStyle = j === column ? theme.accent : rgb(theme.ramp[Math.max(110, strength)]);
    if (j !== row) arc(context, g, row, j, 0.75 + (4 * strength) / 255);
    context.fillStyle = context.strokeStyle;
    context.beginPath();
    context.arc(g.left, g.top + (j + 0.5) * g.cell, 1.5 + (3 * strength) / 255, 0, 7);
    context.fill();
  }
  const apart = Math.abs(row - column) * g.cell > SMALLEST; // or the two labels would cover each other
  drawRowLabels(context, g, labels, theme, apart ? [row, column] : [row]);
  context.font = theme.font(fontSize(g.cell));
  const named = g.cell < FONT_SIZE ? [] : keys.slice(-5).filter((j) => j !== column);
  for (const j of [column, ...named]) {
    context.fillStyle = j === column ? theme.accent : theme.text;
    context.fillText(mine[j].toFixed(2), g.left - 8, g.top + (j + 0.5) * g.cell + 0.5);
  }
}

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
 * Draw every head of every layer, small; the chosen one is framed, or with a head of -1 the whole layer.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {AtlasGeometry} g
 * @param {{ image: HTMLCanvasElement, layer: number, head: number, theme: Theme }} what
 */
export function drawAtlas(canvas, g, { image, layer, head, theme }) {
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
  context.strokeStyle = theme.accent;
  context.lineWidth = 2;
  const [first, count] = head < 0 ? [0, g.heads] : [head, 1];
  context.strokeRect(g.gutter + first * g.cell, g.gutter + layer * g.cell, count * g.cell, g.cell);
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
  const size = Math.max(1, Math.min(weights.n, side));
  const image = document.createElement("canvas");
  Object.assign(image, { width: g.heads * cell, height: g.layers * cell });
  const context = contextOf(image);
  const pixels = context.createImageData(image.width, image.height);
  const words = new Uint32Array(pixels.data.buffer);
  const source = Array.from({ length: side }, (_, k) => Math.floor((k * size) / side));
  for (let layer = 0; layer < g.layers; layer += 1) {
    for (let head = 0; head < g.heads; head += 1) {
      const pooled = weights.pooled(layer, head, size, aside);
      for (let y = 0; y < side; y += 1) {
        const start = (layer * cell + gap + y) * image.width + head * cell + gap;
        for (let x = 0; x < side; x += 1) {
          const weight = pooled[source[y] * size + source[x]];
          words[start + x] = weight > 0 ? theme.words[shade(weight, 1)] : theme.nothing;
        }
      }
    }
  }
  context.putImageData(pixels, 0, 0);
  return image;
}
