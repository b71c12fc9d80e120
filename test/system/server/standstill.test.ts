import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, describe, expect, it } from 'vitest';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import { infer, scrape, type Reply } from './clients.js';
import { TestBench } from './harness.js';

/* The router itself stands still, and everybody's requests lie unread: that time is counted, and blamed on nobody else. */

const SLO_MS = 800;
const STOPPED_MS = 2000;
const EVERY_MS = 10;
/** Between what a client sees and what the server can know of it, on a machine that is busy with other tests. */
const TOLERANCE_MS = 500;

const simpleInputs = (value: number): Parameters<typeof infer>[2] =>
  ['INPUT0', 'INPUT1'].map((name) => ({
    name,
    datatype: 'INT32',
    shape: [1, 16],
    data: Array.from({ length: 16 }, () => value),
  }));

const bench = new TestBench();
afterAll(() => bench.close());

describe('a router that stood still', () => {
  it('counts the time that requests lay unread, and blames neither the network nor its workers', async () => {
    const server = await bench.serve(bench.model('simple', simple()), ['--no-refine', '--hang-timeout-ms', '500']);
    const send = (value: number): Promise<Reply> => infer(server, 'simple', simpleInputs(value), { sloMs: SLO_MS });
    await Promise.all(Array.from({ length: 50 }, (_, value) => send(value)));
    const before = await scrape(server);

    process.kill(server.pid, 'SIGSTOP');
    const stoppedAtMs = performance.now();
    const replying: Promise<Reply>[] = [];
    while (performance.now() < stoppedAtMs + STOPPED_MS) {
      replying.push(send(replying.length));
      await sleep(EVERY_MS);
    }
    process.kill(server.pid, 'SIGCONT');
    const replies = await Promise.all(replying);

    const served = replies.filter(({ status }) => status === 200);
    const inTime = served.filter(({ json }) => json.parameters?.['sponge_late'] === undefined);
    const tooLate = replies.filter(({ elapsedMs }) => elapsedMs > SLO_MS + TOLERANCE_MS);
    console.info(
      `${replies.length} sent: ${served.length} served, ${inTime.length} in time; ${tooLate.length} too late`,
    );
    expect(tooLate.length).toBeGreaterThan(0);
    // The last came just before it went on.
    expect(inTime.length).toBeGreaterThan(0);
    // All of them, if nobody counted; a few may have waited for this process, on a machine that is busy with something else.
    const miscounted = inTime.filter((reply) => tooLate.includes(reply)).length;
    expect(miscounted).toBeLessThanOrEqual(0.2 * tooLate.length);
    for (const { status, json } of replies) {
      if (status !== 200) expect(json.reason).not.toBe('budget_spent_in_network');
      expect(json.parameters?.['sponge_network_delay_us'] ?? 0).toBeLessThan(1000 * TOLERANCE_MS);
    }
    const after = await scrape(server);
    expect(after.sum('sponge_worker_losses_total') - before.sum('sponge_worker_losses_total')).toBe(0);
    // On a machine that is busy with something else some may have been turned away before they were requests.
    const turnedAway = replies.filter(({ json }) => json.reason === 'server_overload').length;
    const outcomes = after.sum('sponge_outcomes_total') - before.sum('sponge_outcomes_total');
    expect(outcomes + turnedAway).toBe(replies.length);
    await server.stop();
  });
});
