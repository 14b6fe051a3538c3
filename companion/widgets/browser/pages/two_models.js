// The script of a page of its own with two models side by side.

import { mountAll } from "../static_host.js";
import { showTwo } from "../two_page.js";

mountAll({ two_models: showTwo }, null);
