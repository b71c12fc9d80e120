import { z } from 'zod';
import type { PodDemandReport } from '../../scheduler/domain/demand-report.js';

/* What pods say of their demand comes over the network: what is no such report is not believed. */

const MOST_MODELS = 256;
const MOST_POINTS = 128;

const count = z.number().int().min(0);
const ascending = z
  .array(z.number().min(1))
  .min(1)
  .max(MOST_POINTS)
  .refine((values) => values.every((each, index) => index === 0 || each > values[index - 1]!), 'not ascending');

const latency = z
  .object({
    batchSizes: ascending,
    millicores: ascending,
    plannedMs: z
      .array(z.array(z.number().min(0)).min(1).max(MOST_POINTS))
      .min(1)
      .max(MOST_POINTS),
  })
  .refine(
    ({ batchSizes, millicores, plannedMs }) =>
      plannedMs.length === batchSizes.length && plannedMs.every((row) => row.length === millicores.length),
    'no grid',
  );

const report = z.object({
  schemaVersion: z.literal(1),
  process: z.string().min(1).max(64),
  isDraining: z.boolean(),
  resizesItself: z.boolean(),
  models: z
    .array(
      z.object({
        name: z.string().max(255),
        version: z.string().max(64),
        arrived: count,
        ended: count,
        missed: count,
        heldRequests: count,
        budgetsMs: z.array(z.number()).max(64),
        instances: z.number().int().min(1).max(64),
        latency,
      }),
    )
    .max(MOST_MODELS),
});

/** Null where it is none. */
export function parseDemand(json: string): PodDemandReport | null {
  try {
    return report.safeParse(JSON.parse(json)).data ?? null;
  } catch {
    return null;
  }
}
