import http from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { Prng } from '../../src/scheduler/random/prng.js';

/*
 * An open loop of requests with budgets of their own, in bursts: who is sent when does not depend on what becomes of anybody. On kept
 * connections, as many as it takes.
 */

export interface MixedLoad {
  readonly port: number;
  readonly path: string;
  readonly body: Uint8Array;
  readonly headers: Readonly<Record<string, string>>;
  readonly ratePerSec: number;
  readonly durationMs: number;
  /** Equally likely; null: none stated. */
  readonly budgetsMs: readonly (number | null)[];
  /** Up to so many at once. */
  readonly burst: number;
  readonly seed: number;
}

export interface MixedResult {
  readonly sent: number;
  readonly onTime: number;
  readonly late: number;
  /** 429 and 504, by reason. */
  readonly refused: ReadonlyMap<string, number>;
  /** Connection errors, and any other status. */
  readonly failed: ReadonlyMap<string, number>;
  /** No answer long after the deadline. */
  readonly hung: number;
  readonly latenciesMs: readonly number[];
}

/** Beyond the deadline by so long is never. */
const HUNG_AFTER_MS = 20_000;

export async function runMixedLoad(load: MixedLoad): Promise<MixedResult> {
  const agent = new http.Agent({ keepAlive: true, maxSockets: 1024, maxFreeSockets: 1024 });
  const prng = new Prng(load.seed);
  const refused = new Map<string, number>();
  const failed = new Map<string, number>();
  const counts = { sent: 0, onTime: 0, late: 0, hung: 0 };
  const latenciesMs: number[] = [];
  const answers: Promise<void>[] = [];
  const send = (budgetMs: number | null): void => {
    counts.sent += 1;
    const sentAtMs = performance.now();
    answers.push(
      ask(agent, load, budgetMs).then(({ kind, word }) => {
        const tookMs = performance.now() - sentAtMs;
        if (kind === 'served') {
          latenciesMs.push(tookMs);
          counts[tookMs <= (budgetMs ?? Infinity) ? 'onTime' : 'late'] += 1;
        } else if (kind === 'hung') counts.hung += 1;
        else {
          const words = kind === 'refused' ? refused : failed;
          words.set(word, (words.get(word) ?? 0) + 1);
        }
      }),
    );
  };
  const startedAtMs = performance.now();
  const gapMs = (1000 * (load.burst + 1)) / 2 / load.ratePerSec;
  for (let atMs = prng.exponential(gapMs); atMs < load.durationMs; atMs += prng.exponential(gapMs)) {
    const waitMs = startedAtMs + atMs - performance.now();
    if (waitMs > 0) await delay(waitMs);
    const count = 1 + prng.int(load.burst);
    for (let index = 0; index < count; index++) send(load.budgetsMs[prng.int(load.budgetsMs.length)]!);
  }
  await Promise.all(answers);
  agent.destroy();
  return { ...counts, refused, failed, latenciesMs };
}

interface Answer {
  readonly kind: 'served' | 'refused' | 'failed' | 'hung';
  readonly word: string;
}

function ask(agent: http.Agent, { port, path, body, headers }: MixedLoad, budgetMs: number | null): Promise<Answer> {
  return new Promise((resolve) => {
    const budget = budgetMs === null ? {} : { 'request-timeout-ms': String(budgetMs) };
    const timer = setTimeout(
      () => {
        resolve({ kind: 'hung', word: 'hung' });
        request.destroy();
      },
      (budgetMs ?? 0) + HUNG_AFTER_MS,
    );
    const done = (answer: Answer): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    const request = http.request(
      {
        agent,
        host: '127.0.0.1',
        port,
        path,
        method: 'POST',
        headers: { ...headers, 'content-length': body.length, ...budget },
      },
      (response) => {
        response.resume();
        const reason = String(response.headers['x-sponge-reason'] ?? 'none');
        response.once('error', (error) => done({ kind: 'failed', word: error.message }));
        response.once('end', () => {
          const status = response.statusCode!;
          if (status === 200) done({ kind: 'served', word: '' });
          else if (status === 429 || status === 504) done({ kind: 'refused', word: `${status} ${reason}` });
          else done({ kind: 'failed', word: `${status} ${reason}` });
        });
      },
    );
    request.once('error', (error) => done({ kind: 'failed', word: error.message }));
    request.end(body);
  });
}
