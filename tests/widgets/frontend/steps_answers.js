// What the front end computes of a page's numbers: the state of a figure in, the row that it shows out, as JSON.

import { readFileSync } from "node:fs";
import { inflateSync } from "node:zlib";

import { Products } from "../../../companion/widgets/frontend/steps_numbers.js";

const state = JSON.parse(readFileSync(process.argv[2], "utf8"));
const [numbers, mask] = [state.products, state.mask].map((text) => {
  const bytes = inflateSync(Buffer.from(text, "base64"));
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
});
const products = new Products(numbers, mask, state.shape, state.scale);
const row = products.row(state.layers.indexOf(state.layer), state.head, state.query);
const { product, scaled, masked, weight, output } = row;
process.stdout.write(JSON.stringify({ product, scaled, masked, weight, output: Array.from(output) }));
