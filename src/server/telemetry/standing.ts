import type { Event } from '../../scheduler/domain/event.js';
import type { ModelRecord, RunModel, RunPipeline, StepsCounted } from '../../scheduler/domain/event-record.js';
import { grantedAfter, type Granted } from '../../scheduler/domain/granted.js';

/** What a model has at an instant, as the header of a run tells it; of a pipeline, what was counted by then. */
export interface Standing extends Granted {
  readonly pipeline?: RunPipeline;
}

/** When it is told of for the first time. */
export function standingOf({ cpuMillicores, instances, allocations, pipeline }: RunModel): Standing {
  return {
    ...{ cpuMillicores, instances },
    ...(allocations === undefined ? {} : { allocations }),
    ...(pipeline === undefined ? {} : { pipeline }),
  };
}

/** The same one where what happened changes nothing. */
export function standingAfter(
  model: number,
  event: Event | StepsCounted | ModelRecord,
  standing: readonly Standing[],
): readonly Standing[] {
  switch (event.kind) {
    case 'resized':
    case 'instances-changed':
      return standing.with(model, grantedAfter(standing[model]!, event));
    case 'steps-counted': {
      const { pipeline, ...own } = standing[model]!;
      const { door, steps } = event;
      return pipeline === undefined
        ? standing
        : standing.with(model, { ...own, pipeline: { ...pipeline, counts: { door, steps } } });
    }
    default:
      return standing;
  }
}
