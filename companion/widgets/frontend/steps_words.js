// What AttentionSteps says of its numbers, in words and in arithmetic.

import { make } from "./elements.js";
import { inDigits, sumUp, timesEach } from "./steps_numbers.js";

/** @import { Row, Step } from "./types" */

const STEP_TERMS = 3; // of a sum, written out

/**
 * What a step does.
 *
 * @param {Step} step
 * @param {Row} row
 * @param {string} reader the token whose row it is
 * @param {number} scale
 */
export function stepSentence(step, row, reader, scale) {
  const token = make("b", { dir: "auto" }, reader);
  const size = row.query.length;
  const hidden = row.may.filter((may) => !may).length;
  /** @type {Record<Step, (Node | string)[]>} */
  const said = {
    compare: [
      "The query of ",
      token,
      ` meets the key of every token. Number by number they are multiplied, and the ${size} products are added up. Choose a key to see them.`,
    ],
    scale: [
      `Each score is divided by √${size} = ${inDigits(1 / scale)}, so that it does not grow with the length of the vectors.`,
    ],
    mask: hidden
      ? ["Where ", token, ` may not read, −∞ is added: to ${hidden} of ${row.may.length} scores. To the others, 0.`]
      : ["Nothing is hidden from ", token, ": 0 is added to every score."],
    softmax: [
      `The largest score, ${inDigits(row.most)}, is taken from all of them, which changes no weight. The exponentials add up to ${inDigits(row.total, 3)}; each is divided by that sum.`,
    ],
    add: [
      "Each value is multiplied by its weight, and all are added up. That is what ",
      token,
      " has read: the vector o.",
    ],
  };
  return said[step];
}

/**
 * What a step makes of one key, in numbers; of vectors, number c.
 *
 * @param {Step} step
 * @param {Row} row
 * @param {number} j
 * @param {number} c
 * @param {number} scale
 */
export function stepArithmetic(step, row, j, c, scale) {
  const [key, value, scaled, weight] = [
    row.keys[j],
    row.values[j],
    inDigits(row.scaled[j]),
    inDigits(row.weight[j], 3),
  ];
  /** @type {Record<Step, () => string>} */
  const said = {
    compare: () => {
      const terms = timesEach(row.query, key);
      return `${sumInTerms(terms)}. Number ${c}: ${inDigits(row.query[c])} × ${inDigits(key[c])} = ${inDigits(terms[c])}`;
    },
    scale: () => `${inDigits(row.product[j])} ÷ ${inDigits(1 / scale)} = ${scaled}`,
    mask: () => (row.may[j] ? `may be read: ${scaled} + 0 = ${scaled}` : `may not be read: ${scaled} − ∞ = −∞`),
    softmax: () => {
      const above = `${inDigits(row.masked[j])} − ${inDigits(row.most)}`.replace("− −", "+ ");
      return `exp(${above}) = ${inDigits(row.exponential[j], 3)}; ÷ ${inDigits(row.total, 3)} = ${weight}`;
    },
    add: () =>
      `Number ${c}: ${weight} × ${inDigits(value[c])} = ${inDigits(row.weight[j] * value[c], 3)}; over all tokens ${inDigits(row.output[c], 3)}`,
  };
  return said[step]();
}

/**
 * A sum with its largest terms written out.
 *
 * @param {Float32Array} terms
 */
function sumInTerms(terms) {
  const largest = Array.from(terms).sort((a, b) => Math.abs(b) - Math.abs(a));
  const first = largest.slice(0, STEP_TERMS).map((term, k) => (k && term >= 0 ? "+ " : "") + inDigits(term));
  const rest = largest.length > STEP_TERMS ? ` + the ${largest.length - STEP_TERMS} others` : "";
  return `${first.join(" ").replaceAll(" −", " − ")}${rest} = ${inDigits(sumUp(terms))}`;
}
