// What the search shows of a page: the place of the text where the words stand, and no code.

(() => {
  const NO_TEXT = "script, style, pre, math, .headerlink, .cell_input, .admonition-title, .goals, .launch-links";
  const TEXT = "p, li, dd, td, figcaption";
  const [BEFORE, LENGTH] = [90, 240]; // characters

  // The first part of the text with the most of the words; the first part that says something where none has any.
  function passage(texts, words) {
    const count = (text) => words.filter((word) => text.toLowerCase().includes(word)).length;
    const most = Math.max(...texts.map(count));
    return texts.find((text) => (most ? count(text) === most : text.length > BEFORE)) ?? texts[0];
  }

  // From the beginning of a word a little before the first hit.
  function cut(text, words) {
    const hits = words.map((word) => text.toLowerCase().indexOf(word)).filter((place) => place >= 0);
    const first = Math.max(Math.min(...hits, text.length) - BEFORE, 0);
    const start = first && hits.length ? text.indexOf(" ", first) + 1 : 0;
    const end = start + LENGTH;
    return `${start ? "… " : ""}${text.slice(start, end).trim()}${end < text.length ? " …" : ""}`;
  }

  // biome-ignore lint/correctness/noUndeclaredVariables: Sphinx's search
  Search.makeSearchSummary = (page, keywords, anchor) => {
    const parsed = new DOMParser().parseFromString(page, "text/html");
    const main = parsed.querySelector("[role=main] article") ?? parsed.querySelector("[role=main]");
    const section = anchor ? main?.querySelector(`#${CSS.escape(anchor.slice(1))}`) : null;
    const place = section?.querySelector(TEXT) ? section : main;
    if (!place) return null;
    for (const part of place.querySelectorAll(NO_TEXT)) part.remove();
    const words = [...keywords].map((word) => word.toLowerCase());
    const texts = [...place.querySelectorAll(TEXT)].map((one) => one.textContent.trim().replace(/\s+/g, " "));
    const said = passage(
      texts.filter((text) => text.includes(" ")),
      words,
    );
    if (!said) return null;
    const summary = document.createElement("p");
    summary.className = "context";
    summary.textContent = cut(said, words);
    return summary;
  };
})();
