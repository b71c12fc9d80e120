import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { slow } from '../../../research/load-models/tiny-graphs.js';
import { GrpcClient, grpcRequest, http, queueDepth, scrape, slowInput, type GrpcReply } from './clients.js';
import { eventually, TestBench, type RunningServer } from './harness.js';
import { slowStepsFor } from './machine-speed.js';
import { PATIENT } from './mid-run.js';

/*
 * Thousands wait for a model that serves a few in a second: the server goes on answering, and everyone is told what becomes of them. What
 * this costs the router is measured in `bench/arrival.bench.ts`; nothing is said of times here.
 */

/** 0.1 s on one core: of the requests below nearly all are still there when they are given up. */
const STEPS = await slowStepsFor(100);
const CONNECTIONS = 4;
/** Of each kind. */
const COUNT = 2000;
/** So many are asked for, one after another, while all those wait; between them all the others arrive. */
const HEALTH_CHECKS = 40;

const bench = new TestBench();
let server: RunningServer;

beforeAll(async () => {
  server = await bench.serve(bench.model('slow', slow(STEPS)), [
    ...['--max-batch', '1', '--min-cores', '1', '--max-cores', '1'],
    ...['--queue-limit', '20000', '--max-calls', '20000', '--slo', '600000', '--no-refine'],
    ...PATIENT,
  ]);
});
afterAll(() => bench.close());

type Answer = Promise<GrpcReply<unknown>>;

/** Calls that can be given up, all at once. */
class Crowd {
  readonly answers: Answer[] = [];
  readonly #clients = Array.from({ length: CONNECTIONS }, () => new GrpcClient(server));
  readonly #cancels: (() => void)[] = [];

  send(count: number, deadlineMs: number | null, isBestEffort: boolean): readonly Answer[] {
    const parameters = isBestEffort
      ? { best_effort: { parameterChoice: { $case: 'boolParam' as const, value: true } } }
      : {};
    const answers = Array.from({ length: count }, (_, index) =>
      this.#clients[index % CONNECTIONS]!.infer(grpcRequest('slow', [slowInput(index % 8)], { parameters }), {
        ...(deadlineMs === null ? {} : { deadlineMs }),
        onStarted: (call) => this.#cancels.push(() => call.cancel()),
      }),
    );
    this.answers.push(...answers);
    return answers;
  }

  leave(): void {
    for (const cancel of this.#cancels) cancel();
  }

  close(): void {
    for (const client of this.#clients) client.close();
  }
}

async function healthAnswers(count: number): Promise<number> {
  let answered = 0;
  for (let index = 0; index < count; index++) {
    const { status } = await http(`${server.rest}/v2/health/live`);
    if (status === 200) answered += 1;
  }
  return answered;
}

/** gRPC's: OK, CANCELLED. */
const [OK, CANCELLED, RESOURCE_EXHAUSTED] = [0, 1, 8];

/** The router itself was too busy on a machine that does other work too: refused before it was a request, and so without an outcome. */
const isTurnedAway = ({ error }: GrpcReply<unknown>): boolean =>
  error?.metadata.get('x-sponge-reason').includes('server_overload') === true;

const codesOf = (replies: readonly GrpcReply<unknown>[]): number[] => replies.map(({ error }) => error?.code ?? OK);

describe('thousands that wait', () => {
  it('let the server go on answering, and are all told what becomes of them', async () => {
    const before = await scrape(server);
    const crowd = new Crowd();
    void crowd.send(COUNT, null, false);
    void crowd.send(COUNT, null, true);
    // Asked while they arrive, and while they wait.
    expect(await healthAnswers(HEALTH_CHECKS)).toBe(HEALTH_CHECKS);
    await eventually('a long queue', async () => (await queueDepth(server)) > 1.8 * COUNT);
    expect(await healthAnswers(HEALTH_CHECKS)).toBe(HEALTH_CHECKS);

    // Who has ten seconds, beside thousands that have ten minutes, goes first: a hundred runs' time, for twenty times as many.
    const hurried = crowd.send(COUNT, 10_000, false);
    const replies = await Promise.all(hurried);
    const codes = codesOf(replies);
    const served = codes.filter((code) => code === OK).length;
    const refused = codes.filter((code) => code === RESOURCE_EXHAUSTED).length;
    console.info(`${COUNT} within ten seconds: ${served} served, ${refused} refused`);
    expect(served).toBeGreaterThan(0);
    // The others expired, or were let in for a test of what is believed.
    expect(refused).toBeGreaterThan(0.9 * (COUNT - served));
    expect(await healthAnswers(HEALTH_CHECKS)).toBe(HEALTH_CHECKS);

    crowd.leave();
    const ended = await Promise.all(crowd.answers);
    const all = codesOf(ended);
    const turnedAway = ended.filter(isTurnedAway).length;
    expect(all).toHaveLength(3 * COUNT);
    console.info(`${turnedAway} turned away before they were requests`);
    expect(all.filter((code) => code === CANCELLED).length).toBeGreaterThan(1.5 * COUNT);
    await eventually('an empty queue', async () => (await queueDepth(server)) === 0);
    const after = await scrape(server);
    const grown = (name: string, labels: Readonly<Record<string, string>> = {}): number =>
      after.sum(name, labels) - before.sum(name, labels);
    await eventually('an outcome for each', async () => {
      const outcomes = (await scrape(server)).sum('sponge_outcomes_total') - before.sum('sponge_outcomes_total');
      return outcomes === 3 * COUNT - turnedAway;
    });
    expect(grown('sponge_outcomes_total', { outcome: 'rejected_overload', reason: 'queue_full' })).toBe(0);
    expect(grown('sponge_worker_losses_total')).toBe(0);
    crowd.close();

    // And serves on.
    const client = new GrpcClient(server);
    const { error } = await client.infer(grpcRequest('slow', [slowInput(1)]));
    expect(error).toBeNull();
    client.close();
  });
});
