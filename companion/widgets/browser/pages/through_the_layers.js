// The script of a page of its own with the levels of a stream.

import { renderStream } from "../../frontend/through_the_layers.js";
import { mountAll } from "../static_host.js";

mountAll({ through_the_layers: renderStream }, null);
