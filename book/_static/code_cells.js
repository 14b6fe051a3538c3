// Shortens long code to its beginning, with a button that shows the rest; and the header's switch, which hides all code.

const CODE_SWITCH = "llm-live-no-code"; // the head of the page reads it, before anything is painted
const root = document.documentElement;

function showSwitch() {
  const button = document.querySelector(".article-header-buttons .btn[onclick='switchCode()']");
  button?.setAttribute("aria-pressed", String(root.classList.contains("no-code")));
}

window.switchCode = () => {
  const hidden = root.classList.toggle("no-code");
  // A page opened from disk, or in a private window, may keep nothing.
  try {
    localStorage.setItem(CODE_SWITCH, hidden ? "yes" : "no");
  } catch {}
  showSwitch();
};

function shorten(box) {
  const button = document.createElement("button");
  const label = () => {
    const short = box.classList.contains("short");
    button.textContent = short ? box.dataset.more : box.dataset.fewer;
    button.setAttribute("aria-expanded", String(!short));
  };
  button.type = "button";
  button.className = "long-code-switch";
  button.addEventListener("click", () => {
    box.classList.toggle("short");
    label();
  });
  box.classList.add("short");
  label();
  box.append(button);
}

document.addEventListener("DOMContentLoaded", () => {
  showSwitch();
  document.querySelectorAll(".long-code").forEach(shorten);
});
