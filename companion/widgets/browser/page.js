// The script of a page of its own: pictures, and no model.

import { mountAll } from "./static_host.js";

mountAll(null);
