import { z } from 'zod';
import { GREATEST_INTERFERENCE } from './interference.js';
import type { Profile } from './profile.js';

/*
 * Reads a stored profile. What is on disk may be from another version, cut short, or edited by hand; whatever it is, the
 * answer is a profile or one line that says what is wrong with it.
 */

const durationMs = z.number().positive();

const cellSchema = z.strictObject({
  batchSize: z.int().positive(),
  cpuMillicores: z.int().positive(),
  threadCount: z.int().positive(),
  samplesMs: z.array(durationMs),
  p50Ms: durationMs,
  p95Ms: durationMs,
  p99Ms: durationMs,
});

const fingerprintSchema = z.strictObject({
  modelSha256: z.string(),
  cpuModel: z.string(),
  cpuCount: z.int().positive(),
  scaler: z.string(),
  quotaPeriodUs: z.number().nonnegative(),
  threadCounts: z.array(z.int().positive()),
  onnxRuntimeVersion: z.string(),
  shapeClassKey: z.string(),
});

const interferenceSchema = z.strictObject({
  coefficient: z.number().min(0).max(GREATEST_INTERFERENCE),
  cells: z.array(
    z.strictObject({
      batchSize: z.int().positive(),
      cpuMillicores: z.int().positive(),
      instances: z.int().min(2),
      runs: z.int().positive(),
      aloneMs: durationMs,
      besideMs: durationMs,
    }),
  ),
});

const profileSchema = z.strictObject({
  schemaVersion: z.literal(1),
  name: z.string(),
  fingerprint: fingerprintSchema.nullable(),
  elementCount: z.int().positive(),
  axisSizes: z.array(z.int().nonnegative()).optional(),
  quality: z.enum(['quick', 'full', 'published']),
  measuredAt: z.string(),
  cells: z
    .array(cellSchema)
    .min(1)
    .refine((cells) => new Set(cells.map((cell) => `${cell.batchSize} ${cell.cpuMillicores}`)).size === cells.length, {
      error: 'two cells have the same batch size and allocation',
    }),
  interference: interferenceSchema.optional(),
}) satisfies z.ZodType<Profile>;

export type ParsedProfile =
  | { readonly kind: 'ok'; readonly profile: Profile }
  /** One line: file, place in it, what is wrong. */
  | { readonly kind: 'invalid'; readonly message: string };

/**
 * @param value parsed JSON
 * @param path of the file it came from, for the message
 */
export function parseProfile(value: unknown, path: string): ParsedProfile {
  const parsed = profileSchema.safeParse(value);
  if (parsed.success) return { kind: 'ok', profile: parsed.data };
  const issue = parsed.error.issues[0]!;
  const place = issue.path.length === 0 ? '' : `${placeOf(issue.path)}: `;
  return { kind: 'invalid', message: `profile ${path}: ${place}${issue.message}` };
}

/** ['cells', 3, 'p99Ms'] → "cells[3].p99Ms". */
function placeOf(path: readonly PropertyKey[]): string {
  return path.reduce<string>((place, key) => {
    if (typeof key === 'number') return `${place}[${key}]`;
    return place === '' ? String(key) : `${place}.${String(key)}`;
  }, '');
}
