import type { LatencyModel } from '../domain/latency.js';
import type { ShapeClass } from '../domain/request.js';
import type { QueueEntry } from './queue-entry.js';

/** Numbers the shape classes of one decision 0, 1, … in the order met; its lists are to be read when all are met. */
export class ClassTable {
  #classes: ShapeClass[] = [];
  #models: LatencyModel[] = [];

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

  /** Few classes are in a queue at a time, mostly one: a linear search beats a map. */
  indexOf({ request: { shapeClass }, model }: QueueEntry): number {
    for (let index = 0; index < this.#classes.length; index++) {
      if (this.#classes[index]!.key === shapeClass.key) return index;
    }
    if (this.#classes.length === 0) {
      // Mostly the only ones, so in arrays of just that size: one that is pushed to begins with room for 17.
      this.#classes = [shapeClass];
      this.#models = [model];
      return 0;
    }
    this.#models.push(model);
    return this.#classes.push(shapeClass) - 1;
  }
}
