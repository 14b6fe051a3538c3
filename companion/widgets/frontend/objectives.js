// Objectives: who may see whom, what is read and what is asked for, when a language model learns from a sentence.

/** @import { Draw, Lesson, Matrix, Objective } from "./types" */

export const MASK = "[MASK]";
const START = "⟨start⟩";
const END = "⟨end⟩";
const HIDDEN_WORDS = 0.25; // of the words, so that a short sentence shows something; BERT and T5 hide 15 %

/**
 * A mask (rows × columns) from a rule.
 *
 * @param {number} rows
 * @param {number} columns
 * @param {(row: number, column: number) => boolean} rule
 */
function allowedBy(rows, columns, rule) {
  return Array.from({ length: rows }, (_, i) => Array.from({ length: columns }, (_, j) => rule(i, j)));
}

/**
 * Some of 0 … n - 1, in their order.
 *
 * @param {number} n
 * @param {number} count
 */
function someOf(n, count) {
  const order = Array.from({ length: n }, (_, i) => /** @type {const} */ ([Math.random(), i]));
  order.sort(([a], [b]) => a - b);
  return order.slice(0, count).map(([, i]) => i);
}

/**
 * New chances for a sentence of n words: what is masked, which spans are lost, in which order words are predicted.
 *
 * @param {number} n
 * @returns {Draw}
 */
export function drawChances(n) {
  const count = Math.max(1, Math.round(HIDDEN_WORDS * n));
  const order = /** @type {number[]} */ (Array(n).fill(0));
  for (const [rank, position] of someOf(n, n).entries()) order[position] = rank;
  const first = someOf(n - count + 1, 1)[0];
  const half = Math.ceil(count / 2); // two spans where they do not touch, else one
  const second = (first + half + 1 + someOf(Math.max(1, n - count), 1)[0]) % n;
  const spans = [...Array(half).keys()].map((k) => (first + k) % n);
  for (let k = 0; k < count - half; k += 1) spans.push((second + k) % n);
  const lost = [...new Set(spans)].sort((a, b) => a - b);
  const prefix = 1 + someOf(n - 1, 1)[0];
  return { masked: someOf(n, count).sort((a, b) => a - b), lost, order, predicted: count, prefix };
}

/**
 * The words with each span that is lost in one piece: [lost or not, its words].
 *
 * @param {string[]} words
 * @param {number[]} lost
 * @returns {[lost: boolean, words: string[]][]}
 */
function runsOf(words, lost) {
  /** @type {[boolean, string[]][]} */
  const runs = [];
  for (const [i, word] of words.entries()) {
    const isLost = lost.includes(i);
    const last = runs[runs.length - 1];
    if (last && last[0] === isLost) last[1].push(word);
    else runs.push([isLost, [word]]);
  }
  return runs;
}

/**
 * The lesson of an encoder–decoder that is asked for a target, word by word.
 *
 * @param {string} about
 * @param {string[]} source
 * @param {string[]} target
 * @returns {Lesson}
 */
function toDecode(about, source, target) {
  const shifted = [START, ...target.slice(0, -1)];
  const [m, n] = [source.length, target.length];
  const columns = [...source, ...shifted];
  /** @type {Matrix} */
  const encoder = { title: "Encoder", rows: source, columns: source, source: m, allowed: allowedBy(m, m, () => true) };
  const sees = allowedBy(n, m + n, (i, j) => j < m || j - m <= i);
  return {
    about,
    inputs: [
      ["The encoder reads", source],
      ["The decoder reads", shifted],
    ],
    matrices: [encoder, { title: "Decoder", rows: shifted, columns, source: m, allowed: sees }],
    targets: target.map((word, row) => ({ word, matrix: 1, row })),
  };
}

/**
 * @param {string} title
 * @param {string[]} words
 * @param {(row: number, column: number) => boolean} rule
 * @returns {Matrix}
 */
function among(title, words, rule) {
  return { title, rows: words, columns: words, source: 0, allowed: allowedBy(words.length, words.length, rule) };
}

/** @type {Record<Objective, (words: string[], draw: Draw) => Lesson>} */
const LESSONS = {
  causal: (words) => ({
    about: "GPT: each word is predicted from the words before it. Every word but the first is a target.",
    inputs: [["The model reads", words]],
    matrices: [among("Who sees whom", words, (i, j) => j <= i)],
    targets: words.slice(1).map((word, row) => ({ word, matrix: 0, row })),
  }),
  masked: (words, { masked }) => {
    const read = words.map((word, i) => (masked.includes(i) ? MASK : word));
    return {
      about:
        "BERT: some words are hidden, and each is predicted from all places on both sides. Only the hidden ones are targets.",
      inputs: [["The model reads", read]],
      matrices: [among("Who sees whom", read, () => true)],
      targets: masked.map((row) => ({ word: words[row], matrix: 0, row })),
    };
  },
  prefix: (words, { prefix }) => ({
    about: "Prefix language model: the beginning is read in both directions, the rest is predicted word by word.",
    inputs: [
      ["The prefix", words.slice(0, prefix)],
      ["The rest", words.slice(prefix)],
    ],
    matrices: [among("Who sees whom", words, (i, j) => j <= i || j < prefix)],
    targets: words.slice(prefix).map((word, k) => ({ word, matrix: 0, row: prefix + k - 1 })),
  }),
  permutation: (words, { order, predicted }) => {
    const n = words.length;
    const last = words.map((_, i) => i).filter((i) => order[i] >= n - predicted);
    const inOrder = order.map((_, rank) => words[order.indexOf(rank)]);
    const content = among("Content stream: what a word is, with itself", words, (i, j) => order[j] <= order[i]);
    const query = {
      title: "Query stream: what a target may read, without itself",
      rows: last.map((i) => words[i]),
      columns: words,
      source: 0,
      allowed: allowedBy(last.length, n, (row, j) => order[j] < order[last[row]]),
    };
    return {
      about:
        "XLNet: the words stay in their places, but are predicted in a random order, each from those earlier in that order. The last ones in it are targets.",
      inputs: [
        ["The model reads", words],
        ["The order", inOrder],
      ],
      matrices: [content, query],
      targets: last.map((i, row) => ({ word: words[i], matrix: 1, row })),
    };
  },
  spans: (words, { lost }) => {
    const [source, target] = /** @type {[string[], string[]]} */ ([[], []]);
    let gaps = 0;
    for (const [isLost, run] of runsOf(words, lost)) {
      if (!isLost) source.push(...run);
      else {
        gaps += 1;
        source.push(`⟨${gaps}⟩`);
        target.push(`⟨${gaps}⟩`, ...run);
      }
    }
    const about =
      "T5: each span that is cut out leaves one mark. The encoder reads what is left, and the decoder writes the spans, each behind its mark.";
    return toDecode(about, [...source, END], [...target, `⟨${gaps + 1}⟩`, END]);
  },
  denoising: (words, { lost }) => {
    const source = runsOf(words, lost).flatMap(([isLost, run]) => (isLost ? [MASK] : run));
    const about =
      "BART: a mask takes the place of a whole span. The encoder reads the spoiled sentence, and the decoder writes all of it anew.";
    return toDecode(about, [...source, END], [...words, END]);
  },
};

/**
 * What a model reads, is asked for and may see, when it learns from these words.
 *
 * @param {Objective} objective
 * @param {string[]} words at least two
 * @param {Draw} draw
 */
export function lessonOf(objective, words, draw) {
  return LESSONS[objective](words, draw);
}
