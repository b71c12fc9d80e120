import { z } from 'zod';
import { MOST_MARKS, type PodReport } from '../../scheduler/domain/pod-report.js';

/* Reports come over the network: what is not one is not believed. Fields that are not known are of a newer pod, and left out. */

/** Of a pod, in one report. */
const MOST_MODELS = 1024;

const finite = z.number();
const positive = finite.min(0);

const mark = z.object({ dueInMs: positive, startInMs: finite, doneInMs: finite, roomMs: finite.nullable() });

const model = z.object({
  name: z.string().max(255),
  version: z.string().max(64),
  isLatest: z.boolean(),
  isReady: z.boolean(),
  heldRequests: positive,
  defaultSloMs: positive,
  requestBytes: positive,
  leastMs: positive,
  aloneMs: positive,
  instanceCount: finite.min(1),
  requestMs: positive,
  marks: z.array(mark).min(1).max(MOST_MARKS),
  spareCoreSeconds: positive,
});

const report = z.object({
  schemaVersion: z.literal(1),
  isDraining: z.boolean(),
  grpcPort: z.number().int().min(0).max(65_535),
  models: z.array(model).max(MOST_MODELS),
  arrived: z.array(z.number().int()).max(8192),
  isArrivedCut: z.boolean(),
});

/** Null where it is none. */
export function parseReport(json: string): PodReport | null {
  let value: unknown;
  try {
    value = JSON.parse(json);
  } catch {
    return null;
  }
  const parsed = report.safeParse(value);
  return parsed.success ? parsed.data : null;
}
