/** As much of a document as elements.js needs: nodes that keep their properties, attributes and children. */
class FakeElement {
  constructor(tag) {
    Object.assign(this, { tag, attributes: {}, children: [], styles: {} });
    this.style = { setProperty: (name, value) => (this.styles[name] = value) };
  }

  setAttribute(name, value) {
    this.attributes[name] = value;
  }

  append(...children) {
    this.children.push(...children);
  }

  get text() {
    return this.children.map((child) => (typeof child === "string" ? child : child.text)).join("");
  }

  /** This element and all below it. */
  all() {
    return [this, ...this.children.flatMap((child) => (typeof child === "string" ? [] : child.all()))];
  }
}

/** Put a fresh document in place: its theme, the data of its page and body, and what the reader's system prefers. */
export function fakeDocument({ dark = false, theme = null, data = {}, body = {} } = {}) {
  Object.assign(globalThis, {
    document: {
      createElement: (tag) => new FakeElement(tag),
      documentElement: { dataset: data, getAttribute: (name) => (name === "theme" ? theme : null) },
      body: { dataset: body },
    },
    matchMedia: () => ({ matches: dark }),
  });
}
