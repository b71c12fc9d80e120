import { describe, expect, it } from 'vitest';
import { StillModels } from './still-watch.js';

interface Seen {
  readonly waiting: number;
  /** Null: it has one instance, and does not say. */
  readonly isReady?: boolean | null;
  readonly ended?: number;
}

function metricsOf(models: Readonly<Record<string, Seen>>): string {
  return Object.entries(models)
    .flatMap(([model, { waiting, isReady = true, ended = 5 }]) => [
      `sponge_queue_depth{model="${model}",version="1"} ${waiting}`,
      ...(isReady === null
        ? []
        : [`sponge_instance_ready{model="${model}",version="1",instance="0"} ${Number(isReady)}`]),
      `sponge_batches_total{model="${model}",version="1",result="completed"} ${ended}`,
    ])
    .join('\n');
}

/** Looks every second for so long. */
function findings(durationMs: number, seenAt: (nowMs: number) => Readonly<Record<string, Seen>>): string[] {
  const models = new StillModels();
  const found: string[] = [];
  for (let nowMs = 0; nowMs <= durationMs; nowMs += 1000) found.push(...models.look(nowMs, metricsOf(seenAt(nowMs))));
  return found;
}

describe('a model that stands still', () => {
  it('is found once, after half a minute, whatever the others do', () => {
    const found = findings(120_000, (nowMs) => ({ still: { waiting: 3 }, busy: { waiting: 3, ended: nowMs } }));
    expect(findings(120_000, () => ({ still: { waiting: 3, isReady: null } }))).toEqual(found);
    expect(found).toEqual(['3 requests of still wait, and no batch ended for 30 s']);
  });

  it('is none while its worker is away, while nobody waits, or when a batch ended meanwhile', () => {
    expect(findings(120_000, () => ({ away: { waiting: 3, isReady: false } }))).toEqual([]);
    expect(findings(120_000, () => ({ idle: { waiting: 0 } }))).toEqual([]);
    expect(findings(120_000, (nowMs) => ({ slow: { waiting: 3, ended: Math.floor(nowMs / 25_000) } }))).toEqual([]);
  });
});
