// Byte-level BPE over a vocabulary of companion.widgets.byte_vocabulary: text to ids, and the name of each token.

/** @import { ByteVocabulary } from "./types" */

const KEPT = 20_000; // pieces whose ids are remembered
const SIGNS = new Map([" ␣", "\n⏎", "\t⇥"].map((pair) => [pair[0], pair[1]]));
const HIDDEN = /[\p{C}\p{Z}\u115f\u1160\u2800\u3164\uffa0␣⏎⇥]|\u034f|\u17b4|\u17b5|[\ufe00-\ufe0e]/u;
const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** GPT-2's visible stand-in of each byte: printable Latin-1 as itself, the rest from U+0100 on. */
const STAND_INS = (() => {
  let others = 256;
  const printable = (/** @type {number} */ b) => (b > 32 && b < 127) || (b > 160 && b < 173) || b > 173;
  return Array.from({ length: 256 }, (_, byte) => String.fromCharCode(printable(byte) ? byte : others++));
})();
const BYTES = new Map(STAND_INS.map((sign, byte) => [sign, byte]));

/** Numbers of which the smallest comes out first. */
class Heap {
  /** @type {number[]} */
  items = [];

  /** @param {number} item */
  push(item) {
    const { items } = this;
    let at = items.push(item) - 1;
    for (let up = (at - 1) >> 1; at > 0 && items[up] > item; up = (at - 1) >> 1) {
      items[at] = items[up];
      at = up;
    }
    items[at] = item;
  }

  pop() {
    const { items } = this;
    const [first] = items;
    const item = items.pop();
    if (item === undefined || items.length === 0) return first;
    let at = 0;
    for (let down = 1; down < items.length; down = 2 * at + 1) {
      if (down + 1 < items.length && items[down + 1] < items[down]) down += 1;
      if (items[down] >= item) break;
      items[at] = items[down];
      at = down;
    }
    items[at] = item;
    return first;
  }
}

/**
 * The parts after all merges: the pair that makes the earliest token first, the leftmost of equals.
 *
 * @param {string[]} parts
 * @param {Map<string, number>} ranks
 */
export function merge(parts, ranks) {
  const count = parts.length;
  const next = parts.map((_, k) => k + 1);
  const before = parts.map((_, k) => k - 1);
  const waiting = new Heap();
  const rankOf = (/** @type {number} */ k) => ranks.get(parts[k] + parts[next[k]]);
  const offer = (/** @type {number} */ k) => {
    const rank = k >= 0 && next[k] < count ? rankOf(k) : undefined;
    if (rank !== undefined) waiting.push(rank * count + k);
  };
  for (let k = 0; k < count - 1; k += 1) offer(k);
  while (waiting.items.length > 0) {
    const found = waiting.pop();
    const [k, rank] = [found % count, Math.floor(found / count)];
    if (parts[k] === "" || next[k] >= count || rankOf(k) !== rank) continue; // one of the two was merged meanwhile
    const gone = next[k];
    parts[k] += parts[gone];
    parts[gone] = "";
    next[k] = next[gone];
    if (next[k] < count) before[next[k]] = k;
    offer(k);
    offer(before[k]);
  }
  return parts.filter((part) => part !== "");
}

/** @param {number} code */
const asHex = (code) => `⟨${code.toString(16).toUpperCase().padStart(2, "0")}⟩`;

/**
 * The text with a sign in the place of each character that cannot be seen, as companion.data.tokenization has it.
 *
 * @param {string} text
 * @returns {string}
 */
function visible(text) {
  if (text.startsWith("\ufe0f")) return asHex(0xfe0f) + visible(text.slice(1));
  const shown = Array.from(text, (c) => SIGNS.get(c) ?? (HIDDEN.test(c) ? asHex(Number(c.codePointAt(0))) : c));
  const accent = /^\p{M}/u.test(text) && text.startsWith(shown[0]);
  return (accent ? "◌" : "") + shown.join("");
}

/**
 * What a token's name shows; bytes that are a part of a character, as codes.
 *
 * @param {string} token in stand-ins
 */
export function tokenLabel(token) {
  const bytes = Uint8Array.from(token, (sign) => BYTES.get(sign) ?? 0);
  try {
    return visible(decoder.decode(bytes));
  } catch {
    return Array.from(bytes, asHex).join("");
  }
}

export class ByteBPE {
  /** @type {Map<string, number[]>} */
  known = new Map();

  /** @param {ByteVocabulary} vocabulary */
  constructor({ tokens, pieces, nfc, added }) {
    const names = Object.keys(added);
    const ids = new Set(Object.values(added));
    this.tokens = tokens;
    this.size = Math.max(tokens.length, ...[...ids].map((id) => id + 1));
    /** @type {Map<string, number>} */
    this.ranks = new Map();
    for (const [id, token] of tokens.entries()) if (!ids.has(id)) this.ranks.set(token, id);
    this.pieces = new RegExp(pieces, "gu");
    this.nfc = nfc;
    this.added = new Map(Object.entries(added));
    this.namesById = new Map(names.map((name) => [added[name], name]));
    const escaped = names
      .sort((a, b) => b.length - a.length)
      .map((name) => name.replace(/[.*+?^${}()|[\]\\]/g, "\\$&"));
    this.marks = new RegExp(`(${escaped.join("|")})`);
  }

  /**
   * @param {string} text
   * @returns {number[]}
   */
  encode(text) {
    const parts = this.added.size > 0 ? text.split(this.marks) : [text];
    const ids = [];
    for (const part of parts) {
      const mark = this.added.get(part);
      if (mark !== undefined) ids.push(mark);
      else for (const id of this.encodeText(this.nfc ? part.normalize("NFC") : part)) ids.push(id);
    }
    return ids;
  }

  /** @param {string} text */
  *encodeText(text) {
    for (const [piece] of text.matchAll(this.pieces)) {
      let ids = this.known.get(piece);
      if (!ids) {
        const signs = Array.from(encoder.encode(piece), (byte) => STAND_INS[byte]);
        ids = merge(signs, this.ranks).map((token) => Number(this.ranks.get(token)));
        if (this.known.size > KEPT) this.known.clear();
        this.known.set(piece, ids);
      }
      yield* ids;
    }
  }

  /** @param {number} id */
  label(id) {
    return this.namesById.get(id) ?? tokenLabel(this.tokens[id]);
  }
}
