import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { Client, InferenceError, tensorOf } from '../src/protocol/client/index.js';
import type { Tensor } from '../src/scheduler/domain/tensor.js';
import { bench, type Scope } from './harness/bench.js';
import { Disturbed } from './harness/disturbed.js';
import { DEADLY_SHAPES, LINE_ELEMENTS, writeDeadlyModel } from './harness/deadly-model.js';
import { atMost, isTiny, report } from './harness/row.js';
import { startSponge, type SpongeServer } from './harness/sponge-server.js';

/*
 * What others lose by a worker's deaths, with a spare process and without: of good requests to the text recogniser, the share that is not
 * answered within its budget while ten requests a minute, each of another content and client, end the worker, and while it is killed
 * every five seconds; and how long after a kill the first request is answered. The worker was lost once before, so that there is a spare.
 */

const DURATION_MS = isTiny ? 2000 : 30_000;
const ROUNDS = isTiny ? 1 : 3;
const RATE_PER_SEC = 10;
/** Every other request has the one or the other: what a restart leaves time for, and what is over before it ends. */
const BUDGETS_MS = [2000, 500] as const;
const POISON_EVERY_MS = isTiny ? 1000 : 6000;
const KILL_EVERY_MS = isTiny ? 1000 : 5000;
const SPARE_TIMEOUT_MS = 60_000;

type Fault = 'none' | 'poison' | 'kill';
type Mode = 'after-crash' | 'never';
const MODES = ['after-crash', 'never'] as const;

interface Losses {
  /** In percent, by budget. */
  readonly lostShares: readonly number[];
  /** From each kill to the first answer of a request that was sent after it. */
  readonly answeredAfterMs: readonly number[];
}

await bench(async (scope) => {
  const modelPath = writeDeadlyModel(scope.folder());
  const found = new Map<string, Losses[]>();
  const losses = (fault: Fault, mode: Mode): Losses[] => found.get(`${fault} ${mode}`) ?? [];
  for (let round = 0; round < ROUNDS; round++) {
    for (const fault of ['none', 'poison', 'kill'] as const) {
      for (const mode of fault === 'none' ? (['never'] as const) : MODES)
        found.set(`${fault} ${mode}`, [...losses(fault, mode), await lossesOf(scope, modelPath, fault, mode)]);
    }
  }
  const sharesOf = (fault: Fault, mode: Mode, index: number): number[] =>
    losses(fault, mode).map(({ lostShares }) => lostShares[index]!);
  const rows = (what: string, fault: Fault, most: number): void =>
    BUDGETS_MS.forEach((budgetMs, index) => {
      const undisturbed = sharesOf('none', 'never', index).map((share) => share.toFixed(1));
      report({
        what: `good requests lost, ${what}, budget ${budgetMs} ms`,
        unit: '%',
        ours: sharesOf(fault, 'after-crash', index),
        baseline: { what: 'without a spare', values: sharesOf(fault, 'never', index) },
        budget: atMost(most),
        note: `OCR, ${RATE_PER_SEC}/s good ones for ${DURATION_MS / 1000} s; without faults ${undisturbed.join(', ')}`,
      });
    });
  rows('10 poison requests a minute', 'poison', 0.5);
  rows('a kill −9 every 5 s', 'kill', 2);
  report({
    what: 'from a kill −9 to the first answer',
    unit: 'ms',
    ours: losses('kill', 'after-crash').flatMap(({ answeredAfterMs }) => answeredAfterMs),
    baseline: {
      what: 'without a spare',
      values: losses('kill', 'never').flatMap(({ answeredAfterMs }) => answeredAfterMs),
    },
    budget: null,
    note: `OCR, ${RATE_PER_SEC}/s; of those that were sent after the kill, the run included`,
  });
});

/** One line of text with as much noise as makes it no other's, and what is divided by. */
function inputsOf(divisors: readonly number[]): readonly Tensor[] {
  const line = Float32Array.from({ length: LINE_ELEMENTS }, (_, index) => ((index * 31) % 97) / 97);
  return [tensorOf('x', [1, 3, 48, 320], line), tensorOf('p', [1, 4], BigInt64Array.from(divisors.map(BigInt)))];
}

/** @returns whether it was answered in time */
async function send(
  server: SpongeServer,
  divisors: readonly number[],
  client: string,
  budgetMs: number,
): Promise<boolean> {
  const sending = new Client(`http://127.0.0.1:${server.restPort}`, { name: client });
  const call = { model: 'ocr', inputs: inputsOf(divisors), outputNames: ['q'], sloMs: budgetMs };
  const answer = await sending.infer(call).catch((error: unknown) => {
    if (error instanceof InferenceError) return null;
    throw error;
  });
  return answer !== null && answer.header.parameters?.['sponge_late'] !== true;
}

async function lossesOf(scope: Scope, modelPath: string, fault: Fault, mode: Mode): Promise<Losses> {
  const flags = [modelPath, ...DEADLY_SHAPES, '--no-refine', '--instances', 'auto', '--spare-workers', mode];
  const server = await startSponge(scope, flags);
  await crashOnce(server, mode);
  const startedAtMs = performance.now();
  const answers: Promise<boolean>[] = [];
  const faults: Promise<unknown>[] = [];
  const answeredAfterMs: number[] = [];
  let [nextFaultMs, faultCount] = [fault === 'kill' ? KILL_EVERY_MS / 2 : POISON_EVERY_MS / 2, 1];
  /** The latest, and whether a request that was sent after it has been answered. */
  let kill: { readonly atMs: number; isAnswered: boolean } | null = null;
  const hurt = (): void => {
    faultCount += 1;
    if (fault === 'poison') {
      faults.push(send(server, [-2, 0, 0, faultCount], `bad ${faultCount}`, BUDGETS_MS[0]));
      return;
    }
    kill = { atMs: performance.now(), isAnswered: false };
    process.kill(workersOf(server)[0]!, 'SIGKILL');
  };
  const sendGood = async (number: number): Promise<boolean> => {
    const before = kill;
    const isAnswered = await send(server, [1, 2, 3, number], 'good', BUDGETS_MS[number % 2]!);
    if (before !== null && isAnswered && !before.isAnswered) {
      before.isAnswered = true;
      answeredAfterMs.push(performance.now() - before.atMs);
    }
    return isAnswered;
  };
  for (;;) {
    const elapsedMs = performance.now() - startedAtMs;
    if (elapsedMs >= DURATION_MS) break;
    if (fault !== 'none' && elapsedMs >= nextFaultMs) {
      nextFaultMs += fault === 'kill' ? KILL_EVERY_MS : POISON_EVERY_MS;
      if (fault === 'poison' || workersOf(server).length > 0) hurt();
    }
    const number = answers.length;
    answers.push(sendGood(number));
    await delay(Math.max(0, ((number + 1) * 1000) / RATE_PER_SEC - (performance.now() - startedAtMs)));
  }
  await Promise.all(faults);
  const isGood = await Promise.all(answers);
  const losses = await server.metric('sponge_worker_losses_total');
  if (losses < faultCount) throw new Disturbed(`${faultCount} times ${fault}, but the worker was lost ${losses} times`);
  await server.stop();
  const lostShares = BUDGETS_MS.map((_, index) => {
    const ofBudget = isGood.filter((_answer, number) => number % 2 === index);
    return (100 * ofBudget.filter((isAnswered) => !isAnswered).length) / ofBudget.length;
  });
  return { lostShares, answeredAfterMs };
}

/** Before it is measured: a model has a spare once it has shown that it needs one. */
async function crashOnce(server: SpongeServer, mode: Mode): Promise<void> {
  process.kill(workersOf(server)[0]!, 'SIGKILL');
  await send(server, [1, 2, 3, 0], 'first', 10_000);
  const untilMs = performance.now() + SPARE_TIMEOUT_MS;
  while ((await server.metric('sponge_spare_ready')) < (mode === 'never' ? 0 : 1)) {
    if (performance.now() > untilMs) throw new Disturbed('there is no spare yet');
    await delay(50);
  }
}

/** The oldest first: that is the one that serves. One that waits for its restart is not there. */
function workersOf({ pid }: SpongeServer): readonly number[] {
  const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim();
  return children === '' ? [] : children.split(' ').map(Number);
}
