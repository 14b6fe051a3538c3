// Lens: the weights as the reader wants to see them: of which heads, by query or by key, of which sentences.

import { KIND_NAMES, sidesOf, startOf } from "./kinds.js";
import { headName, MOST_HEADS } from "./overlay.js";
import { arePaired, keptBy } from "./pairs.js";
import { Question } from "./question.js";
import { byKey, largest, Weights, without } from "./weights.js";

/** @import { Head, Model, Place } from "./types" */
/** @import { Kept } from "./pairs.js" */

const HELD = MOST_HEADS + 1; // maps kept as the reader sees them

/** What is pointed at lives here, everything else in the model. */
export class Lens extends Question {
  /** @type {Place | null} */
  hovered = null;
  /** @type {Place} */
  pinned = { row: -1, column: -1 };
  /** @type {string[]} of the rows */
  tokens = [];
  /** @type {string[]} of the columns */
  others = [];
  example = -1;
  /** @type {{ of: "" | "mean" | "rollout", aside: boolean, read: boolean }} */
  lens = { of: "", aside: false, read: false };
  /** @type {{ of: Weights | null, lens: string, found: Map<string, Float32Array> }} */
  seen = { of: null, lens: "", found: new Map() };

  /** @param {Model} model */
  constructor(model) {
    super(model);
    this.weights = this.readWeights();
    this.read();
  }

  /** Take the picture out of the model; keep pointing at the last token while the text grows. */
  read() {
    const { model } = this;
    const followed = this.pinned.row === this.tokens.length - 1;
    this.weights = this.readWeights();
    if (!this.rolls && this.lens.of === "rollout") this.lens.of = ""; // maps of another kind
    if (this.across) this.lens.aside = false;
    this.readSides();
    const last = this.tokens.length - 1;
    let row = followed ? last : Math.min(this.pinned.row, last);
    const [chosen, number] = [model.get("examples")[model.get("example")], model.get("example")];
    if (chosen && number !== this.example && chosen.text === model.get("shown")) {
      this.example = number;
      row = chosen.row;
    }
    this.point(row);
  }

  readSides() {
    const { queries, keys } = sidesOf(this.model);
    [this.tokens, this.others] = this.lens.read ? [keys, queries] : [queries, keys];
  }

  readWeights() {
    const { model } = this;
    const [encoding, levels, shape] = [model.get("encoding"), model.get("levels"), model.get("shape")];
    return new Weights(model.get("attention"), encoding, levels, shape, startOf(model));
  }

  /**
   * Point at a row, and at what it looks at most.
   *
   * @param {number} row
   */
  point(row) {
    this.hovered = null;
    this.pinned = { row, column: this.strongest(row) };
  }

  /** Whether the tokens that look are other ones than those that are looked at. */
  get across() {
    return this.model.get("kind") === "cross";
  }

  /** Whether a token reads no others than those of these maps, so that layers can be multiplied. */
  get rolls() {
    return ["", "encoder"].includes(this.model.get("kind"));
  }

  /**
   * The weights of a head, or of all heads of its layer, as the reader wants to see them.
   *
   * @param {"" | "mean" | "rollout"} of
   * @param {Head} head
   */
  seenAs(of, [layer, head]) {
    const { weights, lens } = this;
    const through = `${lens.aside}${lens.read}`;
    if (this.seen.of !== weights || this.seen.lens !== through || this.seen.found.size > HELD) {
      this.seen = { of: weights, lens: through, found: new Map() };
    }
    const key = `${of}${layer},${of || head}`;
    let found = this.seen.found.get(key);
    if (!found) {
      found = of ? weights[of](layer) : weights.head(layer, head);
      if (lens.aside) found = without(found, weights.columns, weights.sink.key);
      if (lens.read) found = byKey(found, weights.columns);
      this.seen.found.set(key, found);
    }
    return found;
  }

  /** @returns {Head} */
  get head() {
    return [this.model.get("layer"), this.model.get("head")];
  }

  /** The weights of what is chosen: a head, or all heads of its layer. */
  get chosen() {
    return this.seenAs(this.lens.of, this.head);
  }

  /** The heads that are drawn over each other now; a cell of a matrix holds one. */
  get over() {
    return this.lens.of || this.model.get("view") !== "arcs" ? [] : this.model.get("overlay");
  }

  /** The weights that are drawn: of one head, or of those over each other. */
  get drawn() {
    return this.over.length ? this.over.map((head) => this.seenAs("", head)) : [this.chosen];
  }

  /** Which of the drawn weights the reader has left in. @returns {Kept} */
  get kept() {
    const kept = keptBy(this.model.get("segments"), this.pair);
    return this.lens.read ? (key, query) => kept(query, key) : kept;
  }

  get pair() {
    return arePaired(this.model.get("segments")) ? this.model.get("pair") : "";
  }

  /** What is drawn, in words, one by one. */
  get places() {
    const { lens, weights, model, tokens } = this;
    const kind = model.get("kind");
    const [before, rest] = [kind && `${KIND_NAMES[kind]}, `, lens.aside ? `, without ${tokens[weights.sink.key]}` : ""];
    const layer = `layer ${model.get("layer")}`;
    const whole = { "": headName(this.head), mean: `${layer}, mean of its heads`, rollout: `rollout through ${layer}` };
    const names = this.over.length ? this.over.map(headName) : [whole[lens.of]];
    return names.map((name) => before + name + rest);
  }

  get place() {
    return this.places.join(" and ");
  }

  /** What a row says of its token. */
  get verb() {
    return this.lens.read ? "is read by" : "looks at";
  }

  /**
   * @param {number} i
   * @param {Float32Array} weights
   */
  row(i, weights = this.chosen) {
    return weights.subarray(i * this.others.length, (i + 1) * this.others.length);
  }

  /** @param {number} i */
  strongest(i) {
    if (i < 0 || i >= this.tokens.length) return -1;
    const rows = this.drawn.map((weights) => this.row(i, weights));
    const most = rows[0].map((_, j) => Math.max(...rows.map((row) => row[j])));
    return largest(most, 1)[0] ?? (this.across ? 0 : i);
  }
}
