// The script of every page of the book: pictures, and the models that lie beside this script.

import { LiveModels } from "./live.js";
import { connect } from "./live_host.js";
import { mountAll } from "./static_host.js";
import { widgets } from "./widgets.js";

const script = /** @type {HTMLScriptElement} */ (document.currentScript);
const worker = new URL("live_worker.js", script.src);
worker.search = new URL(script.src).search; // a new build must not meet an old worker in a cache
const companionLive = new LiveModels(worker, Reflect.get(window, "companionModels")); // the build writes them in front
Object.assign(window, { companionLive }); // for the console, where a reader may put texts to the models too
window.addEventListener("pagehide", () => companionLive.leave()); // a browser may keep a page that was left, with its worker
mountAll(widgets, {
  models: companionLive,
  connect: (model, name) => connect(model, companionLive, name),
  picture: (file) => companionLive.picture(file),
});
