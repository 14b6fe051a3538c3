// What the page's tokenizer and candidates answer to the questions of tests/test_widgets_live.py: a file in, JSON out.

import { readFileSync } from "node:fs";
import { Tokenizer } from "@huggingface/tokenizers";

import { candidates, makeVocabulary } from "../../../companion/widgets/browser/candidates.js";

const { file, labels, texts, questions } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const tokenizer = new Tokenizer(file, {});
const vocabulary = makeVocabulary(file, tokenizer, labels);
const answers = questions.map(({ scores, last }) => {
  const logits = new Float32Array(labels.length);
  for (const [id, score] of scores) logits[id] = score;
  return candidates(vocabulary, logits, last);
});
process.stdout.write(JSON.stringify({ ids: texts.map((text) => tokenizer.encode(text).ids), answers }));
