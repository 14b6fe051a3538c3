// What byte_bpe.js makes of the texts of tests/widgets/test_byte_vocabulary.py: a file in, JSON out.

import { readFileSync } from "node:fs";

import { ByteBPE } from "../../../companion/widgets/frontend/byte_bpe.js";

const { vocabulary, texts } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const tokenizer = new ByteBPE(vocabulary);
const ids = texts.map((text) => tokenizer.encode(text));
const labels = Array.from({ length: vocabulary.tokens.length }, (_, id) => tokenizer.label(id));
process.stdout.write(JSON.stringify({ ids, labels, size: tokenizer.size }));
