// The model in the page: starts a worker at the first keystroke and puts texts to it. Nothing is loaded before.
window.companionLive = (() => {
  const script = document.currentScript;
  const FROM_DISK =
    "Opened from disk, a page may not load the model: the picture is the precomputed one. Serve the book (make serve) and type again.";
  const waiting = new Map();
  let worker = null;
  let asked = 0;

  function start() {
    if (window.location.protocol === "file:") throw new Error(FROM_DISK);
    const address = new URL("live_worker.js", script.src);
    address.search = new URL(script.src).search; // a new build must not meet an old worker in a cache
    worker = new Worker(address, { type: "module" });
    worker.onmessage = ({ data }) => {
      const { resolve, reject, loading } = waiting.get(data.number);
      if (data.loading) return loading(data.loading);
      waiting.delete(data.number);
      return data.error ? reject(new Error(data.error)) : resolve(data.result);
    };
    worker.onerror = (event) => {
      for (const { reject } of waiting.values()) {
        reject(new Error(`The model could not be loaded, so the picture stays as it was (${event.message || "no module worker"}).`));
      }
      waiting.clear();
      worker = null; // the next keystroke tries again
    };
  }

  /**
   * Run a model of the book on a text: { ids, tokens, logits (of the last position), allLogits, attention, shape,
   * next_tokens, mask, device, latency_ms }.
   */
  function run(name, text, { webgpu = false, loading = () => {} } = {}) {
    return new Promise((resolve, reject) => {
      if (!worker) start();
      asked += 1;
      waiting.set(asked, { resolve, reject, loading });
      worker.postMessage({ number: asked, name, text, webgpu });
    });
  }

  /** The same answer as the traits of a view. */
  async function answer(name, text, webgpu, loading) {
    const { tokens, attention, shape, next_tokens, mask, device, latency_ms } = await run(name, text, { webgpu, loading });
    const view = new DataView(attention.buffer);
    return { tokens, attention: view, encoding: "float32", shape, next_tokens, mask, device, latency_ms };
  }

  return { run, answer };
})();
