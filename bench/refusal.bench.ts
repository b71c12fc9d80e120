import { setTimeout as delay } from 'node:timers/promises';
import { slow, SLOW_WIDTH } from '../research/load-models/tiny-graphs.js';
import { bench } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { startHelper } from './harness/helper.js';
import { jsonRequest } from './harness/messages.js';
import { atMost, isTiny, report } from './harness/row.js';
import { startSponge } from './harness/sponge-server.js';
import { chunks, quantile } from './harness/statistics.js';
import { writeBareModel } from './harness/tensor-models.js';
import type { EchoPorts } from './helpers/echo-server.js';
import { HttpConnection, openSockets, requestBytes } from './helpers/http-client.js';
import type { LoadRequest, LoadResult } from './helpers/load-generator.js';

/*
 * How long a client waits for a refusal while the model runs without a pause, on all the CPU it may have:
 * - infeasible: the budget is shorter than any run; from sending to the 504;
 * - expired: feasible when it comes, but another batch is running and its deadline passes in the queue; from the deadline,
 *   which is sending + budget, to the 504.
 * Between them, on the same busy machine, the baselines: a bare Node server's echo, and its answer after a timer.
 */

const SAMPLES = isTiny ? 2 : 100;
/** Where runs scatter much, few expire. */
const MOST_ATTEMPTS = 1000;
const ROUNDS = isTiny ? 1 : 5;
const STEP_COUNT = 300;
const INPUT = { name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH] } as const;
const DATA = new Array<number>(SLOW_WIDTH).fill(1);
/** Of the planned run: less than any run takes, also on a machine where they scatter so much that a third is not refused. */
const INFEASIBLE_BUDGET_FACTOR = 0.1;
/** Of the planned run: enough to be admitted, less than the batch that has just begun and a run of its own. */
const BUDGET_FACTOR = 1.25;
/**
 * Served where the running batch was much shorter than planned; refused at once where the latency model has just grown; let in
 * although infeasible, as now and then one is, to see whether it still is. Not counted.
 */
const OTHER_ANSWERS: ReadonlySet<string> = new Set(['200', '504 infeasible_at_max_cores', '504 expired']);
/** The model is busy by then. */
const BATCHES_BEFORE = 3;

await bench(async (scope) => {
  const modelPath = writeBareModel(scope.folder(), 'slow', slow(STEP_COUNT));
  const server = await startSponge(scope, [
    ...[modelPath, '--policy', 'static', '--cpu', '1024', '--batch', '1', '--no-idle-release', '--no-refine'],
  ]);
  const echo = await startHelper<string, EchoPorts>(scope, 'echo-server').call('/echo');
  const [socket, echoSocket] = [(await openSockets(server.restPort, 1))[0]!, (await openSockets(echo.http, 1))[0]!];
  scope.onEnd(() => {
    socket.destroy();
    echoSocket.destroy();
  });
  const [ours, bare] = [new HttpConnection(socket), new HttpConnection(echoSocket)];

  const filler = startHelper<LoadRequest, LoadResult>(scope, 'load-generator');
  const target = { protocol: 'http', port: server.restPort, message: jsonRequest('slow', INPUT, DATA) } as const;
  const keepBusy = filler.call({
    kind: 'closed-loop',
    target,
    connectionCount: 3,
    until: { requestCount: Infinity, durationMs: Infinity },
  });
  keepBusy.catch(() => undefined); // ended with its process

  while ((await server.metric('sponge_batches_total')) < BATCHES_BEFORE) await delay(20);

  const exchange = async (connection: HttpConnection, message: Buffer) => {
    const sentAtMs = performance.now();
    const status = await connection.exchange(message);
    return { status, tookMs: performance.now() - sentAtMs };
  };
  const took = async (connection: HttpConnection, message: Buffer, expected: string): Promise<number> => {
    const { status, tookMs } = await exchange(connection, message);
    if (status !== expected) throw new Disturbed(`answered ${status}, expected ${expected}`);
    return tookMs;
  };
  const withBudget = (budgetMs: number): Buffer =>
    requestBytes(jsonRequest('slow', INPUT, DATA, { 'request-timeout-ms': String(budgetMs) }));
  const echoed = requestBytes({ ...target.message, path: '/echo' });

  // At times that do not follow the batches.
  const pause = (): Promise<void> => delay(5 + 20 * Math.random());
  const plannedMs = await plannedLatencyMs(server.restPort);
  const infeasible = withBudget(INFEASIBLE_BUDGET_FACTOR * plannedMs);
  const infeasibleMs: number[] = [];
  const echoMs: number[] = [];
  await collect('504 infeasible_at_max_cores', async () => {
    await pause();
    const { status, tookMs } = await exchange(ours, infeasible);
    await pause();
    echoMs.push(await took(bare, echoed, '200'));
    if (status === '504 infeasible_at_max_cores') infeasibleMs.push(tookMs);
    return status;
  });
  reportBoth('infeasible', infeasibleMs, { what: 'bare node:http echo', ms: echoMs }, '504 at once, the model running');

  const lateMs: number[] = [];
  const timerLateMs: number[] = [];
  const budgetsMs: number[] = [];
  await collect('504 expired', async () => {
    // As this one is answered, the next batch begins.
    const budgetMs = Math.ceil(BUDGET_FACTOR * (await plannedLatencyMs(server.restPort)));
    const { status, tookMs } = await exchange(ours, withBudget(budgetMs));
    if (status === '504 expired') {
      lateMs.push(tookMs - budgetMs);
      budgetsMs.push(budgetMs);
    }
    const headers = { 'x-delay-ms': String(budgetMs) };
    const timer = requestBytes({ ...target.message, path: '/echo', headers });
    timerLateMs.push((await took(bare, timer, '504')) - budgetMs);
    return status;
  });
  const note = `after the deadline; budgets of ${Math.min(...budgetsMs)} to ${Math.max(...budgetsMs)} ms`;
  reportBoth('expired', lateMs, { what: 'bare timer', ms: timerLateMs }, note);
});

/** Asks until the answer was the expected one often enough. @throws Disturbed at an answer of a third kind, or when it hardly ever is */
async function collect(expected: string, ask: () => Promise<string>): Promise<void> {
  let count = 0;
  for (let attempt = 0; count < SAMPLES; attempt++) {
    if (attempt === MOST_ATTEMPTS) throw new Disturbed(`only ${count} of ${attempt} answers were '${expected}'`);
    const status = await ask();
    if (!OTHER_ANSWERS.has(status)) throw new Disturbed(`answered '${status}' in place of '${expected}'`);
    if (status === expected) count++;
  }
}

/** What admission reckons with for one request alone at the largest allocation, as an answer tells it. */
async function plannedLatencyMs(port: number): Promise<number> {
  const { path, headers, body } = jsonRequest('slow', INPUT, DATA);
  const response = await fetch(`http://127.0.0.1:${port}${path}`, { method: 'POST', headers, body });
  const { parameters } = (await response.json()) as { parameters: { sponge_planned_us: number } };
  return parameters.sponge_planned_us / 1000;
}

function reportBoth(
  kind: string,
  oursMs: readonly number[],
  baseline: { readonly what: string; readonly ms: readonly number[] },
  note: string,
): void {
  for (const [percentile, fraction] of [
    ['p50', 0.5],
    ['p99', 0.99],
  ] as const) {
    const ofRounds = (values: readonly number[]) => chunks(values, ROUNDS).map((round) => quantile(round, fraction));
    report({
      what: `answer to an ${kind} request, ${percentile}`,
      unit: 'ms',
      ours: ofRounds(oursMs),
      baseline: { what: baseline.what, values: ofRounds(baseline.ms) },
      budget: percentile === 'p99' ? atMost(5) : null,
      note,
    });
  }
}
