import type { LatencyModel } from '../domain/latency.js';
import type { ShapeClass } from '../domain/request.js';

/** One finished batch, for correcting the model. */
export interface LatencyObservation {
  readonly shapeClass: ShapeClass;
  readonly batchSize: number;
  readonly cpuMillicores: number;
  /** Measured over predicted, weighted over the allocations it ran at. */
  readonly actualToPredicted: number;
  /** Of the members that were started early enough by the planned latency, those that were late; null without such. */
  readonly missedFraction: number | null;
}

/** Where both planes get latency models from: one a shape class, corrected online. */
export interface LatencyModels {
  /** True until anything has been measured: predictions are then placeholders, and planning uses the largest allocation. */
  readonly isProvisional: boolean;
  forClass(shapeClass: ShapeClass): LatencyModel;
  observe(observation: LatencyObservation): void;
}
