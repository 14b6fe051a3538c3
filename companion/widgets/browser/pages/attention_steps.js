// The script of a page of its own with the steps of attention.

import { mountAll } from "../static_host.js";
import { showSteps } from "../steps_host.js";

mountAll({ attention_steps: showSteps }, null);
