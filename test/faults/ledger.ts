import { REASONS, type Reason } from '../../src/scheduler/domain/outcome.js';
import { statusOfReason } from '../../src/protocol/status.js';
import { differenceFrom } from './questions.js';
import type { Reply, ClientRequest } from './client-request.js';

/*
 * What became of every request, from the client's side: each is sent once and ends once, as right, as refused or failed by a
 * reason, as left by its client, or as broken by a fault that breaks connections. All else is a finding.
 */

/** Beyond its deadline an answer may take so long. */
const GRACE_MS = 1000;
/** A client sees its answers late while its event loop is busy for more than this of its time. */
const BUSY_SHARE = 0.9;
const BUSY_WINDOW_MS = 200;
const MAX_FINDINGS_KEPT = 20;

export interface Interval {
  readonly fromMs: number;
  /** Infinity while it lasts. */
  readonly untilMs: number;
}

/** What explains a late answer or a broken connection. Instants of `performance.now()`. */
export interface Excuses {
  /** The router was killed, stopped, without descriptors, or not yet there again. */
  readonly routerAway: readonly Interval[];
  readonly clientBusy: readonly Interval[];
}

export interface Finding {
  readonly kind: 'wrong' | 'lost' | 'late' | 'unexpected' | 'sums';
  readonly what: string;
}

export interface Asked {
  readonly clientRequest: ClientRequest;
  /** How it was asked, for findings. */
  readonly manner: string;
  /** It writes or reads slowly: what that costs is its own. */
  readonly isSlowClient: boolean;
  /** A stream answers in the order of its requests: this one's answer waits for those of the requests before it. */
  readonly isInStream: boolean;
  readonly sentAtMs: number;
}

const isReason = (text: string | null): text is Reason => (REASONS as readonly (string | null)[]).includes(text);

export class Ledger {
  sent = 0;
  right = 0;
  left = 0;
  /** Poison that was answered with an error, as is right. */
  poisoned = 0;
  /** Answers that were late because the client was busy or the router was away. */
  lateExcused = 0;
  /** Longest that an answer came behind its deadline, of those that nothing excuses; negative before any. */
  latestMs = Number.NEGATIVE_INFINITY;
  readonly refused = new Map<Reason, number>();
  /** Refused with `queue_full` before a model had it, by the message. */
  refusedAtEdge = 0;
  /** Refused while the server was not ready after a restart; without a reason of the protocol. */
  notReady = 0;
  /** Refused by no reason of the protocol's: each a finding. */
  reasonless = 0;
  /** By what the connection said. */
  readonly broken = new Map<string, number>();
  readonly findings: Finding[] = [];
  readonly #findingCounts = new Map<Finding['kind'], number>();
  readonly #pending = new Map<string, Asked>();
  #isGivenUp = false;
  /** By id, of those in the stream: when all that it waits for, itself included, is due. */
  readonly #streamDueAtMs = new Map<string, number>();

  send(asked: Asked): void {
    this.sent += 1;
    const { id } = asked.clientRequest;
    this.#pending.set(id, asked);
    if (asked.isInStream) {
      const before = [...this.#streamDueAtMs.values()].at(-1) ?? 0;
      this.#streamDueAtMs.set(id, Math.max(before, dueAtMs(asked)));
    }
  }

  get pendingCount(): number {
    return this.#pending.size;
  }

  countOf(kind: Finding['kind']): number {
    return this.#findingCounts.get(kind) ?? 0;
  }

  get brokenCount(): number {
    return sumOf(this.broken);
  }

  get refusedCount(): number {
    return sumOf(this.refused);
  }

  /** @param atMs when the answer was complete */
  end(id: string, reply: Reply, atMs: number, excuses: Excuses): void {
    const asked = this.#pending.get(id);
    if (this.#isGivenUp) return;
    if (asked === undefined) {
      this.find('unexpected', `request ${id} ended twice, then as ${reply.kind}`);
      return;
    }
    this.#pending.delete(id);
    const streamDueAtMs = this.#streamDueAtMs.get(id);
    this.#streamDueAtMs.delete(id);
    const life: Interval = { fromMs: asked.sentAtMs, untilMs: atMs };
    switch (reply.kind) {
      case 'left':
        this.left += 1;
        return;
      case 'broken':
        increment(this.broken, reply.what);
        if (!overlaps(excuses.routerAway, life)) this.find('unexpected', `${labelOf(asked)}: ${reply.what}`);
        return;
      case 'answered':
        this.#judgeAnswer(asked, reply);
        break;
      case 'refused':
        this.#judgeRefusal(asked, reply, overlaps(excuses.routerAway, life));
    }
    this.#judgeTime(asked, streamDueAtMs ?? dueAtMs(asked), life, excuses);
  }

  /** Whoever waits now is never answered; how their connections end when they are closed is no news. */
  giveUp(): void {
    this.#isGivenUp = true;
    for (const asked of this.#pending.values()) this.find('lost', labelOf(asked));
    this.#pending.clear();
  }

  find(kind: Finding['kind'], what: string): void {
    increment(this.#findingCounts, kind);
    if (this.countOf(kind) <= MAX_FINDINGS_KEPT) this.findings.push({ kind, what });
  }

  #judgeAnswer(asked: Asked, { id, outputs }: Extract<Reply, { kind: 'answered' }>): void {
    const { question } = asked.clientRequest;
    const difference = question.isPoison
      ? 'poison was answered'
      : id === asked.clientRequest.id
        ? differenceFrom(question.expected, outputs)
        : `the answer is that of request ${id}`;
    if (difference === null) this.right += 1;
    else this.find('wrong', `${labelOf(asked)}: ${difference}`);
  }

  #judgeRefusal(
    asked: Asked,
    { status, reason, message }: Extract<Reply, { kind: 'refused' }>,
    isRouterAway: boolean,
  ): void {
    if (!isReason(reason)) {
      const isStarting = isRouterAway && /being loaded|not ready|UNAVAILABLE|shutting down/.test(message);
      if (isStarting) this.notReady += 1;
      else {
        this.reasonless += 1;
        this.find('unexpected', `${labelOf(asked)}: ${JSON.stringify(status)} without a reason: ${message}`);
      }
      return;
    }
    const documented = statusOfReason(reason, 'none');
    const isAsDocumented =
      status === null || ('http' in status ? status.http === documented.http : status.grpc === documented.grpc);
    if (!isAsDocumented) this.find('unexpected', `${labelOf(asked)}: ${reason} as ${JSON.stringify(status)}`);
    if (asked.clientRequest.question.isPoison && documented.http === 500) this.poisoned += 1;
    increment(this.refused, reason);
    if (/calls are in progress|too many bytes are being received/.test(message)) this.refusedAtEdge += 1;
  }

  #judgeTime(asked: Asked, dueAtMs: number, life: Interval, excuses: Excuses): void {
    if (dueAtMs === Number.POSITIVE_INFINITY) return;
    const behindMs = life.untilMs - dueAtMs;
    const isExcused = overlaps(excuses.routerAway, life) || overlaps(excuses.clientBusy, life);
    if (!isExcused) this.latestMs = Math.max(this.latestMs, behindMs);
    if (behindMs <= GRACE_MS) return;
    if (isExcused) this.lateExcused += 1;
    else this.find('late', `${labelOf(asked)}: ${behindMs.toFixed(0)} ms behind its deadline`);
  }
}

/** Infinity where no answer can be late: none was promised, or the client itself is slow. */
function dueAtMs({ clientRequest: { sloMs, isBestEffort }, isSlowClient, sentAtMs }: Asked): number {
  return sloMs === null || isBestEffort || isSlowClient ? Number.POSITIVE_INFINITY : sentAtMs + sloMs;
}

function labelOf({ clientRequest, manner }: Asked): string {
  const slo = clientRequest.sloMs === null ? 'no deadline' : `SLO ${clientRequest.sloMs} ms`;
  return `request ${clientRequest.id} (${clientRequest.question.model}, ${manner}, ${slo})`;
}

/** @param intervals one after another, as they happened */
export function overlaps(intervals: readonly Interval[], { fromMs, untilMs }: Interval): boolean {
  const last = intervals.findLast((each) => each.fromMs <= untilMs);
  return last !== undefined && last.untilMs >= fromMs;
}

function increment<Key>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

function sumOf(counts: ReadonlyMap<unknown, number>): number {
  return [...counts.values()].reduce((sum, count) => sum + count, 0);
}

/** Notices where this process itself was the slow one: its event loop hardly waited, or the machine below it stood still. */
export class BusyWatch {
  readonly intervals: Interval[] = [];
  readonly #timer: NodeJS.Timeout;
  #last = { atMs: performance.now(), utilization: performance.eventLoopUtilization() };

  constructor() {
    this.#timer = setInterval(() => {
      const atMs = performance.now();
      const utilization = performance.eventLoopUtilization();
      const share = performance.eventLoopUtilization(utilization, this.#last.utilization).utilization;
      const fromMs = this.#last.atMs;
      if (share > BUSY_SHARE || atMs - fromMs > 2 * BUSY_WINDOW_MS) this.intervals.push({ fromMs, untilMs: atMs });
      this.#last = { atMs, utilization };
    }, BUSY_WINDOW_MS);
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}
