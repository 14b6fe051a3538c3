// The symbols of a checked equation, pointed at by mouse, finger or keyboard: a card says what each means and its
// shape. Its words are copied from the table of symbols in the fold below the equation, where they are set.

(() => {
  const SYMBOL = ".llm-symbol";
  const GRACE = 300; // milliseconds to move the mouse from the symbol to the card
  const REACH = 22; // pixels around a symbol that a finger may be off
  const MARGIN = 8; // pixels between the card and the edges of the screen
  const GAP = 7; // pixels between the card and the equation
  const FAR = 60; // pixels from the symbol to the edge of the equation at which the card stays with the symbol

  const card = document.createElement("div");
  card.className = "symbol-card";
  card.setAttribute("role", "status");
  let shown = null; // the symbol that the card is about
  let leaving = 0;

  const numberOf = (symbol) => [...symbol.classList].find((name) => /^llm-symbol-\d+$/.test(name));
  const equationOf = (symbol) => symbol.closest(".llm-equation");
  const symbolsOf = (equation) => [...equation.querySelectorAll(`math ${SYMBOL}`)];

  function fill(symbol) {
    const rows = equationOf(symbol).nextElementSibling.querySelectorAll(".checked-symbols tbody tr");
    const cells = rows[Number(numberOf(symbol).slice("llm-symbol-".length))].cells;
    const parts = ["tex", "meaning", "shape"].map((name, place) => {
      const part = document.createElement("span");
      part.className = `symbol-card-${name}`;
      part.append(...cells[place].cloneNode(true).childNodes);
      return part;
    });
    card.replaceChildren(...parts.filter((part) => part.hasChildNodes()));
  }

  // Puts the card above or below the equation, whichever edge is nearer to the symbol and has room for it; above or
  // below the symbol itself where both are far away; and always on the screen.
  function place(symbol) {
    card.style.left = card.style.top = "0";
    const at = symbol.getBoundingClientRect();
    const math = symbol.closest("math").getBoundingClientRect();
    const size = card.getBoundingClientRect();
    const right = document.documentElement.clientWidth - size.width - MARGIN;
    const lowest = window.innerHeight - size.height - MARGIN;
    const edge = (outer, inner) => (Math.abs(outer - inner) <= FAR ? outer : inner);
    const above = edge(Math.min(math.top, at.top), at.top) - GAP - size.height;
    const below = edge(Math.max(math.bottom, at.bottom), at.bottom) + GAP;
    const tops = [above, below].filter((top) => top >= MARGIN && top <= lowest);
    const covers = (top) => (top < math.bottom && top + size.height > math.top ? FAR : 0);
    const away = (top) => covers(top) + (top === above ? at.top - size.height - top : top - at.bottom);
    const top = tops.sort((one, other) => away(one) - away(other))[0] ?? below;
    card.style.left = `${Math.max(MARGIN, Math.min(at.left + (at.width - size.width) / 2, right))}px`;
    card.style.top = `${Math.max(MARGIN, Math.min(top, lowest))}px`;
  }

  function light(symbol) {
    for (const one of symbolsOf(equationOf(symbol))) {
      one.classList.toggle("llm-lit", numberOf(one) === numberOf(symbol));
      one.classList.toggle("llm-here", one === symbol);
    }
  }

  function show(symbol) {
    clearTimeout(leaving);
    if (symbol === shown) return;
    hide();
    shown = symbol;
    card.classList.add("symbol-card-shown");
    fill(symbol);
    light(symbol);
    place(symbol);
  }

  function hide() {
    clearTimeout(leaving);
    if (!shown) return;
    for (const one of symbolsOf(equationOf(shown))) one.classList.remove("llm-lit", "llm-here");
    card.classList.remove("symbol-card-shown");
    shown = null;
  }

  function hideSoon() {
    clearTimeout(leaving);
    leaving = setTimeout(hide, GRACE);
  }

  // What is scrolled takes the card along, and off the screen with it.
  function follow() {
    if (!shown) return;
    const at = shown.getBoundingClientRect();
    if (at.bottom < 0 || at.top > window.innerHeight) hide();
    else place(shown);
  }

  // The symbol that is nearest to a point, if a finger meant it.
  function nearest(equation, x, y) {
    const distance = (one) => {
      const box = one.getBoundingClientRect();
      return Math.hypot(Math.max(box.left - x, x - box.right, 0), Math.max(box.top - y, y - box.bottom, 0));
    };
    const near = symbolsOf(equation)
      .map((one) => [distance(one), one])
      .filter(([away]) => away <= REACH);
    near.sort(([one], [other]) => one - other);
    return near.length ? near[0][1] : null;
  }

  function step(event) {
    const equation = event.currentTarget;
    const symbols = symbolsOf(equation);
    const from = symbols.indexOf(shown);
    const last = symbols.length - 1;
    const to = {
      ArrowRight: Math.min(from + 1, last),
      ArrowLeft: from < 0 ? last : Math.max(from - 1, 0),
      Home: 0,
      End: last,
    }[event.key];
    if (to === undefined || last < 0 || event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    symbols[to].scrollIntoView({ block: "nearest", inline: "nearest" });
    show(symbols[to]);
  }

  function listen(equation, fold) {
    equation.classList.add("llm-equation");
    equation.tabIndex = 0;
    equation.setAttribute("role", "group");
    equation.setAttribute("aria-label", fold.dataset.keys);
    equation.addEventListener("pointerover", (event) => {
      if (event.pointerType === "touch") return;
      const symbol = event.target.closest(SYMBOL);
      if (symbol) show(symbol);
      else hideSoon();
    });
    equation.addEventListener("pointerleave", (event) => event.pointerType === "touch" || hideSoon());
    equation.addEventListener("click", (event) => {
      if (event.target.closest("a")) return;
      const symbol = event.target.closest(SYMBOL) ?? nearest(equation, event.clientX, event.clientY);
      if (symbol) show(symbol);
    });
    equation.addEventListener("keydown", step);
    equation.addEventListener("blur", () => card.matches(":hover") || hide());
  }

  for (const fold of document.querySelectorAll("details.checked-equation")) {
    const equation = fold.previousElementSibling;
    if (equation?.matches("div.math")) listen(equation, fold);
  }
  if (!document.querySelector(".llm-equation")) return;
  document.body.append(card);
  card.addEventListener("pointerenter", () => clearTimeout(leaving));
  card.addEventListener("pointerleave", hideSoon);
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
  document.addEventListener("pointerdown", (event) => {
    if (!event.target.closest(".llm-equation, .symbol-card")) hide();
  });
  window.addEventListener("scroll", follow, { capture: true, passive: true });
  window.addEventListener("resize", follow);
})();
