import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import { EdfQueue } from '../../scheduler/dataplane/edf-queue.js';
import type { OnOutcome } from '../../scheduler/dataplane/queue-entry.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import type { LatencyCurve } from '../../scheduler/perf-model/curve.js';
import type { ServiceNoise } from '../sim/service-noise.js';

/*
 * After SuperServe (NSDI 2025): one queue by deadline, workers of one core, each of which can run any variant at once. A free worker takes
 * from the head what uses up its slack: of the pairs of variant and batch that are in time for the first request, from the bucket of the
 * longest latencies the one of the largest batch, then of the best variant. A head that nothing saves is dropped.
 *
 * Cores are charged while they work, and held for nobody: that is in its favour.
 */

interface PoolVariant {
  readonly name: string;
  /** Typical latency; the pool plans with `plannedFactor` times it. */
  readonly curve: LatencyCurve;
}

interface SlackPoolOptions {
  readonly clock: VirtualClock;
  /** By ascending accuracy. */
  readonly variants: readonly PoolVariant[];
  readonly workers: number;
  readonly maxBatchSize: number;
  /** Of a batch's latency, what 1 % exceed, over the typical one. */
  readonly plannedFactor: number;
  readonly noise: ServiceNoise;
}

interface Waiting {
  readonly sequence: number;
  readonly dueAtMs: number;
  readonly priority: number;
  readonly byteCount: number;
  readonly request: InferRequest;
  readonly onOutcome: OnOutcome;
}

interface Pair {
  readonly variant: PoolVariant;
  readonly batchSize: number;
  readonly plannedMs: number;
  readonly bucket: number;
}

const ONE_CORE = 1000;
const BUCKETS = 32;

export class SlackPool {
  readonly #options: SlackPoolOptions;
  readonly #queue = new EdfQueue<Waiting>();
  readonly #waiting = new Map<number, Waiting>();
  /** Clients that left while theirs ran. */
  readonly #left = new Set<number>();
  /** Within each bucket of latency the one that is taken, by descending latency. */
  readonly #pairs: readonly Pair[];
  #free: number;
  busyCoreMs = 0;
  batches = 0;
  batched = 0;

  constructor(options: SlackPoolOptions) {
    this.#options = options;
    this.#free = options.workers;
    this.#pairs = pairsOf(options);
  }

  submit(request: InferRequest, onOutcome: OnOutcome): void {
    const { sequence, dueAtMs } = request;
    const waiting = { sequence, dueAtMs, priority: 0, byteCount: 0, request, onOutcome };
    this.#waiting.set(sequence, waiting);
    this.#queue.push(waiting);
    this.#dispatch();
  }

  cancel(sequence: number): void {
    const waiting = this.#waiting.get(sequence);
    if (waiting === undefined) {
      this.#left.add(sequence);
      return;
    }
    this.#queue.remove(waiting);
    this.#waiting.delete(sequence);
    waiting.onOutcome({ kind: 'cancelled', reason: 'cancelled' });
  }

  #take(): Waiting {
    const first = this.#queue.pop()!;
    this.#waiting.delete(first.sequence);
    return first;
  }

  #dispatch(): void {
    const { clock, noise } = this.#options;
    while (this.#free > 0) {
      const head = this.#queue.peek();
      if (head === undefined) return;
      const nowMs = clock.nowMs();
      const slackMs = head.dueAtMs - nowMs;
      const pair = this.#pairs.find(
        ({ plannedMs, batchSize }) => plannedMs <= slackMs && batchSize <= this.#queue.size,
      );
      if (pair === undefined) {
        this.#take();
        const lateByMs = Math.max(0, -slackMs);
        head.onOutcome({ kind: 'expired', reason: 'expired', lateByMs });
        continue;
      }
      const { variant, batchSize } = pair;
      const members = Array.from({ length: batchSize }, () => this.#take());
      this.#free -= 1;
      const latencyMs = variant.curve.latencyMs(batchSize, ONE_CORE) * noise.draw(nowMs);
      this.busyCoreMs += latencyMs;
      this.batches += 1;
      this.batched += batchSize;
      clock.scheduleExact(nowMs + latencyMs, () => {
        this.#free += 1;
        for (const member of members) this.#answer(member, pair, nowMs, latencyMs);
        this.#dispatch();
      });
    }
  }

  #answer(
    { request, onOutcome }: Waiting,
    { variant, batchSize, plannedMs }: Pair,
    startMs: number,
    latencyMs: number,
  ): void {
    if (this.#left.delete(request.sequence)) {
      onOutcome({ kind: 'cancelled', reason: 'cancelled' });
      return;
    }
    const service = {
      ...{ queuedMs: startMs - request.receivedAtMs, slackAtDispatchMs: request.dueAtMs - startMs - plannedMs },
      ...{ batchId: 0, batchSize, cpuMillicores: ONE_CORE, threadCount: 1, plannedLatencyMs: plannedMs, latencyMs },
      variant: variant.name,
    };
    onOutcome({ kind: 'completed', isLate: startMs + latencyMs > request.dueAtMs, outputs: [], service });
  }
}

function pairsOf({ variants, maxBatchSize, plannedFactor }: SlackPoolOptions): readonly Pair[] {
  const all = variants.flatMap((variant) =>
    Array.from({ length: maxBatchSize }, (_, index): Pair => {
      const plannedMs = plannedFactor * variant.curve.latencyMs(index + 1, ONE_CORE);
      return { variant, batchSize: index + 1, plannedMs, bucket: 0 };
    }),
  );
  const longest = Math.max(...all.map(({ plannedMs }) => plannedMs));
  return all
    .map((pair) => ({ ...pair, bucket: Math.ceil((BUCKETS * pair.plannedMs) / longest) }))
    .sort(
      (a, b) =>
        b.bucket - a.bucket || b.batchSize - a.batchSize || variants.indexOf(b.variant) - variants.indexOf(a.variant),
    );
}
