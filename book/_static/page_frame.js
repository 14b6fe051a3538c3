// The frame of a page: what scrolls sideways can be reached with the keyboard, and the contents open at the chapter.

(() => {
  const WIDE =
    ".highlight pre, .output pre, div.math, .output.text_html, .pst-scrollable-table-container, .wide-figure";

  // Only what is cut off stops the Tab key; a box that is wide enough again does not.
  const reachable = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (target.closest(".llm-equation")) continue; // its script lets the keyboard in anyway
      if (target.scrollWidth > target.clientWidth + 1) target.tabIndex = 0;
      else target.removeAttribute("tabindex");
    }
  });
  for (const box of document.querySelectorAll(WIDE)) reachable.observe(box);

  const sidebar = document.getElementById("pst-primary-sidebar");
  const here = sidebar?.querySelector("a.current[href='#']");
  const show = () => {
    if (!here?.offsetParent) return;
    const [box, link] = [sidebar.getBoundingClientRect(), here.getBoundingClientRect()];
    if (link.top < box.top || link.bottom > box.bottom) sidebar.scrollTop += link.top - box.top - box.height / 3;
  };
  show();
  // On a narrow screen the theme moves the contents into a dialog; they open where the reader is.
  const drawer = document.getElementById("pst-primary-sidebar-modal");
  if (drawer) new MutationObserver(() => drawer.open && inDrawer()).observe(drawer, { attributeFilter: ["open"] });

  function inDrawer() {
    const current = drawer.querySelector("a.current[href='#']");
    current?.scrollIntoView({ block: "center" });
  }
})();
