// Makes small fonts of large ones. JSON comes in: a list of {from, to, text, options}, options as `subset-font` has them.

import { readFile, writeFile } from "node:fs/promises";
import { text as all } from "node:stream/consumers";
import subset from "subset-font";

for (const { from, to, text, options } of JSON.parse(await all(process.stdin))) {
  await writeFile(to, await subset(await readFile(from), text, { targetFormat: "woff2", ...options }));
}
