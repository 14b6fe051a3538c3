// What the front end makes of a picture: its state with the bytes in base64, and what is asked of it, in; numbers out.

import { readFileSync } from "node:fs";

import { sidesOf, startOf } from "../../../companion/widgets/frontend/kinds.js";
import { keptBy, keptPart } from "../../../companion/widgets/frontend/pairs.js";
import { Weights } from "../../../companion/widgets/frontend/weights.js";

const { state, asked } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const model = { get: (name) => state[name] };
const bytes = Uint8Array.from(atob(state.attention), (letter) => letter.charCodeAt(0));
const view = new DataView(bytes.buffer);
const weights = new Weights(view, state.encoding, state.levels, state.shape, startOf(model));
const columns = sidesOf(model).keys.length;
const answers = {
  rollout: (layer) => [...weights.rollout(layer)],
  head: (layer, head) => [...weights.head(layer, head)],
  kept: (layer, head, pair) => keptPart(weights.head(layer, head), columns, keptBy(state.segments, pair)),
};
process.stdout.write(JSON.stringify(asked.map(([what, ...how]) => answers[what](...how))));
