// A host whose widget is answered by models of the page, loaded at the first change or, if large, on a click.

import { Cancelled } from "./live.js";
import { inMB } from "./live_host.js";

/** @import { LiveModels, Loading } from "./live.js" */
/** @import { Answer } from "./live_worker.js" */
/** @import { StaticModel } from "./static_host.js" */
/** @typedef {{ device: string, latency_ms: number, error: string, offer?: object, loading?: boolean, loaded?: number, is_live: boolean, shown: any }} Answered the traits of what models answer */

/** @template {Answered} Traits */
export class ModelHost {
  busy = false;

  /**
   * @param {StaticModel<Traits>} model
   * @param {LiveModels} models
   * @param {string[]} names of the models that answer
   */
  constructor(model, models, names) {
    this.model = model;
    this.traits = /** @type {StaticModel<Answered>} */ (/** @type {unknown} */ (model));
    this.models = models;
    this.names = names;
  }

  /**
   * What is chosen now.
   *
   * @returns {any}
   */
  now() {
    throw new Error("a host says what is chosen");
  }

  /**
   * A string that is the same for choices that have the same answer.
   *
   * @param {any} chosen
   * @returns {string}
   */
  key(chosen) {
    return JSON.stringify(chosen);
  }

  /**
   * @param {any} _chosen
   * @returns {Promise<Partial<Traits>>}
   */
  async answer(_chosen) {
    throw new Error("a host answers");
  }

  get ready() {
    return this.names.every((name) => this.models.ready.has(name));
  }

  /**
   * Run a model, scored at all positions, and say how far it is loaded.
   *
   * @param {string} name
   * @param {string} text
   * @param {Omit<NonNullable<Parameters<LiveModels["run"]>[2]>, "loading" | "everywhere">} how
   * @returns {Promise<Answer>}
   */
  run(name, text, how = {}) {
    const { title } = this.models.catalogue.models[name];
    /** @type {Loading} */
    const loading = ({ got, all }) => {
      const device = `loading ${title}: ${inMB(got)} of ${inMB(all)} MB`;
      this.traits.update({ device, latency_ms: 0, loaded: Math.min(1, got / all) });
    };
    return this.models.run(name, text, { ...how, everywhere: true, loading });
  }

  /** Answer what is chosen, and then what was chosen meanwhile: one question at a time. */
  async follow() {
    const { traits } = this;
    if (this.busy) return;
    this.busy = true;
    const mayAsk = () => traits.get("loading") || !traits.get("offer") || this.ready;
    for (let failed = ""; mayAsk(); ) {
      const now = this.now();
      const key = this.key(now);
      const known = key === this.key(traits.get("shown")) && !traits.get("loading");
      if (known) traits.update({ error: "" }); // changed back
      if (known || key === failed) break;
      const before = { device: traits.get("device"), latency_ms: traits.get("latency_ms") };
      try {
        const found = await this.answer(now);
        traits.update({ ...found, shown: now, error: "", offer: undefined });
      } catch (problem) {
        failed = key;
        const error = problem instanceof Cancelled ? "" : /** @type {Error} */ (problem).message;
        traits.update({ ...before, error, offer: this.ready ? undefined : traits.get("offer") });
      }
      traits.update({ loading: false, loaded: undefined });
    }
    this.busy = false;
  }

  /**
   * Begin to answer, where the book was built with all of the models.
   *
   * @param {(keyof Traits & string)[]} choices traits that are followed
   */
  async connect(choices) {
    const { traits, models, names } = this;
    if (!names.every((name) => models.catalogue.models[name])) return;
    const offers = (await Promise.all(names.map((name) => models.offer(name)))).flatMap((offer) => offer ?? []);
    const title = offers.map((offer) => offer.title).join(" and ");
    const bytes = offers.reduce((sum, offer) => sum + offer.bytes, 0);
    traits.update({ is_live: true, offer: offers.length ? { ...offers[0], title, bytes } : undefined });
    for (const trait of choices) {
      this.model.on(`change:${trait}`, () => queueMicrotask(() => this.follow())); // when all of a change is there
    }
    traits.on("change:loading", () => {
      if (traits.get("loading")) this.follow();
      else if (traits.get("offer")) for (const name of names) models.cancel(name);
    });
  }
}
