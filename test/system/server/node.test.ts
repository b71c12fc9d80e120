import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import type { ModelRecord, RunHeader } from '../../../src/scheduler/domain/event-record.js';
import { inferBinary, scrape, slowInput, slowPlace } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';

/* Several models on one server: any of them may have any core that the others do not need. */

const MODELS = ['first', 'second', 'third'] as const;
const STEPS = await slowStepsFor(40);

const bench = new TestBench();
afterAll(() => bench.close());

const rolled = (place: number): number => (place + STEPS) % 1024;

/** Of all models together; null, loudly, where nothing is limited and so nothing shared. */
function sharedMillicores({ banner }: RunningServer): number | null {
  const match = / ([\d.]+) cores for all models, each core for whoever needs it/.exec(banner);
  if (match !== null) return Math.round(Number(match[1]) * 1000);
  console.warn(`skipped: nothing is limited here, so there is nothing to share:\n${banner}`);
  return null;
}

describe('several models on one server', () => {
  const eventLog = join(bench.folder, 'events.jsonl');
  let server: RunningServer;
  let budget: number | null;

  beforeAll(async () => {
    const models = Object.fromEntries(MODELS.map((name) => [name, slow(STEPS)]));
    const repository = bench.repository('models', models);
    // A batch is worth a core, wherever there is one: more than a third of these, however many the machine has.
    const cores = ['--max-cores', '1.7', '--instances', 'auto'];
    const flags = ['--no-refine', '--max-batch', '1', ...cores, '--event-log', eventLog];
    server = await bench.serve(repository, [...flags, '--model-floor', 'second=0.3']);
    budget = sharedMillicores(server);
  });

  it('answer one after the other, each while the others rest', async () => {
    for (const model of MODELS) {
      const sent = Array.from({ length: 12 }, (_, place) =>
        inferBinary(server, model, [slowInput(place)], { sloMs: 60_000 }),
      );
      for (const [place, reply] of (await Promise.all(sent)).entries()) {
        expect(reply.status, reply.json.error).toBe(200);
        expect(slowPlace(reply)).toBe(rolled(place));
      }
    }
  });

  it('answer rightly while all are busy, and then hold nothing', async () => {
    const client = async (model: string, first: number): Promise<void> => {
      for (let place = first; place < first + 10; place++) {
        const reply = await inferBinary(server, model, [slowInput(place)], { sloMs: 60_000 });
        expect(reply.status, reply.json.error).toBe(200);
        expect(slowPlace(reply)).toBe(rolled(place));
        if (place % 7 === 0) await delay(30);
      }
    };
    await Promise.all(MODELS.flatMap((model) => [client(model, 0), client(model, 100)]));
    if (budget === null) return;
    await eventually('all to rest', async () => (await scrape(server)).sum('sponge_granted_millicores') === 0);
  });

  it('had more than an even share each when they needed it, and never more together than there is', async () => {
    await server.stop();
    if (budget === null) return;
    const [first, ...lines] = readFileSync(eventLog, 'utf8').trim().split('\n');
    const { models } = JSON.parse(first!) as RunHeader;
    const records = lines.map((line) => JSON.parse(line) as ModelRecord);
    const granted = models.map(({ allocations, cpuMillicores }) => [...(allocations ?? [cpuMillicores])]);
    const mostOfEach = MODELS.map(() => 0);
    let mostMillicores = 0;
    let resizeCount = 0;
    for (const record of records) {
      if (record.kind !== 'resized') continue;
      granted[record.model]![record.instance!] = record.cpuMillicores;
      resizeCount += 1;
      const sums = granted.map((each) => each.reduce((sum, one) => sum + one, 0));
      sums.forEach((sum, model) => (mostOfEach[model] = Math.max(mostOfEach[model]!, sum)));
      mostMillicores = Math.max(
        mostMillicores,
        sums.reduce((sum, each) => sum + each, 0),
      );
    }
    expect(resizeCount).toBeGreaterThan(MODELS.length);
    expect(mostMillicores).toBeLessThanOrEqual(budget);
    for (const most of mostOfEach) expect(most).toBeGreaterThan(budget / MODELS.length);
  });
});

describe('a floor of a model that is not there', () => {
  it('is refused in one line', async () => {
    const { code, stderr } = await bench.serveFailing(bench.model('only', slow(2)), ['--model-floor', 'other=0.5']);
    expect(code).not.toBe(0);
    expect(stderr).toContain('--model-floor other: there is no such model here');
  });
});

describe('a server of several models that wait to be refined', () => {
  it('stops at once', async () => {
    const models = Object.fromEntries(['a', 'b', 'c'].map((name) => [name, slow(2)]));
    const server = await bench.serve(bench.repository('refined', models), ['--drain-seconds', '1']);
    await server.stop(); // within the harness's patience, though none of the three was refined
    expect(server.workers()).toEqual([]);
  });
});
