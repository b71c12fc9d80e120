/*
 * Which models of many have a colour of their own: the largest, each of which keeps its place for as long as it is about one of them,
 * so that colours do not change hands whenever two that are about equal change order.
 */

/** Colours that can be told apart, with one more for the others. */
export const PLACES = 8;
/** As far below the largest one may fall before it has to go. */
const KEPT_PLACES = PLACES + 2;

export class TopModels {
  /** By place, an index of a model; −1 where it is free. */
  readonly #places = new Array<number>(PLACES).fill(-1);

  get places(): readonly number[] {
    return this.#places;
  }

  /** @param sizes by model */
  update(sizes: readonly number[]): void {
    const bySize = sizes.map((_, model) => model).sort((a, b) => sizes[b]! - sizes[a]! || a - b);
    const kept = new Set(sizes.length <= PLACES ? bySize : bySize.slice(0, KEPT_PLACES));
    this.#places.forEach((model, place) => {
      if (!kept.has(model)) this.#places[place] = -1;
    });
    const placed = new Set(this.#places);
    // Few enough for all of them: in the order in which they are served.
    const candidates = sizes.length <= PLACES ? sizes.map((_, model) => model) : bySize.slice(0, PLACES);
    for (const model of candidates) {
      if (placed.has(model)) continue;
      const free = this.#places.indexOf(-1);
      if (free === -1) return;
      this.#places[free] = model;
    }
  }
}
