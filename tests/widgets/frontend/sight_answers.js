// What the front end makes of sentences: [objective, words, what chance decided] in, lessons out, as JSON.

import { readFileSync } from "node:fs";

import { lessonOf } from "../../../companion/widgets/frontend/objectives.js";

const asked = JSON.parse(readFileSync(process.argv[2], "utf8"));
process.stdout.write(JSON.stringify(asked.map(([objective, words, draw]) => lessonOf(objective, words, draw))));
