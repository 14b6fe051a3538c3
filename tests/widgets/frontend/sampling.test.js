import assert from "node:assert/strict";
import { test } from "node:test";

import {
  Distribution,
  dialled,
  normaliser,
  randomAt,
  rankAt,
  ranking,
} from "../../../companion/widgets/frontend/sampling.js";

const OFF = { temperature: 1, top_k: null, top_p: null, min_p: null };
const LOGITS = Float32Array.from([0.2, 0.5, 0.2, 0.1], Math.log);

test("tokens are ranked by their logits, and equal ones by their ids", () => {
  assert.deepEqual([...ranking(LOGITS)], [1, 0, 2, 3]);
});

test("a temperature of 0 leaves the likeliest alone", () => {
  assert.deepEqual([...dialled([2, 1], { ...OFF, temperature: 0, top_k: 2 })], [1]);
});

test("a token has its share of the sum over those that are kept", () => {
  const seen = new Distribution({ logits: LOGITS, candidates: [{ id: 0, token: "a" }] });
  seen.turn({ ...OFF, temperature: 0.5, top_k: 3 });
  const sum = normaliser(seen.ordered, 3, 0.5);
  const { token, logit, chance, kept } = seen.choice(1);
  assert.deepEqual([token, kept], ["a", true]);
  assert.ok(Math.abs(Math.exp((logit - seen.ordered[0]) / 0.5) / sum - chance) < 1e-12);
  assert.deepEqual([seen.choice(3).chance, seen.choice(3).kept, seen.choice(3).token], [0, false, "token 3"]);
});

test("a number falls on each token as often as it is likely", () => {
  const hits = [0, 0, 0];
  for (let k = 0; k < 1000; k += 1) hits[rankAt(Float64Array.of(0.5, 0.3, 0.2), k / 1000)] += 1;
  assert.deepEqual(hits, [500, 300, 200]);
  assert.equal(rankAt(Float64Array.of(0.5, 0.4999), 0.99999), 1);
});

test("a seed gives the same numbers again, and they are spread evenly", () => {
  const numbers = Array.from({ length: 4000 }, (_, k) => randomAt(k % 20, Math.floor(k / 20)));
  assert.equal(randomAt(3, 7), randomAt(3, 7));
  assert.equal(new Set(numbers).size, numbers.length);
  const tenths = Array.from({ length: 10 }, (_, t) => numbers.filter((u) => Math.floor(10 * u) === t).length);
  assert.ok(Math.min(...tenths) > 320 && Math.max(...tenths) < 480, `${tenths}`);
});
