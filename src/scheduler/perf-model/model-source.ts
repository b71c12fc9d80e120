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
  /** Of the interfering cores, the share that was busy beside it, over its run (`interference.ts`); 0 where absent. */
  readonly busyFraction?: number;
}

/** Where both planes get latency models from: one a shape class, corrected online. */
export interface LatencyModels {
  /** True until anything has been measured: predictions are then placeholders, and planning uses the largest allocation. */
  readonly isProvisional: boolean;
  /** φ: how much busy neighbours slow a batch down (`interference.ts`); 0, or absent, where nothing is known of it. */
  readonly interference?: number;
  /** No batch has shown for long whether it is still so. */
  readonly isInterferenceUntested?: boolean;
  /** Another one whenever any model may say something else; absent where that is not told. */
  readonly revision?: number;
  /** Latency alone. */
  forClass(shapeClass: ShapeClass): LatencyModel;
  observe(observation: LatencyObservation): void;
}
