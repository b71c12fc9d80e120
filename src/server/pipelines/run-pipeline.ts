import { basename } from 'node:path';
import type { RunModel, RunStep } from '../../scheduler/domain/event-record.js';
import type { PipelineGraph } from '../../scheduler/pipeline/graph.js';
import type { PipelineSource } from './pipeline-source.js';
import type { ServedPipeline } from './served-pipeline.js';

/* What the live feed and the event log say of a pipeline before its first record. */

const NO_CORES = { minMillicores: 0, maxMillicores: 0, stepMillicores: 0 };

/** Null of what has no steps. */
export function describePipelineRun({ source, runSteps: steps, meter }: ServedPipeline): RunModel | null {
  if (steps === null) return null;
  const { name, version } = source;
  return {
    ...{ name, version, policy: 'pipeline', limits: NO_CORES },
    ...{ cpuMillicores: 0, instances: 0, maxBatchSize: 0 },
    pipeline: { steps, counts: meter.pipelineCounts },
  };
}

/** In the graph's order, which is the order in which they are counted. */
export function runSteps({ steps }: PipelineGraph, targets: PipelineSource['targets']): readonly RunStep[] {
  return steps.map(({ name, before }) => {
    const target = targets.get(name)!;
    return { name, kind: target.kind, target: target.kind === 'model' ? target.model : basename(target.file), before };
  });
}
