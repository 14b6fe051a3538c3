// The script of every page of the book: pictures, and the models that lie beside this script.

import { render } from "../frontend/attention_view.js";
import { renderLab } from "../frontend/head_lab.js";
import { renderNextToken } from "../frontend/next_token.js";
import { renderStream } from "../frontend/through_the_layers.js";
import { renderTokenizers } from "../frontend/tokenizers_view.js";
import { renderReplay } from "../frontend/training_replay.js";
import { renderSight } from "../frontend/who_sees_whom.js";
import { connectLab } from "./lab_host.js";
import { LiveModels } from "./live.js";
import { connect } from "./live_host.js";
import { mountAll } from "./static_host.js";
import { showSteps } from "./steps_host.js";
import { connectTwo } from "./two_host.js";
import { showTwo } from "./two_page.js";

const script = /** @type {HTMLScriptElement} */ (document.currentScript);
const worker = new URL("live_worker.js", script.src);
worker.search = new URL(script.src).search; // a new build must not meet an old worker in a cache
const companionLive = new LiveModels(worker, Reflect.get(window, "companionModels")); // the build writes them in front
Object.assign(window, { companionLive }); // for the console, where a reader may put texts to the models too
const widgets = {
  attention_view: render,
  attention_steps: showSteps,
  through_the_layers: renderStream,
  next_token: renderNextToken,
  tokenizers_view: renderTokenizers,
  training_replay: renderReplay,
  two_models: showTwo,
  head_lab: renderLab,
  who_sees_whom: renderSight,
};
mountAll(widgets, {
  models: companionLive,
  connect: (model, name) => connect(model, companionLive, name),
  connectLab: (model, name) => connectLab(model, companionLive, name),
  connectTwo: (model, name) => connectTwo(model, companionLive, name),
  picture: (file) => companionLive.picture(file),
});
