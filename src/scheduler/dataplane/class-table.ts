import type { LatencyModel } from '../domain/latency.js';
import type { ShapeClass } from '../domain/request.js';
import type { QueueEntry } from './queue-entry.js';

/** Up to so many a linear search beats a map, and mostly there is one. */
const FEW = 8;

/** Numbers the shape classes of one decision 0, 1, … in the order met; its lists are to be read when all are met. */
export class ClassTable {
  #classes: ShapeClass[] = [];
  #models: LatencyModel[] = [];
  /** Of all, where there are more than a few. */
  #indexes: Map<ShapeClass, number> | null = null;

  get classes(): readonly ShapeClass[] {
    return this.#classes;
  }

  /** Rows of one request, by class index. */
  get rowCounts(): readonly number[] {
    return this.#classes.map((each) => each.rowCount);
  }

  /** By class index. */
  get models(): readonly LatencyModel[] {
    return this.#models;
  }

  /** Classes of entries are interned: the same object is the same class. */
  indexOf({ shapeClass, model }: QueueEntry): number {
    const known = this.#indexes === null ? this.#classes.indexOf(shapeClass) : (this.#indexes.get(shapeClass) ?? -1);
    return known === -1 ? this.#add(shapeClass, model) : known;
  }

  #add(shapeClass: ShapeClass, model: LatencyModel): number {
    if (this.#classes.length === 0) {
      // Mostly the only ones, so in arrays of just that size: one that is pushed to begins with room for 17.
      this.#classes = [shapeClass];
      this.#models = [model];
      return 0;
    }
    this.#models.push(model);
    const index = this.#classes.push(shapeClass) - 1;
    if (this.#classes.length > FEW) {
      this.#indexes ??= new Map(this.#classes.map((each, place) => [each, place]));
      this.#indexes.set(shapeClass, index);
    }
    return index;
  }
}
