/** What the files of the front end say to each other, and what a host says to them; read by the type checker alone. */

export type Shape = [layers: number, heads: number, queries: number, keys: number];

export type Encoding = "float32" | "float16" | "uint8";

/** A likely token; what it adds to the text is empty where it cannot be typed. */
export interface Candidate {
  id: number;
  token: string;
  probability: number;
  text: string;
}

/** A model that is loaded on a click: its name, and the bytes of it and of what runs it. */
export interface Offer {
  title: string;
  bytes: number;
  runtime: number;
}

/** A text to choose, what in it is worth a look, and where that is seen. */
export interface Example {
  text: string;
  look: string;
  layer: number;
  head: number;
  row: number;
}

/** The attention layers of an encoder–decoder model. */
export type Kind = "encoder" | "decoder" | "cross";

/** The traits of AttentionView; see attention_view.py. */
export interface State {
  tokens: string[];
  target: string[];
  kinds: { kind: Kind; shape: Shape }[];
  kind: Kind | "";
  segments: number[];
  pair: "" | "AA" | "AB" | "BA" | "BB";
  overlay: Head[];
  model_layers: number; // where some have no map; else 0
  shape: Shape;
  encoding: Encoding;
  levels: number;
  attention: DataView<ArrayBuffer>;
  layer: number;
  head: number;
  view: "matrix" | "arcs";
  caption: string;
  is_live: boolean;
  text: string;
  answered: string;
  shown: string; // the text that the picture is of
  error: string;
  next_tokens: Candidate[];
  mask: string;
  model_name: string;
  device: string;
  latency_ms: number;
  examples: Example[];
  example: number;
  webgpu?: boolean; // only a page has it, and only where the browser does
  offer?: Offer; // only a page has it, while a large model is not loaded
  loading?: boolean; // set by the reader: true asks for it, false calls it off
  loaded?: number; // of it, 0 to 1
  asking?: boolean; // only a page has it, where a button asks the model: true from then until it has answered
}

/** The traits of TrainingReplay beside those; attention holds all checkpoints, one after the other. */
export interface Replayed extends State {
  steps: number[];
  curves: Record<string, number[]>;
  frame: number;
}

/** What a host hands to a front end, for the traits of its widget: anywidget's model, as far as the front end uses it. */
export interface Model<Traits = State> {
  get<Name extends keyof Traits>(name: Name): Traits[Name];
  set<Name extends keyof Traits>(name: Name, value: Traits[Name]): void;
  save_changes(): void;
  on(event: `change:${keyof Traits & string}`, listener: () => void): void;
  off(event: `change:${keyof Traits & string}`, listener: () => void): void;
}

/** A cell of the matrix. */
export interface Place {
  row: number;
  column: number;
}

/** Colours; a shade is 0 … 255, a word is a colour as a pixel lies in memory. */
export interface Theme {
  ramp: number[][];
  words: Uint32Array;
  poles: number[][]; // of a difference: less, none, more
  nothing: number;
  text: string;
  muted: string;
  accent: string;
  paper: string;
  zero: string;
  heads: string[]; // of the heads that lie over each other
  font: (size: number) => string;
}

/** Where everything of a picture goes, in CSS pixels; label and above are the room for names. */
export interface Geometry {
  view: State["view"];
  across: boolean; // arcs lead to other tokens, on the right
  rows: number;
  columns: number;
  left: number;
  end: number; // of what is drawn between the labels
  top: number;
  cell: number;
  width: number;
  height: number;
  label: number;
  above: number;
}

export interface AtlasGeometry {
  gutter: number;
  cell: number;
  layers: number;
  heads: number;
  width: number;
  height: number;
}

/** The weight that is painted darkest in the row of weight k. */
export type Most = (k: number) => number;

/** The steps of attention, in their order. */
export type Step = "compare" | "scale" | "mask" | "softmax" | "add";

export type StepsShape = [layers: number, heads: number, n: number, d_k: number, d_v: number];

/** The traits of AttentionSteps; see attention_steps.py. */
export interface Steps {
  tokens: string[];
  layers: number[];
  shape: StepsShape;
  products: DataView<ArrayBuffer>;
  mask: DataView<ArrayBuffer>;
  scale: number;
  layer: number;
  head: number;
  query: number;
  key: number;
  step: Step;
  caption: string;
}

/** All that one token computes in one head, key by key. */
export interface Row {
  query: Float32Array;
  keys: Float32Array[];
  values: Float32Array[];
  product: number[];
  scaled: number[];
  may: boolean[];
  masked: number[];
  most: number; // of the masked scores
  exponential: number[];
  total: number; // of the exponentials
  weight: number[];
  output: Float32Array;
}

/** What a language model is taught by; see objectives.js. */
export type Objective = "causal" | "masked" | "prefix" | "permutation" | "spans" | "denoising";

/** What chance decides about a sentence. */
export interface Draw {
  masked: number[]; // places
  lost: number[]; // places, in spans
  order: number[]; // the rank of each place
  predicted: number; // how many of the last ranks are targets
  prefix: number; // words of it
}

/** The traits of WhoSeesWhom; see who_sees_whom.py. */
export interface Sight extends Draw {
  text: string;
  objective: Objective;
  target: number;
}

/** Who (row) may read whom (column); of an encoder–decoder the first columns are the source. */
export interface Matrix {
  title: string;
  rows: string[];
  columns: string[];
  source: number;
  allowed: boolean[][];
}

/** A word that is asked for, and the row of the matrix at which it is predicted. */
export interface Target {
  word: string;
  matrix: number;
  row: number;
}

export interface Lesson {
  about: string;
  inputs: [name: string, words: string[]][];
  matrices: Matrix[];
  targets: Target[];
}

/** What the stream says at one place of one level; the likeliest first, and the parts that wrote most towards it. */
export interface Said {
  said: [label: number, probability: number][];
  norm: number;
  lead: number; // logit of the likeliest less that of the second
  heads: [layer: number, head: number, wrote: number][];
  networks: [layer: number, wrote: number][];
  start: number; // what the embedding wrote
}

/** The traits of ThroughTheLayers; see through_the_layers.py. */
export interface Stream {
  tokens: string[];
  labels: string[];
  levels: Said[][];
  level: number;
  place: number;
  shade: "probability" | "norm";
  caption: string;
}

/** What the next token is drawn by; a filter that is off is null. */
export interface Dials {
  temperature: number;
  top_k: number | null;
  top_p: number | null;
  min_p: number | null;
}

/** What a model says after a text and the tokens chosen after it; `ends` where the last of these is no text. */
export interface Following {
  text: string;
  after: number[];
  tokens: string[];
  written: string;
  ends: boolean;
  candidates: Candidate[];
  logits: Float32Array;
  device: string;
  latency_ms: number;
}

/** The same as a kernel or a page carries it; see packed in next_token.py. */
export interface PackedFollowing extends Omit<Following, "candidates" | "logits"> {
  candidates: (Candidate & { logit: number })[];
  logits: string;
}

/** The traits of NextTokenView; see next_token.py. */
export interface NextTokenState extends Dials {
  text: string;
  written: string;
  examples: string[];
  seed: number;
  longest: number;
  model_name: string;
  is_live: boolean;
  question: { number: number; text: string; after: number[] };
  answer: { number: number; error?: string } & PackedFollowing;
  answers: PackedFollowing[];
}

/** A token of the tree that was written; the root is the text. */
export interface Leaf {
  id: number;
  token: string;
  depth: number;
  parent: Leaf | null;
  children: Leaf[];
  following: Following | null;
  raw: number; // what the model gave it
  chance: number; // what the dials gave it when it was chosen
}

/** A byte-level vocabulary; see byte_vocabulary.py. */
export interface ByteVocabulary {
  tokens: string[];
  pieces: string;
  nfc: boolean;
  added: Record<string, number>;
}

/** A tokenizer of a view: its vocabulary, or the name of a published one that is loaded on a click. */
export interface Listed extends Partial<ByteVocabulary> {
  title: string;
  published?: string;
}

/** The traits of TokenizersView; see tokenizers_view.py. */
export interface TokenizersState {
  text: string;
  listed: Listed[];
  examples: { title: string; text: string }[];
  price: number;
  wanted: string;
  loaded: Record<string, ByteVocabulary & { error?: string }>;
  is_live: boolean;
}

/** A file of a published vocabulary beside the page's scripts. */
export interface VocabularyFile {
  file: string;
  bytes: number;
}

/** A head, both counted from 0. */
export type Head = [layer: number, head: number];

/** What is done to the heads of a model: ablated, or given their output in another text of as many tokens. */
export interface HeadEdit {
  off: Head[];
  patched: Head[];
  source: string;
}

/** A text whose heads were edited. */
export interface Edited extends HeadEdit {
  text: string;
}

/** A token at the place that is predicted: its probability with all heads as they are, and with the edited ones. */
export interface Chance {
  token: string;
  before: number;
  after: number;
}

/** What an edit of heads changes; see head_runs.py. */
export interface Comparison {
  tokens: string[];
  mask: string; // what a model that reads both ways fills in; empty for one that goes on
  chances: Chance[];
  losses: [before: number, after: number][]; // of each token but the first, in nats; none for a model that fills in
}

/** The traits of HeadLab; see head_lab.py. */
export interface LabState extends Edited {
  shape: [layers: number, heads: number];
  presets: { name: string; heads: Head[] }[];
  result: Comparison;
  shown: Edited; // what the result is of
  prepared: Pick<LabState, "shown" | "result" | "device" | "latency_ms">[]; // only a page has them: they need no model
  is_live: boolean;
  error: string;
  model_name: string;
  device: string;
  latency_ms: number;
  offer?: Offer; // as in State
  loading?: boolean;
  loaded?: number;
}

/** What two models predict at one place, the first one before the second; a divergence is in bits. */
export interface Prediction {
  mask: string;
  chances: Chance[];
  divergence: number | null;
}

/** The traits of TwoModels; see two_models.py. */
export interface TwoState {
  names: string[];
  tokens: string[];
  shapes: [layers: number, heads: number][];
  encodings: Encoding[];
  levels: number[];
  first: DataView<ArrayBuffer>;
  second: DataView<ArrayBuffer>;
  layers: number[];
  layer: number;
  head: number;
  other_layer: number;
  other_head: number;
  query: number;
  compare: "paired" | "chosen";
  prediction: Prediction;
  caption: string;
  is_live: boolean;
  text: string;
  shown: string;
  error: string;
  device: string;
  latency_ms: number;
  offer?: Offer; // as in State
  loading?: boolean;
  loaded?: number;
}
