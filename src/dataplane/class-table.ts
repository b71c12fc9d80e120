import type { LatencyModel } from '../domain/latency.js';
import type { ShapeClass } from '../domain/request.js';
import type { QueueEntry } from './queue-entry.js';

/** Numbers the shape classes of one decision 0, 1, … in the order met. */
export class ClassTable {
  readonly classes: ShapeClass[] = [];
  /** By class index. */
  readonly models: LatencyModel[] = [];

  /** Few classes are in a queue at a time, mostly one: a linear search beats a map. */
  indexOf(entry: QueueEntry): number {
    const { shapeClass } = entry.request;
    for (let index = 0; index < this.classes.length; index++) {
      if (this.classes[index]!.key === shapeClass.key) return index;
    }
    this.models.push(entry.model);
    return this.classes.push(shapeClass) - 1;
  }
}
