// What an answer says of the scores: the likeliest tokens, named and written as companion.widgets.live does.

/** @import { Tokenizer } from "@huggingface/tokenizers" */
/** @import { Candidate } from "../frontend/types" */

/**
 * A vocabulary: the name of each token, and how tokens become text.
 *
 * @typedef {object} Vocabulary
 * @property {Pick<Tokenizer, "decode">} tokenizer
 * @property {boolean} byteLevel a token carries its own space
 * @property {string[]} labels
 */

const COUNT = 5;

/**
 * @param {{ decoder?: { type: string } | null }} file tokenizer.json
 * @param {Vocabulary["tokenizer"]} tokenizer
 * @param {string[]} labels
 * @returns {Vocabulary}
 */
export function makeVocabulary(file, tokenizer, labels) {
  return { tokenizer, labels, byteLevel: file.decoder?.type === "ByteLevel" };
}

/**
 * What tokens add to a text that ends with another one: a word brings the space before it.
 *
 * @param {Vocabulary} vocabulary
 * @param {number} last
 * @param {number[]} following
 */
export function added({ tokenizer, byteLevel }, last, following) {
  if (following.length === 0) return "";
  const decode = (/** @type {number[]} */ ids) =>
    tokenizer.decode(ids, { skip_special_tokens: true, clean_up_tokenization_spaces: false });
  if (byteLevel) return decode(following);
  const before = decode([last]);
  const both = decode([last, ...following]);
  return both.startsWith(before) ? both.slice(before.length) : both;
}

/**
 * The numbers of the likeliest tokens.
 *
 * @param {Float32Array} logits
 * @param {number} [count]
 */
export function likeliest(logits, count = COUNT) {
  return Array.from(logits.keys())
    .sort((a, b) => logits[b] - logits[a])
    .slice(0, count);
}

/**
 * The likeliest tokens at one place, after the token `last` or, without one, behind a mask.
 *
 * @param {Vocabulary} vocabulary
 * @param {Float32Array} logits
 * @param {number} [last]
 * @param {number} [count]
 * @returns {Candidate[]}
 */
export function candidates(vocabulary, logits, last, count = COUNT) {
  const most = logits.reduce((a, b) => Math.max(a, b));
  const total = logits.reduce((sum, logit) => sum + Math.exp(logit - most), 0);
  return likeliest(logits, count).map((id) => {
    const token = vocabulary.labels[id];
    const text = last === undefined ? token : added(vocabulary, last, [id]);
    const whole = !text.includes("\ufffd"); // part of a character cannot be typed
    return { id, token, probability: Math.exp(logits[id] - most) / total, text: whole ? text : "" };
  });
}
