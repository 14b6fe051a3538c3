// Paint: colours, where everything of a picture goes, and one head as a matrix.

/** @import { Geometry, Most, Theme } from "./types" */
/** @import { Kept } from "./pairs.js" */

export const FONT_SIZE = 12;
export const SMALLEST = 9; // below this a label says nothing, and every second or third one is left out
const SIDE = 580; // no picture is taller
export const ROOM = 44; // between labels and arcs, for numbers and marks
const DIM = 0x20000000; // how opaque a weight is that the reader leaves out

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
    heads: [0, 1, 2, 3].map((k) => name(`head-${k}`)),
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
export function contextOf(canvas) {
  return /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
}

/**
 * Make a canvas of width × height CSS pixels sharp on this screen, and return its cleared context.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {number} width
 * @param {number} height
 */
export function prepare(canvas, width, height) {
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
 * Put rows × columns weights into an image, one pixel each; those that are not kept are dim.
 *
 * @param {Float32Array} weights
 * @param {number} columns
 * @param {Most} most
 * @param {Theme} theme
 * @param {Kept} kept
 */
export function toImage(weights, columns, most, theme, kept) {
  const image = document.createElement("canvas");
  Object.assign(image, { width: columns, height: weights.length / columns });
  const context = contextOf(image);
  const pixels = context.createImageData(image.width, image.height);
  const words = new Uint32Array(pixels.data.buffer);
  for (let k = 0; k < weights.length; k += 1) {
    // a weight of exactly zero stays transparent: what may not be attended to is paper
    if (weights[k] <= 0) continue;
    const word = theme.words[shade(weights[k], most(k))];
    words[k] = kept(Math.floor(k / columns), k % columns) ? word : (word & 0xffffff) | DIM;
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
 * @param {string[]} rows
 * @param {string[]} columns
 * @param {number} width
 * @param {Geometry["view"]} view
 * @param {Theme} theme
 * @param {boolean} across whether arcs lead to other tokens, which stand on the right
 * @returns {Geometry}
 */
export function plan(canvas, rows, columns, width, view, theme, across = false) {
  const context = contextOf(canvas);
  context.font = theme.font(FONT_SIZE);
  const [longest, other] = [rows, columns].map((labels) =>
    Math.max(...labels.slice(0, 512).map((label) => context.measureText(label).width)),
  );
  const left = Math.ceil(Math.min(longest, width * 0.26, 110)) + 10;
  const all = { view, across, rows: rows.length, columns: columns.length, label: left - 10 };
  if (view === "arcs") {
    const count = across ? Math.max(rows.length, columns.length) : rows.length;
    const cell = Math.min(26, Math.max(1, SIDE / count));
    const above = Math.ceil(Math.min(other, width * 0.26, 110)); // beside, here
    const end = across ? width - above - 10 - ROOM : 0;
    return {
      ...all,
      left: left + (across ? 0 : ROOM),
      end,
      top: 4,
      cell,
      width,
      height: Math.ceil(count * cell) + 8,
      above,
    };
  }
  const top = Math.ceil(Math.min(other, 96)) + 10;
  let cell = Math.min(44, SIDE / Math.max(rows.length, columns.length), (width - left - 2) / columns.length);
  if (cell > 4) cell = Math.floor(cell * 2) / 2; // crisp edges
  const end = left + columns.length * cell;
  const height = Math.ceil(top + rows.length * cell) + 2;
  return { ...all, left, end, top, cell, width: Math.ceil(end) + 2, height, above: top - 10 };
}

/**
 * Which labels there is room for: every k-th, and those that are pointed at.
 *
 * @param {{ n: number, cell: number }} geometry
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
 * The names of the rows, or on the right those of other tokens.
 *
 * @param {CanvasRenderingContext2D} context
 * @param {Geometry} g
 * @param {string[]} labels
 * @param {Theme} theme
 * @param {number[]} pointed
 * @param {boolean} right
 */
export function drawRowLabels(context, g, labels, theme, pointed, right = false) {
  context.textAlign = right ? "left" : "right";
  context.textBaseline = "middle";
  const [x, room] = right ? [g.end + ROOM, g.above] : [g.label + 4, g.label];
  const font = theme.font(fontSize(g.cell));
  for (const i of labelled({ n: labels.length, cell: g.cell }, pointed)) {
    context.fillStyle = pointed.includes(i) ? theme.accent : theme.muted;
    context.font = i === pointed[0] ? `600 ${font}` : font;
    context.fillText(fit(context, labels[i], room), x, g.top + (i + 0.5) * g.cell + 0.5);
  }
}

/**
 * Draw one head as a matrix: a row for each query, a column for each key; lines stand where another sentence begins.
 *
 * @param {HTMLCanvasElement} canvas
 * @param {Geometry} g
 * @param {{ labels: string[], others: string[], image: HTMLCanvasElement, row: number, column: number, starts: number[], theme: Theme }} what
 */
export function drawMatrix(canvas, g, { labels, others, image, row, column, starts, theme }) {
  const context = prepare(canvas, g.width, g.height);
  const [wide, high] = [g.columns * g.cell, g.rows * g.cell];
  context.fillStyle = theme.zero;
  context.fillRect(g.left, g.top, wide, high);
  context.imageSmoothingEnabled = g.cell < 1;
  context.drawImage(image, g.left, g.top, wide, high);
  context.fillStyle = theme.paper;
  const right = (/** @type {number} */ k) => context.fillRect(g.left + k * g.cell - 0.5, g.top, 1, high);
  const down = (/** @type {number} */ k) => context.fillRect(g.left, g.top + k * g.cell - 0.5, wide, 1);
  for (let k = 1; k < g.columns && g.cell >= 7; k += 1) right(k);
  for (let k = 1; k < g.rows && g.cell >= 7; k += 1) down(k);
  context.fillStyle = theme.muted;
  for (const k of starts) {
    right(k);
    down(k);
  }
  drawRowLabels(context, g, labels, theme, [row]);
  context.textAlign = "left";
  const font = theme.font(fontSize(g.cell));
  for (const j of labelled({ n: g.columns, cell: g.cell }, [column])) {
    context.save();
    context.translate(g.left + (j + 0.5) * g.cell + 0.5, g.top - 6);
    context.rotate(-Math.PI / 2);
    context.fillStyle = j === column ? theme.accent : theme.muted;
    context.font = j === column ? `600 ${font}` : font;
    context.fillText(fit(context, others[j], g.above), 0, 0);
    context.restore();
  }
  context.strokeStyle = theme.accent;
  context.lineWidth = 1;
  context.strokeRect(g.left - 0.5, g.top + row * g.cell - 0.5, wide + 1, g.cell + 1);
  context.lineWidth = 2;
  context.strokeRect(g.left + column * g.cell - 1, g.top + row * g.cell - 1, g.cell + 2, g.cell + 2);
}
