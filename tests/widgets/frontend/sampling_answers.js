// What the front end's dials make of the logits of tests/widgets/test_next_token.py: a file in, JSON out.

import { readFileSync } from "node:fs";

import { unpackFollowing } from "../../../companion/widgets/frontend/next_token_source.js";
import { Distribution } from "../../../companion/widgets/frontend/sampling.js";

const answers = JSON.parse(readFileSync(process.argv[2], "utf8")).map(({ following, logits, dials }) => {
  const read = following ? unpackFollowing(following) : { logits: Float32Array.from(logits), candidates: [] };
  const seen = new Distribution(read);
  seen.turn(dials);
  const probabilities = new Array(seen.order.length).fill(0);
  for (const [rank, probability] of seen.kept.entries()) probabilities[seen.order[rank]] = probability;
  const raw = new Array(seen.order.length);
  for (const [rank, probability] of seen.raw.entries()) raw[seen.order[rank]] = probability;
  return { probabilities, raw };
});
process.stdout.write(JSON.stringify(answers));
