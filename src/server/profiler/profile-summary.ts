import type { LatencyModel } from '../../scheduler/domain/latency.js';
import { shapeClass } from '../../scheduler/domain/request.js';
import type { BaseModel } from '../../scheduler/perf-model/base-model.js';
import { OnlineLatencyModels } from '../../scheduler/perf-model/latency-model.js';
import type { Profile } from '../../scheduler/perf-model/profile.js';

/** What a profile says, as serving would read it before any batch has run. */
export interface ProfileSummary {
  readonly base: BaseModel;
  /** Of the profiled class: typical and planned latency of every (b, c). */
  readonly model: LatencyModel;
  /** Planned over typical latency: the pooled p99, and a quick profile's margin. */
  readonly p99Factor: number;
  /** Ascending. */
  readonly batchSizes: readonly number[];
  /** Ascending. */
  readonly allocationsMillicores: readonly number[];
}

export function summaryOf(profile: Profile): ProfileSummary {
  const models = new OnlineLatencyModels(profile);
  const { elementCount, fingerprint, cells } = profile;
  const model = models.forClass(shapeClass(fingerprint?.shapeClassKey ?? 'published', elementCount));
  return {
    base: models.baseModel!,
    model,
    p99Factor: model.plannedLatencyMs(1, 1000) / model.predictedLatencyMs(1, 1000),
    batchSizes: distinct(cells.map(({ batchSize }) => batchSize)),
    allocationsMillicores: distinct(cells.map(({ cpuMillicores }) => cpuMillicores)),
  };
}

function distinct(values: readonly number[]): number[] {
  return [...new Set(values)].sort((a, b) => a - b);
}
