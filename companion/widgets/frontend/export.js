// Export: a picture as a file, drawn a second time by the same code as the one on the screen.

import { make } from "./elements.js";

/** @import { Geometry, Theme } from "./types" */
/** @typedef {{ name: string, width: number, height: number, text: string }} Drawing */

const SHARP = 3; // pixels of a PNG for each of the page
/** @type {Record<string, string>} */
const ESCAPES = { "<": "&lt;", ">": "&gt;", "&": "&amp;", '"': "&quot;" };

/** @param {string} text */
const escaped = (text) => text.replace(/[<>&"]/g, (letter) => ESCAPES[letter]);

/** @param {number} x */
const short = (x) => String(Math.round(100 * x) / 100);

/** As much of a canvas's context as the pictures use, which writes down what is drawn as SVG. */
class SvgContext {
  /** @type {string[]} */
  parts = [];
  path = "";
  /** @type {string[]} */
  moves = [];
  fillStyle = "";
  strokeStyle = "";
  lineWidth = 1;
  lineCap = "butt";
  dash = "";
  globalAlpha = 1;
  font = "";
  textAlign = "left";
  textBaseline = "alphabetic";
  imageSmoothingEnabled = false;

  /** @param {CanvasRenderingContext2D} measuring which knows how wide a text is */
  constructor(measuring) {
    this.measuring = measuring;
  }

  setTransform() {}

  clearRect() {}

  /** @param {number[]} lengths */
  setLineDash(lengths) {
    this.dash = lengths.join(" ");
  }

  /** @param {string} text */
  measureText(text) {
    this.measuring.font = this.font;
    return this.measuring.measureText(text);
  }

  /**
   * @param {string} tag
   * @param {Record<string, string | number>} attributes
   * @param {string} text
   */
  add(tag, attributes, text = "") {
    const all = { ...attributes, opacity: this.globalAlpha, transform: this.moves.join(" ") };
    const said = Object.entries(all).filter(([name, value]) => value !== "" && !(name === "opacity" && value === 1));
    const pairs = said.map(([name, value]) => `${name}="${typeof value === "number" ? short(value) : escaped(value)}"`);
    this.parts.push(`<${tag} ${pairs.join(" ")}>${escaped(text)}</${tag}>`);
  }

  /** @param {[x: number, y: number, width: number, height: number]} box */
  fillRect(...[x, y, width, height]) {
    this.add("rect", { x, y, width, height, fill: this.fillStyle });
  }

  /** @param {[x: number, y: number, width: number, height: number]} box */
  strokeRect(...[x, y, width, height]) {
    this.add("rect", { x, y, width, height, fill: "none", stroke: this.strokeStyle, "stroke-width": this.lineWidth });
  }

  /**
   * @param {string} text
   * @param {number} x
   * @param {number} y
   */
  fillText(text, x, y) {
    const anchor = { left: "start", right: "end", center: "middle" }[this.textAlign] ?? "start";
    const baseline = this.textBaseline === "middle" ? "central" : "auto";
    const look = { fill: this.fillStyle, style: `font: ${this.font}; white-space: pre` };
    this.add("text", { x, y, "text-anchor": anchor, "dominant-baseline": baseline, ...look }, text);
  }

  /**
   * @param {HTMLCanvasElement} image
   * @param {[x: number, y: number, width: number, height: number]} box
   */
  drawImage(image, ...[x, y, width, height]) {
    const style = this.imageSmoothingEnabled ? "" : "image-rendering: pixelated";
    const how = { preserveAspectRatio: "none", href: image.toDataURL(), style };
    this.add("image", { x, y, width, height, ...how });
  }

  beginPath() {
    this.path = "";
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  moveTo(x, y) {
    this.path += `M${short(x)} ${short(y)}`;
  }

  /** @param {number[]} points */
  bezierCurveTo(...points) {
    this.path += `C${points.map(short).join(" ")}`;
  }

  /**
   * A whole circle, the only arc of these pictures.
   *
   * @param {number} x
   * @param {number} y
   * @param {number} radius
   */
  arc(x, y, radius) {
    const half = (/** @type {number} */ way) => `a${short(radius)} ${short(radius)} 0 1 0 ${short(2 * way * radius)} 0`;
    this.path += `M${short(x - radius)} ${short(y)}${half(1)}${half(-1)}`;
  }

  stroke() {
    const line = { stroke: this.strokeStyle, "stroke-width": this.lineWidth, "stroke-linecap": this.lineCap };
    this.add("path", { d: this.path, fill: "none", "stroke-dasharray": this.dash, ...line });
  }

  fill() {
    this.add("path", { d: this.path, fill: this.fillStyle });
  }

  save() {}

  restore() {
    this.moves = []; // nothing is saved within what is saved
  }

  /**
   * @param {number} x
   * @param {number} y
   */
  translate(x, y) {
    this.moves.push(`translate(${short(x)} ${short(y)})`);
  }

  /** @param {number} angle in radians */
  rotate(angle) {
    this.moves.push(`rotate(${short((180 * angle) / Math.PI)})`);
  }
}

/**
 * A picture as SVG: text stays text, and the weights of a matrix are one small image in it.
 *
 * @param {Pick<Geometry, "width" | "height">} geometry
 * @param {Theme} theme
 * @param {string} title
 * @param {(canvas: HTMLCanvasElement) => void} paint
 * @returns {Drawing}
 */
export function toSvg({ width, height }, theme, title, paint) {
  const measuring = /** @type {CanvasRenderingContext2D} */ (make("canvas").getContext("2d"));
  const context = new SvgContext(measuring);
  const canvas = { width: 0, height: 0, style: {}, getContext: () => context };
  paint(/** @type {any} */ (canvas));
  const size = `width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
  const paper = `<rect width="${width}" height="${height}" fill="${theme.paper}"/>`;
  const text =
    `<svg xmlns="http://www.w3.org/2000/svg" ${size} role="img"><title>${escaped(title)}</title>` +
    `${paper}${context.parts.join("")}</svg>`;
  return { name: title.split(/[,:.]/, 3).join("").trim().replace(/\s+/g, "-").toLowerCase(), width, height, text };
}

/**
 * Hand the reader a file.
 *
 * @param {Blob} content
 * @param {string} name
 */
function save(content, name) {
  const href = URL.createObjectURL(content);
  make("a", { href, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(href), 10_000); // when it has been read
}

/** @param {Drawing} drawing */
const blobOf = ({ text }) => new Blob([text], { type: "image/svg+xml" });

/** @param {Drawing} drawing */
export function saveSvg(drawing) {
  save(blobOf(drawing), `${drawing.name}.svg`);
}

/** @param {Drawing} drawing */
export async function savePng(drawing) {
  const { name, width, height } = drawing;
  const image = new Image();
  image.src = URL.createObjectURL(blobOf(drawing));
  await image.decode();
  const canvas = make("canvas", { width: SHARP * width, height: SHARP * height });
  canvas.getContext("2d")?.drawImage(image, 0, 0, canvas.width, canvas.height);
  URL.revokeObjectURL(image.src);
  canvas.toBlob((content) => content && save(content, `${name}.png`));
}
