// The static host: gives a front-end module the `model` that a kernel would, over state inlined in the page.
// A classic script, because a page opened from disk may not import modules; the modules travel as text instead.
(() => {
  const UNPACK = "This browser cannot unpack the picture (no DecompressionStream); the table shows it in words.";

  /** What anywidget hands to `render`: get, set, save_changes, on, off, send. */
  class Model {
    constructor(state, onSave) {
      Object.assign(this, { state, onSave, listeners: new Map(), changed: new Set() });
    }

    get(name) {
      return this.state[name];
    }

    set(name, value) {
      if (this.state[name] === value) return;
      this.state[name] = value;
      this.changed.add(name);
      this.tell(name);
    }

    tell(name) {
      for (const listener of [...(this.listeners.get(`change:${name}`) ?? [])]) listener();
    }

    save_changes() {
      const changed = this.changed;
      this.changed = new Set();
      this.onSave(this, changed);
    }

    /** Take over a whole answer before anyone hears of a part of it. */
    update(values) {
      Object.assign(this.state, values);
      for (const name of Object.keys(values)) this.tell(name);
    }

    on(event, listener) {
      this.listeners.set(event, [...(this.listeners.get(event) ?? []), listener]);
    }

    off(event, listener) {
      this.listeners.set(event, (this.listeners.get(event) ?? []).filter((other) => other !== listener));
    }

    send() {} // nobody is on the other side
  }

  const modules = new Map();

  /** Import a module that came as text. */
  function load(name) {
    if (!modules.has(name)) {
      const address = URL.createObjectURL(new Blob([window.companionModules[name]], { type: "text/javascript" }));
      modules.set(name, import(address));
    }
    return modules.get(name);
  }

  async function unpack(text) {
    const bytes = Uint8Array.fromBase64?.(text) ?? Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new DataView(await new Response(stream).arrayBuffer());
  }

  /** Run the page's own model on the text, and show its answer, or why there is none. */
  async function answer(model, name) {
    const text = model.get("text");
    const before = { device: model.get("device"), latency_ms: model.get("latency_ms") };
    try {
      const loading = (device) => model.update({ device, latency_ms: 0 });
      const result = await window.companionLive.answer(name, text, model.get("webgpu") === true, loading);
      model.update({ ...result, error: "", answered: text });
    } catch (problem) {
      model.update({ ...before, error: problem.message, answered: text });
    }
  }

  async function mount(figure) {
    const source = figure.querySelector('script[type="application/json"]');
    if (!("DecompressionStream" in window)) {
      figure.append(Object.assign(document.createElement("p"), { textContent: UNPACK }));
      return;
    }
    const state = JSON.parse(source.textContent);
    state.attention = await unpack(state.attention);
    const name = figure.dataset.model;
    state.is_live = Boolean(name && window.companionLive);
    if (state.is_live && "gpu" in navigator) state.webgpu = false;
    const model = new Model(state, (changedModel, changed) => {
      if (state.is_live && (changed.has("text") || changed.has("webgpu"))) answer(changedModel, name);
    });
    const { default: module } = await load(figure.dataset.widget);
    figure.replaceChildren();
    await module.render({ model, el: figure });
  }

  function start() {
    for (const figure of document.querySelectorAll("figure.companion-widget")) mount(figure);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
