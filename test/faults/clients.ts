import { setTimeout as delay } from 'node:timers/promises';
import { Prng } from '../../src/scheduler/random/prng.js';
import { GrpcClient } from './ask-grpc.js';
import { askingRaw } from './ask-raw.js';
import { RestClient } from './ask-rest.js';
import type { Excuses, Ledger } from './ledger.js';
import { makeQuestion, type QuestionKind } from './questions.js';
import type { RunningServer } from '../system/server/harness.js';
import type { Ask, ClientRequest } from './client-request.js';

/*
 * Clients that ask, wait for the answer, and ask again; some at a time all at once. What request n is follows from the seed
 * and n alone, whoever sends it and when.
 */

/** What clients do that is a fault, or looks like one; the share of requests that do it. */
export const MISBEHAVIOURS = {
  poison: 0.002,
  cancels: 0.25,
  'half-close': 0.15,
  'slow-readers': 0.04,
  'slow-writers': 0.1,
  'clock-steps': 0.5,
} as const;

export type Misbehaviour = keyof typeof MISBEHAVIOURS;

export interface LoadOptions {
  readonly server: Pick<RunningServer, 'rest' | 'grpc' | 'port'>;
  readonly ledger: Ledger;
  readonly excuses: Excuses;
  readonly seed: number;
  /** Number of the first request. */
  readonly from: number;
  readonly count: number;
  /** Each asks one request at a time. */
  readonly clients: number;
  /** Asked after so many: false to go on. */
  readonly isEnough: () => boolean;
  /** Nothing more will be sent; what is under way is still to be answered. */
  readonly onAllSent: () => void;
  readonly misbehaviours: readonly Misbehaviour[];
}

/** One request in so many is the first of a burst. */
const BURST_EVERY = 1500;
const BURST_SIZE = 200;
/** Before asking again where there is nobody. */
const BROKEN_PAUSE_MS = 50;
/** The longest deadline is 30 s: when nothing has ended for longer, what is left never will. */
const LOST_AFTER_MS = 45_000;
/** How far clocks of clients are off, and how far each steps when it does. */
const CLOCK_OFFSETS_MS = [0, -2000, 2000, 3_600_000, -3_600_000] as const;
const STAMPING_CLIENTS = 8;
/** A client's clock steps after so many requests of all. */
const CLOCK_STEP_EVERY = 400;

interface Errand {
  readonly clientRequest: ClientRequest;
  readonly ask: Ask;
  readonly manner: string;
  readonly isSlowClient: boolean;
}

/** @returns the number of the request that would have been next */
export async function runLoad(options: LoadOptions): Promise<number> {
  const { server, ledger, excuses, from, count, isEnough, onAllSent } = options;
  const clients = { rest: new RestClient(server.rest), grpc: new GrpcClient(server.grpc) };
  let next = from;
  const end = from + count;
  const send = async (n: number): Promise<void> => {
    const { clientRequest, ask, manner, isSlowClient } = errandOf(n, options, clients);
    const isInStream = ask === clients.grpc.streamed;
    ledger.send({ clientRequest, manner, isSlowClient, isInStream, sentAtMs: performance.now() });
    const reply = await ask(clientRequest);
    ledger.end(clientRequest.id, reply, performance.now(), excuses);
    const isNobodyThere = reply.kind === 'broken' || (reply.kind === 'refused' && reply.reason === null);
    if (isNobodyThere) await delay(BROKEN_PAUSE_MS);
  };
  const client = async (): Promise<void> => {
    while (next < end || !isEnough()) {
      const n = next++;
      if (n % BURST_EVERY !== BURST_EVERY - 1) await send(n);
      else {
        next += BURST_SIZE - 1;
        await Promise.all(Array.from({ length: BURST_SIZE }, (_, i) => send(n + i)));
      }
    }
    onAllSent();
  };
  const lost = watchProgress(ledger);
  await Promise.race([Promise.all(Array.from({ length: options.clients }, client)), lost.promise]);
  lost.stop();
  ledger.giveUp();
  clients.grpc.close();
  await clients.rest.close();
  return next;
}

/** Resolves when nothing at all has ended for as long as nothing takes. */
function watchProgress(ledger: Ledger): { readonly promise: Promise<void>; stop(): void } {
  let endedCount = 0;
  let sinceMs = performance.now();
  let timer: NodeJS.Timeout | undefined;
  const promise = new Promise<void>((resolve) => {
    timer = setInterval(() => {
      const nowEnded = ledger.sent - ledger.pendingCount;
      if (nowEnded !== endedCount || ledger.pendingCount === 0) sinceMs = performance.now();
      endedCount = nowEnded;
      if (performance.now() - sinceMs > LOST_AFTER_MS) resolve();
    }, 1000);
  });
  return { promise, stop: () => clearInterval(timer) };
}

function errandOf(
  n: number,
  { seed, server, misbehaviours }: LoadOptions,
  { rest, grpc }: { readonly rest: RestClient; readonly grpc: GrpcClient },
): Errand {
  const prng = new Prng(seed * 2 ** 32 + n);
  const does = (what: Misbehaviour): boolean => misbehaviours.includes(what) && prng.uniform() < MISBEHAVIOURS[what];
  const isPoison = does('poison');
  const isSlowReader = does('slow-readers');
  const kind = isPoison ? 'poison' : isSlowReader ? 'large' : drawKind(prng);
  const isStamping = does('clock-steps');
  const client = prng.int(STAMPING_CLIENTS);
  const isPatient = isPoison || isSlowReader || !does('cancels');
  const clientRequest: ClientRequest = {
    question: makeQuestion(kind, n, prng),
    id: String(n),
    ...drawDeadline(prng),
    clockOffsetMs: isStamping
      ? CLOCK_OFFSETS_MS[(client + Math.floor(n / CLOCK_STEP_EVERY)) % CLOCK_OFFSETS_MS.length]!
      : null,
    client: isStamping ? `phone ${client}` : null,
    leaveAfterMs: isPatient ? null : prng.int(60),
  };
  const raw = (manner: string, { isHalfClosing = false, isSlowWriter = false, readsAfterMs = 0 }): Errand => ({
    clientRequest: { ...clientRequest, leaveAfterMs: null },
    ask: askingRaw(server.port, { isHalfClosing, isSlowWriter, readsAfterMs }, prng),
    manner,
    isSlowClient: isSlowWriter || readsAfterMs > 0,
  });
  if (isSlowReader) return raw('REST, reads slowly', { readsAfterMs: 200 + prng.int(800) });
  if (does('half-close')) return raw('REST, half-closed', { isHalfClosing: true });
  if (does('slow-writers')) return raw('REST, writes slowly', { isSlowWriter: true });
  const errand = (manner: string, ask: Ask): Errand => ({ clientRequest, ask, manner, isSlowClient: false });
  const draw = prng.uniform();
  if (draw < 0.35) return errand('REST JSON', rest.asking('json'));
  if (draw < 0.55) return errand('REST binary', rest.asking('binary'));
  if (draw < 0.6) return errand('REST gzip', rest.asking('gzip'));
  if (draw < 0.8) return errand('gRPC raw', grpc.raw);
  if (draw < 0.88) return errand('gRPC typed', grpc.typed);
  return { ...errand('gRPC stream', grpc.streamed), clientRequest: { ...clientRequest, leaveAfterMs: null } };
}

function drawKind(prng: Prng): QuestionKind {
  const draw = prng.uniform();
  if (draw < 0.4) return 'affine';
  if (draw < 0.55) return 'affine_alone';
  if (draw < 0.65) return 'slow';
  if (draw < 0.8) return 'divide';
  return draw < 0.9 ? 'strings' : 'any_length';
}

function drawDeadline(prng: Prng): Pick<ClientRequest, 'sloMs' | 'isBestEffort'> {
  const draw = prng.uniform();
  if (draw < 0.15) return { sloMs: null, isBestEffort: false };
  if (draw < 0.2) return { sloMs: 20 + prng.int(500), isBestEffort: true };
  if (draw < 0.35) return { sloMs: 1 + prng.int(20), isBestEffort: false };
  if (draw < 0.7) return { sloMs: 50 + prng.int(950), isBestEffort: false };
  return { sloMs: 5000 + prng.int(25_000), isBestEffort: false };
}
