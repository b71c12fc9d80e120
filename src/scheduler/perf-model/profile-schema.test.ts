import { describe, expect, it } from 'vitest';
import { parseProfile } from './profile-schema.js';
import { profileCell } from './profile-cell.js';
import type { Profile } from './profile.js';

const PROFILE: Profile = {
  schemaVersion: 1,
  name: 'ocr',
  fingerprint: {
    modelSha256: 'ab12',
    cpuModel: 'some CPU',
    cpuCount: 2,
    scaler: 'cgroup-v2',
    quotaPeriodUs: 10_000,
    threadCounts: [1, 2],
    onnxRuntimeVersion: '1.30.0',
    shapeClassKey: 'x:FP32[3,48,320]',
  },
  elementCount: 46_080,
  quality: 'full',
  measuredAt: '2025-01-02T03:04:05Z',
  cells: [
    profileCell({ batchSize: 1, cpuMillicores: 1000, threadCount: 1 }, [23, 24]),
    profileCell({ batchSize: 2, cpuMillicores: 1000, threadCount: 1 }, [40, 41]),
  ],
};

function messageFor(change: (stored: Record<string, unknown>) => unknown): string {
  const parsed = parseProfile(change(JSON.parse(JSON.stringify(PROFILE)) as Record<string, unknown>), '/models/p.json');
  if (parsed.kind === 'ok') throw new Error('expected it to be refused');
  return parsed.message;
}

describe('a stored profile', () => {
  it('is read back as it was written', () => {
    expect(parseProfile(JSON.parse(JSON.stringify(PROFILE)), 'p.json')).toEqual({ kind: 'ok', profile: PROFILE });
  });

  it('may say how much instances slow each other down', () => {
    const cell = { batchSize: 1, cpuMillicores: 1000, instances: 2, runs: 20, aloneMs: 23, besideMs: 25.3 };
    const profile: Profile = { ...PROFILE, interference: { coefficient: 0.3, cells: [cell] } };
    expect(parseProfile(JSON.parse(JSON.stringify(profile)), 'p.json')).toEqual({ kind: 'ok', profile });
    expect(messageFor((stored) => ({ ...stored, interference: { coefficient: -0.1, cells: [] } }))).toMatch(
      /: interference\.coefficient: /,
    );
  });

  it('that is not a profile is refused in one line that names file, place and cause', () => {
    expect(
      messageFor((stored) => ({ ...stored, cells: [PROFILE.cells[0], { ...PROFILE.cells[1], p99Ms: 'slow' }] })),
    ).toMatch(/^profile \/models\/p\.json: cells\[1\]\.p99Ms: [^\n]*number[^\n]*$/);
    expect(messageFor((stored) => ({ ...stored, schemaVersion: 2 }))).toMatch(
      /^profile \/models\/p\.json: schemaVersion: /,
    );
    expect(messageFor((stored) => ({ ...stored, cells: [] }))).toMatch(/: cells: /);
    expect(messageFor((stored) => ({ ...stored, cells: [PROFILE.cells[0], PROFILE.cells[0]] }))).toBe(
      'profile /models/p.json: cells: two cells have the same batch size and allocation',
    );
    expect(messageFor((stored) => ({ ...stored, cells: [{ ...PROFILE.cells[0], p50Ms: 0 }] }))).toMatch(
      /cells\[0\]\.p50Ms/,
    );
    expect(messageFor(() => 'half a fi')).toMatch(/^profile \/models\/p\.json: [^\n]+$/);
    expect(messageFor(() => null)).toMatch(/^profile \/models\/p\.json: [^\n]+$/);
  });
});
