import { describe, expect, it } from 'vitest';
import { REASONS, type Reason } from '../../src/scheduler/domain/outcome.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { Ledger, overlaps, type Excuses } from './ledger.js';
import { differenceFrom, makeQuestion, MODELS, type QuestionKind } from './questions.js';
import { differencesOf, sumsBetween, type ServerSums } from './sums.js';
import type { Reply, ClientRequest } from './client-request.js';

/* A suite that finds nothing says little unless it finds what is there. */

const NO_EXCUSE: Excuses = { routerAway: [], clientBusy: [] };
const KINDS: readonly QuestionKind[] = ['affine', 'affine_alone', 'slow', 'divide', 'strings', 'any_length'];

function clientRequest(id: string, sloMs: number | null = 100, kind: QuestionKind = 'affine'): ClientRequest {
  const question = makeQuestion(kind, Number(id), new Prng(Number(id)));
  return { question, id, sloMs, isBestEffort: false, clockOffsetMs: null, client: null, leaveAfterMs: null };
}

function sent(
  ledger: Ledger,
  asked: ClientRequest,
  { isInStream = false, isSlowClient = false, sentAtMs = 0 } = {},
): ClientRequest {
  ledger.send({ clientRequest: asked, manner: 'test', isSlowClient, isInStream, sentAtMs });
  return asked;
}

function rightReply({ id, question }: ClientRequest): Reply {
  return { kind: 'answered', id, outputs: question.expected };
}

function kinds(ledger: Ledger): string[] {
  return ledger.findings.map(({ kind }) => kind);
}

function sums(completed: number, byReason: Partial<Record<Reason, number>> = {}): ServerSums {
  return {
    completed,
    byReason: new Map(REASONS.map((reason) => [reason, byReason[reason] ?? 0])),
    edgeByReason: null,
    queueDepth: 0,
  };
}

describe('questions', () => {
  it.each(KINDS)('of %s are never answered by the answer to another', (kind) => {
    const questions = Array.from({ length: 200 }, (_, n) => makeQuestion(kind, n, new Prng(n)));
    for (const [i, { model, expected }] of questions.entries()) {
      expect(model in MODELS).toBe(true);
      expect(differenceFrom(expected, expected)).toBeNull();
      expect(differenceFrom(expected, questions[(i + 1) % questions.length]!.expected)).not.toBeNull();
    }
  });

  it('are the same for the same number and seed', () => {
    const make = () => KINDS.map((kind) => makeQuestion(kind, 7, new Prng(7)));
    expect(make()).toEqual(make());
  });

  it('say what is wrong with an output of another shape, and with one bit', () => {
    const { expected } = makeQuestion('affine_alone', 3, new Prng(3));
    const [y] = expected;
    expect(differenceFrom(expected, [{ ...y!, shape: [2, 2] }])).toContain('[2,2]');
    const data = Uint8Array.from(y!.data);
    data[31]! ^= 1;
    expect(differenceFrom(expected, [{ ...y!, data }])).toMatch(/^y is [0-9a-f]+…, expected/);
  });
});

describe('the ledger', () => {
  it('finds nothing where each answer is right and in time', () => {
    const ledger = new Ledger();
    for (const id of ['1', '2']) ledger.end(id, rightReply(sent(ledger, clientRequest(id))), 90, NO_EXCUSE);
    ledger.giveUp();
    expect([ledger.sent, ledger.right, ledger.findings]).toEqual([2, 2, []]);
    expect(ledger.latestMs).toBe(-10);
  });

  it('finds an answer that was meant for another, also under its own id', () => {
    const ledger = new Ledger();
    const other = clientRequest('2');
    sent(ledger, clientRequest('1'));
    ledger.end('1', rightReply(other), 1, NO_EXCUSE);
    sent(ledger, clientRequest('3'));
    ledger.end('3', { kind: 'answered', id: '3', outputs: other.question.expected }, 1, NO_EXCUSE);
    expect(kinds(ledger)).toEqual(['wrong', 'wrong']);
    expect(ledger.right).toBe(0);
  });

  it('finds an answer to poison, and takes an error for right', () => {
    const ledger = new Ledger();
    const poison = sent(ledger, clientRequest('1', 100, 'poison'));
    ledger.end('1', rightReply(poison), 1, NO_EXCUSE);
    expect(kinds(ledger)).toEqual(['wrong']);
    sent(ledger, clientRequest('2', 100, 'poison'));
    ledger.end('2', { kind: 'refused', status: { http: 500 }, reason: 'backend', message: '' }, 1, NO_EXCUSE);
    expect([ledger.poisoned, ledger.findings.length]).toEqual([1, 1]);
  });

  it('finds requests that end twice, and those that never do', () => {
    const ledger = new Ledger();
    const asked = sent(ledger, clientRequest('1'));
    sent(ledger, clientRequest('2'));
    ledger.end('1', rightReply(asked), 1, NO_EXCUSE);
    ledger.end('1', rightReply(asked), 2, NO_EXCUSE);
    ledger.giveUp();
    expect(kinds(ledger)).toEqual(['unexpected', 'lost']);
    expect(ledger.pendingCount).toBe(0);
  });

  it('finds refusals without a reason, and reasons with the status of another', () => {
    const ledger = new Ledger();
    const refusals = [
      { kind: 'refused', status: { http: 500 }, reason: null, message: 'internal error' },
      { kind: 'refused', status: { http: 500 }, reason: 'expired', message: '' },
      { kind: 'refused', status: { http: 504 }, reason: 'expired', message: '' },
      { kind: 'refused', status: { grpc: 4 }, reason: 'expired', message: '' },
      { kind: 'refused', status: null, reason: 'queue_full', message: 'queue is full' },
    ] as const;
    for (const [i, reply] of refusals.entries()) {
      sent(ledger, clientRequest(String(i)));
      ledger.end(String(i), reply, 1, NO_EXCUSE);
    }
    expect(kinds(ledger)).toEqual(['unexpected', 'unexpected']);
    expect([ledger.reasonless, ledger.refusedCount]).toEqual([1, 4]);
  });

  it('finds answers that are more than a second behind their deadline, unless router or client were away', () => {
    const ledger = new Ledger();
    const late = (id: string, excuses: Excuses) =>
      ledger.end(id, rightReply(sent(ledger, clientRequest(id))), 1101, excuses);
    late('1', NO_EXCUSE);
    expect(kinds(ledger)).toEqual(['late']);
    expect(ledger.latestMs).toBe(1001);
    late('2', { ...NO_EXCUSE, routerAway: [{ fromMs: 1000, untilMs: Number.POSITIVE_INFINITY }] });
    late('3', { ...NO_EXCUSE, clientBusy: [{ fromMs: 200, untilMs: 500 }] });
    late('4', { ...NO_EXCUSE, routerAway: [{ fromMs: 1102, untilMs: 2000 }] });
    expect([kinds(ledger), ledger.lateExcused]).toEqual([['late', 'late'], 2]);
  });

  it('counts the time of a stream from the latest deadline of those whose answers come before', () => {
    const ledger = new Ledger();
    const first = sent(ledger, clientRequest('1', 5000), { isInStream: true });
    const second = sent(ledger, clientRequest('2', 100), { isInStream: true });
    ledger.end('1', rightReply(first), 4000, NO_EXCUSE);
    ledger.end('2', rightReply(second), 4000, NO_EXCUSE);
    expect(ledger.findings).toEqual([]);
    const third = sent(ledger, clientRequest('3', 100), { isInStream: true, sentAtMs: 4000 });
    ledger.end('3', rightReply(third), 5200, NO_EXCUSE);
    expect(kinds(ledger)).toEqual(['late']);
  });

  it('finds a connection that broke while the router was there', () => {
    const ledger = new Ledger();
    for (const id of ['1', '2']) sent(ledger, clientRequest(id));
    const broken: Reply = { kind: 'broken', what: 'ECONNRESET' };
    ledger.end('1', broken, 10, { ...NO_EXCUSE, routerAway: [{ fromMs: 5, untilMs: 20 }] });
    ledger.end('2', broken, 10, NO_EXCUSE);
    expect([ledger.brokenCount, kinds(ledger)]).toEqual([2, ['unexpected']]);
  });
});

describe('sums', () => {
  function ledgerOf(right: number, left: number): Ledger {
    const ledger = new Ledger();
    for (let n = 0; n < right + left; n++) {
      const asked = sent(ledger, clientRequest(String(n)));
      ledger.end(asked.id, n < right ? rightReply(asked) : { kind: 'left' }, 1, NO_EXCUSE);
    }
    return ledger;
  }

  it('agree to the last request', () => {
    expect(differencesOf(ledgerOf(5, 0), sums(5))).toEqual([]);
    expect(differencesOf(ledgerOf(5, 0), sums(6))).toEqual(['completed: the server counts 6, its clients 5']);
    expect(differencesOf(ledgerOf(5, 0), sums(4))).toEqual(['completed: the server counts 4, its clients 5']);
    expect(differencesOf(ledgerOf(5, 0), sums(5, { expired: 1 }))).toHaveLength(1);
  });

  it('leave room for what clients that left were not told, and for no more', () => {
    expect(differencesOf(ledgerOf(5, 3), sums(6, { cancelled: 2 }))).toEqual([]);
    expect(differencesOf(ledgerOf(5, 3), sums(7, { cancelled: 2 }))).toHaveLength(1);
  });

  it('count what the edge refused, where the server says how much that is', () => {
    const ledger = new Ledger();
    sent(ledger, clientRequest('1'));
    const message = '10 calls are in progress, which is the limit; try again later';
    ledger.end('1', { kind: 'refused', status: { http: 429 }, reason: 'queue_full', message }, 1, NO_EXCUSE);
    expect(differencesOf(ledger, sums(0))).toEqual([]);
    expect(differencesOf(ledger, { ...sums(0), edgeByReason: new Map([['queue_full', 1]]) })).toEqual([]);
    expect(differencesOf(ledger, { ...sums(0), edgeByReason: new Map() })).toHaveLength(1);
  });

  it('are what was counted between two readings', () => {
    const between = sumsBetween(sums(3, { expired: 2 }), sums(8, { expired: 4, backend: 1 }));
    expect([between.completed, between.byReason.get('expired'), between.byReason.get('backend')]).toEqual([5, 2, 1]);
  });
});

describe('intervals', () => {
  it('overlap where they share an instant', () => {
    const intervals = [
      { fromMs: 0, untilMs: 10 },
      { fromMs: 20, untilMs: 30 },
    ];
    expect(overlaps(intervals, { fromMs: 11, untilMs: 19 })).toBe(false);
    expect(overlaps(intervals, { fromMs: 10, untilMs: 12 })).toBe(true);
    expect(overlaps(intervals, { fromMs: 25, untilMs: 26 })).toBe(true);
    expect(overlaps(intervals, { fromMs: 5, untilMs: 40 })).toBe(true);
    expect(overlaps(intervals, { fromMs: 31, untilMs: 40 })).toBe(false);
  });
});
