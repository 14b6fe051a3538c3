// Sets LaTeX as MathML. A line of JSON comes in, [source, display]; a line goes out, {mathml} or {error}.

import { createInterface } from "node:readline";
import temml from "temml";

for await (const line of createInterface({ input: process.stdin })) {
  const [source, displayMode] = JSON.parse(line);
  let answer;
  try {
    // Long formulas in a line of text break where TeX breaks them; `trust`: the sources are the book's own.
    const wrap = displayMode ? "none" : "tex";
    answer = { mathml: temml.renderToString(source, { displayMode, wrap, throwOnError: true, trust: true }) };
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
