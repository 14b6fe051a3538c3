import assert from "node:assert/strict";
import { test } from "node:test";

import { ByteBPE, merge, tokenLabel } from "../../../companion/widgets/frontend/byte_bpe.js";

const TOKENS = ["a", "b", "c", "Ġ", "ab", "bc", "abc", "<end>"];
const VOCABULARY = { tokens: TOKENS, pieces: " ?\\S+", nfc: true, added: { "<end>": 7, "<also>": 9 } };
const ranks = new Map(TOKENS.map((token, id) => [token, id]));

test("the earliest merge comes first, the leftmost of equals, until none is left", () => {
  assert.deepEqual(merge([..."abcab"], ranks), ["abc", "ab"]);
  assert.deepEqual(merge([..."bcbc"], ranks), ["bc", "bc"]);
  assert.deepEqual(merge([], ranks), []);
});

test("a long piece is merged in no time to speak of", () => {
  const pairs = new Map(["aa", "aaaa", "aaaaaaaa"].map((token, rank) => [token, rank]));
  assert.equal(merge(new Array(30_000).fill("a"), pairs).length, 3750);
});

test("no merge crosses a piece, and a mark is one token wherever it stands", () => {
  const tokenizer = new ByteBPE(VOCABULARY);
  assert.deepEqual(tokenizer.encode("ab abc<end>c<also>"), [4, 3, 6, 7, 2, 9]);
  assert.deepEqual([tokenizer.size, tokenizer.label(9), tokenizer.label(3)], [10, "<also>", "␣"]);
  assert.deepEqual(tokenizer.encode(""), []);
});

test("a token is named by what it shows, and a part of a character by its bytes", () => {
  assert.deepEqual(["Ġa", "Ċ", "Ã©", "Ã", "âĢĭ", "ÌģĠ"].map(tokenLabel), [
    "␣a",
    "⏎",
    "é",
    "⟨C3⟩",
    "⟨200B⟩",
    "◌\u0301␣",
  ]);
});
