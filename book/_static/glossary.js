// The box of the glossary: what is typed, in English, Chinese or pinyin, shortens the lists of the page.

const box = document.querySelector(".glossary-filter");
const input = box.querySelector("input");
const status = box.querySelector("[role=status]");

// Case, tones, accents, blanks and hyphens make no difference: "self attention" finds self-attention, "zhuyi" 注意力.
function plain(text) {
  return text
    .normalize("NFKD")
    .replace(/[\p{M}\s\-–]/gu, "")
    .toLowerCase();
}

// An entry of a list: the nodes to hide, and the names by which it is found.
function entry(nodes, names) {
  return { nodes, names: names.map(plain) };
}

// A name and its reading stand in one element: the reading is a name of its own, and so is what it leaves.
function namesOf(element) {
  const copy = element.cloneNode(true);
  for (const link of copy.querySelectorAll(".headerlink")) link.remove();
  const reading = copy.querySelector(".glossary-reading");
  reading?.remove();
  return reading ? [copy.textContent, reading.textContent] : [copy.textContent];
}

// In a list of definitions, an entry is a run of names and the definition that ends it.
function entriesOf(list) {
  const entries = [];
  let nodes = [];
  for (const child of list.children) {
    nodes.push(child);
    if (child.tagName !== "DD") continue;
    entries.push(entry(nodes, nodes.slice(0, -1).flatMap(namesOf)));
    nodes = [];
  }
  return entries;
}

const terms = [...document.querySelectorAll("dl.glossary")].map((list) => ({
  whole: list.closest("section"),
  entries: entriesOf(list),
}));
const anchored = new Map(terms.flatMap(({ entries }) => entries.map((one) => [one.nodes[0].id, one])));
const lines = [...document.querySelectorAll(".glossary-pinyin")].map((group) => ({
  whole: group,
  entries: [...group.querySelectorAll("li")].map((line) => ({
    nodes: [line],
    names: anchored.get(line.querySelector("a").hash.slice(1)).names,
  })),
}));

function show(query) {
  const wanted = plain(query);
  for (const { whole, entries } of [...terms, ...lines]) {
    for (const one of entries) {
      one.shown = one.names.some((name) => name.includes(wanted));
      for (const node of one.nodes) node.hidden = !one.shown;
    }
    whole.hidden = !entries.some((one) => one.shown);
  }
  const all = terms.flatMap(({ entries }) => entries);
  const shown = all.filter((one) => one.shown);
  status.textContent = box.dataset.count.replace("{shown}", shown.length).replace("{all}", all.length);
  return shown;
}

function clear() {
  input.value = "";
  show("");
}

input.addEventListener("input", () => show(input.value));
input.addEventListener("keydown", (event) => {
  if (event.key === "Escape") clear();
  if (event.key !== "Enter") return;
  const [first] = show(input.value);
  if (!first) return;
  first.nodes[0].tabIndex = -1;
  first.nodes[0].focus();
});

// A link to a term that the box has hidden shows everything again.
window.addEventListener("hashchange", () => {
  const target = document.getElementById(decodeURIComponent(window.location.hash.slice(1)));
  if (!target?.closest("[hidden]")) return;
  clear();
  target.scrollIntoView();
});

box.hidden = false;
show(input.value);
