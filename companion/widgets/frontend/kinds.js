// Kinds: the maps of an encoder and a decoder, one after the other in the bytes of a picture.

/** @import { Kind, Model, State } from "./types" */

/** @type {Record<Kind, string>} */
export const KIND_NAMES = { encoder: "encoder", decoder: "decoder", cross: "cross-attention" };

/**
 * Where the weights of the chosen kind begin.
 *
 * @param {Pick<Model, "get">} model
 */
export function startOf(model) {
  const kinds = model.get("kinds");
  const before = kinds.slice(
    0,
    kinds.findIndex(({ kind }) => kind === model.get("kind")),
  );
  return before.reduce((start, { shape }) => start + shape.reduce((a, b) => a * b, 1), 0);
}

/**
 * The tokens that look, and those that are looked at.
 *
 * @param {Pick<Model, "get">} model
 */
export function sidesOf(model) {
  const [tokens, kind] = [model.get("tokens"), model.get("kind")];
  const target = kind ? model.get("target") : tokens;
  return { queries: kind === "encoder" ? tokens : target, keys: kind === "decoder" ? target : tokens };
}

/**
 * What changes with the kind: heads of another kind are other heads.
 *
 * @param {Pick<Model, "get">} model
 * @param {Kind} kind
 * @returns {Partial<State>}
 */
export function turned(model, kind) {
  const found = model.get("kinds").find((one) => one.kind === kind);
  const shape = found?.shape ?? model.get("shape");
  const [layer, head] = [Math.min(model.get("layer"), shape[0] - 1), Math.min(model.get("head"), shape[1] - 1)];
  return { kind, shape, layer, head, overlay: [] };
}
