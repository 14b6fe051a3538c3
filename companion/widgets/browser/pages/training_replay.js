// The script of a page of its own with the replay of a training run.

import { renderReplay } from "../../frontend/training_replay.js";
import { mountAll } from "../static_host.js";

mountAll({ training_replay: renderReplay }, null);
