// Read the text of notebooks as VS Code does, by its own Markdown parser and its own plug-in for mathematics; write what
// a reader would see of the source, and how much mathematics was typeset: `node vs_code.js notebook …`.

import { readFileSync } from "node:fs";
import katex from "@vscode/markdown-it-katex";
import MarkdownIt from "markdown-it";

const SETTINGS = { enableBareBlocks: true, enableFencedBlocks: true, globalGroup: true, throwOnError: true };
const UNREAD = /<(code|pre)\b.*?<\/\1>|<annotation\b.*?<\/annotation>/gs; // what may hold anything
const RAW = /.{0,30}(?:katex-error|\$|\\[a-z]+\{|\*\*|\| ?--).{0,30}/g;

const parser = new MarkdownIt({ html: true, linkify: true }).use(katex.default, SETTINGS);
const found = process.argv.slice(2).map((path) => {
  const { cells } = JSON.parse(readFileSync(path, "utf-8"));
  const pages = cells
    .filter((cell) => cell.cell_type === "markdown")
    .map((cell) => parser.render([cell.source].flat().join("")));
  return {
    typeset: pages.join("").split('class="katex"').length - 1,
    raw: pages.flatMap((page) => page.replace(UNREAD, "").match(RAW) ?? []),
  };
});
console.log(JSON.stringify(found));
