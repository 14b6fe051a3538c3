// What a TokenizersView is made of, with no behaviour yet.

import { make } from "./elements.js";

let tokenizersViews = 0;

/**
 * A tokenizer's own part: its name, its numbers, and the text cut into its tokens.
 *
 * @param {string} title
 */
export function buildCut(title) {
  const load = make("button", { type: "button", className: "ca-button" });
  const error = make("p", { className: "ca-error", role: "alert" });
  const tokens = make("ol", { className: "tk-tokens", tabIndex: 0, "aria-label": `The text in tokens of ${title}` });
  const more = make("p", { className: "ca-note" });
  const name = make("p", { className: "tk-name" }, title);
  const root = make("section", { className: "tk-cut", "aria-label": title }, name, load, error, tokens, more);
  const cells = ["", "", "", ""].map((text) => make("td", {}, text));
  const row = make("tr", {}, make("th", { scope: "row" }, title), ...cells);
  return { load, error, tokens, more, root, row, cells };
}

/** @param {string[]} titles */
export function buildTokenizers(titles) {
  tokenizersViews += 1;
  const id = `tk${tokenizersViews}-${Math.random().toString(36).slice(2, 8)}`;
  const box = make("textarea", { id: `${id}-text`, rows: 2, spellcheck: false, autocomplete: "off" });
  const price = make("input", { type: "number", id: `${id}-price`, min: 0, step: "any", className: "nt-number" });
  const ids = make("input", { type: "checkbox" });
  const examples = make("div", { className: "nt-examples", role: "group", "aria-label": "Examples" });
  const all = make("button", { type: "button", className: "ca-button" });
  const facts = make("p", { className: "ca-status tk-facts" });
  const said = make("p", { className: "ca-hidden", "aria-live": "polite" });
  const cuts = titles.map(buildCut);
  const heads = ["", "vocabulary", "tokens", "per character", "cost of 1,000 such texts"].map((head) =>
    make("th", { scope: "col" }, head),
  );
  heads[0] = make("td", {});
  const caption = make("caption", { className: "ca-hidden" }, "The text under each tokenizer");
  const body = make("tbody", {}, ...cuts.map(({ row }) => row));
  const table = make("table", { className: "tk-table" }, caption, make("thead", {}, make("tr", {}, ...heads)), body);
  const question = make("label", { htmlFor: box.id }, "Type a text");
  const money = make(
    "span",
    { className: "ca-field" },
    make("label", { htmlFor: price.id }, "Price of a million tokens"),
    price,
  );
  const numbers = make("label", { className: "ca-check" }, ids, " show ids");
  const controls = make("div", { className: "nt-controls" }, all, money, numbers);
  const ask = make("div", { className: "ca-ask" }, question, box, examples, controls, facts);
  const region = { className: "ca-scroll tk-scroll", tabIndex: 0, role: "region", "aria-label": "Counts and costs" };
  const root = make("div", { className: "ca tk", role: "group", "aria-label": "Tokenizers side by side" });
  root.append(ask, make("div", region, table), ...cuts.map((cut) => cut.root), said);
  return { box, price, ids, examples, all, facts, said, cuts, root };
}
