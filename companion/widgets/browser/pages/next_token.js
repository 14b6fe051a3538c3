// The script of a page of its own with the next token: what was written, and no model.

import { renderNextToken } from "../../frontend/next_token.js";
import { mountAll } from "../static_host.js";

mountAll({ next_token: renderNextToken }, null);
