// The part of the book's script that draws the next token.

import { renderNextToken } from "../../frontend/next_token.js";
import { widgets } from "../widgets.js";

widgets.next_token = renderNextToken;
