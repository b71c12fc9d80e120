import { readFileSync } from 'node:fs';
import {
  RELEASED_FITS,
  RELEASED_SLO_FRACTION,
  WORKED_EXAMPLE_SLO_FRACTION,
} from '../scheduler/controlplane/baselines/released.js';
import { exactLatency, type LatencyModel } from '../scheduler/domain/latency.js';
import { shapeClass } from '../scheduler/domain/request.js';
import { cellPoints } from '../scheduler/perf-model/curve.js';
import { fittedLatencyMs, ordinaryLeastSquares, type LatencyCoefficients } from '../scheduler/perf-model/fit.js';
import { OnlineLatencyModels } from '../scheduler/perf-model/latency-model.js';
import { parseProfile } from '../scheduler/perf-model/profile-schema.js';

/* What `sponge plan` knows of a model: a published profile, or a file that `sponge profile` wrote. */

/** What a latency model comes with, and what is assumed where no flag says otherwise. */
export interface Source {
  readonly title: string;
  readonly model: LatencyModel;
  /** As the authors' code would fit it; null where the points do not determine a fit. */
  readonly releasedFit: LatencyCoefficients | null;
  readonly minMillicores: number;
  readonly maxMillicores: number;
  readonly stepMillicores: number;
  readonly maxBatchSize: number;
  readonly sloFraction: number;
}

/**
 * Published profiles answer with the authors' own fits under both policies, so that two rules are compared and not two
 * fits; on whole cores and with the batch limits of their evaluation.
 */
const PUBLISHED: ReadonlyMap<string, Source> = new Map(
  (
    [
      ['yolov5s', 'YOLOv5s as published (fit of P99)', 8, RELEASED_SLO_FRACTION],
      ['yolov5n', 'YOLOv5n as published (fit of series 72)', 16, RELEASED_SLO_FRACTION],
      ['resnet18', "ResNet18 as published (fit of P95 in the authors' example)", 16, WORKED_EXAMPLE_SLO_FRACTION],
    ] as const
  ).map(([name, title, maxBatchSize, sloFraction]) => {
    const fit = RELEASED_FITS[name];
    const latencyMs = (batchSize: number, cpu: number): number => fittedLatencyMs(fit, batchSize, cpu);
    const model = exactLatency(latencyMs);
    const limits = { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 1000 };
    return [name, { title, model, releasedFit: fit, ...limits, maxBatchSize, sloFraction }];
  }),
);

/** The source, or one line saying what is wrong. */
export function loadSource(nameOrPath: string): Source | string {
  const published = PUBLISHED.get(nameOrPath);
  if (published !== undefined) return published;

  const remedy = `Give ${[...PUBLISHED.keys()].join(', ')}, or a file that \`sponge profile\` wrote.`;
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(nameOrPath, 'utf8'));
  } catch (error) {
    const cause =
      error instanceof SyntaxError ? 'it is not JSON' : error instanceof Error ? error.message : String(error);
    return `cannot read profile ${nameOrPath}: ${cause}. ${remedy}`;
  }
  const parsed = parseProfile(value, nameOrPath);
  if (parsed.kind === 'invalid') return `${parsed.message}. ${remedy}`;

  const { profile } = parsed;
  const { cells, elementCount, fingerprint } = profile;
  const millicores = cells.map((cell) => cell.cpuMillicores);
  const wholeMs = cellPoints(profile, 'p99Ms').map((point) => ({ ...point, latencyMs: Math.trunc(point.latencyMs) }));
  return {
    title: `${profile.name} (measured ${profile.measuredAt}, ${profile.quality}; planned p99)`,
    model: new OnlineLatencyModels(profile).forClass(shapeClass(fingerprint?.shapeClassKey ?? '', elementCount)),
    releasedFit: ordinaryLeastSquares(wholeMs),
    minMillicores: Math.min(...millicores),
    maxMillicores: Math.max(...millicores),
    stepMillicores: 100,
    maxBatchSize: Math.max(...cells.map((cell) => cell.batchSize)),
    sloFraction: RELEASED_SLO_FRACTION,
  };
}
