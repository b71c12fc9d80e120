import { StartingCores } from '../../src/server/served/starting-cores.js';
import { VirtualClock } from '../../src/scheduler/clock/virtual-clock.js';
import type { Event } from '../../src/scheduler/domain/event.js';
import { outcomeName, type Outcome, type OutcomeName } from '../../src/scheduler/domain/outcome.js';
import type { InferRequest } from '../../src/scheduler/domain/request.js';
import { createNode, type Node } from '../../src/scheduler/node.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import type { Lease, System } from '../../src/scheduler/system.js';
import { describeEvent } from './describe-event.js';
import { mayBeLate } from '../../src/scheduler/dataplane/queue-entry.js';
import { dueAt } from './fixed-latency.js';
import { benchParts, type BenchModel, type BenchPart } from './node-bench.js';

/*
 * One seeded run of a node as it serves: several models on one budget of cores, whose workers die, whose resizes are late or refused or
 * bring about something else, whose instances are borrowed for audits, and beside which models are started. Everything in it follows from its seed.
 *
 * What is checked: each request has one outcome, and nothing waits without an end: not a model that is started, and not the requests of
 * a model that nobody has promised an instant, whatever the load. When the load is over nothing is held.
 */

export interface NodeRunOptions {
  readonly seed: number;
  readonly durationMs: number;
  /** Of each model, in ms of a core a second. */
  readonly loadMillicores: number;
  readonly budgetMillicores?: number;
}

export interface NodeRunReport {
  readonly sent: number;
  readonly outcomes: ReadonlyMap<OutcomeName, number>;
  readonly starts: number;
  /** That a model took to be started. */
  readonly longestStartMs: number;
  /** In which requests of a model were overdue, and none of them had its outcome. */
  readonly longestStillMs: number;
  readonly violations: readonly string[];
  readonly log: string;
}

const MODELS: readonly BenchModel[] = [
  { name: 'quick', instances: 2, msEach: 8 },
  { name: 'middling', instances: 2, msEach: 30 },
  { name: 'slow', instances: 1, msEach: 120, maxBatchSize: 1 },
];
/** A worker that dies is back after so long (`node-bench.ts`), and may die again. */
const KILL_EVERY_MS = 2500;
const BORROW_EVERY_MS = 400;
const START_EVERY_MS = 8000;
/** Overdue for five seconds, they have a batch every ten seconds at least; half of what is run here dies with its worker. */
const MOST_STILL_MS = 30_000;
const MOST_START_WAIT_MS = 5000;
/** In which twice what the node can do in a minute, less what was answered, is done. */
const SETTLE_MS = 60_000;

export async function faultyNode(options: NodeRunOptions): Promise<NodeRunReport> {
  const run = new NodeRun(options);
  await run.finish();
  return run.report();
}

class NodeRun {
  readonly #clock = new VirtualClock({ timerLatenessMs: 1 });
  readonly #prng: Prng;
  readonly #options: NodeRunOptions;
  readonly #budgetMillicores: number;
  readonly #node: Node;
  readonly #parts: readonly BenchPart[];
  readonly #lines: string[] = [];
  readonly #violations: string[] = [];
  readonly #outcomes = new Map<OutcomeName, number>();
  /** By model: those that are held; and since when nobody had its outcome who is overdue and may be. */
  readonly #waiting = MODELS.map(() => new Map<number, InferRequest>());
  readonly #stillSinceMs = MODELS.map(() => 0);
  #sent = 0;
  #starts = 0;
  #longestStartMs = 0;
  #longestStillMs = 0;

  constructor(options: NodeRunOptions) {
    this.#options = options;
    this.#budgetMillicores = options.budgetMillicores ?? 2000;
    this.#prng = new Prng(options.seed);
    const prng = this.#prng;
    this.#parts = benchParts(this.#clock, this.#budgetMillicores, MODELS, {
      delayMs: () => (prng.uniform() < 0.05 ? 30 : 0.2),
      isRefused: () => prng.uniform() < 0.05,
      // Whole cores, or no limit at all, as where a CPU group was lost.
      bringsAbout: (cpuMillicores) => {
        const kind = prng.uniform();
        if (kind < 0.9) return cpuMillicores;
        return kind < 0.95 ? Math.ceil(cpuMillicores / 1000) * 1000 : this.#budgetMillicores;
      },
      noise: () => (prng.uniform() < 0.02 ? 3 : 0.9 + 0.2 * prng.uniform()),
    });
    this.#node = createNode({ clock: this.#clock, budgetMillicores: this.#budgetMillicores });
    this.#parts.forEach(({ model }) => {
      const onEvent = (event: Event): void => void this.#lines.push(`${model.name} ${describeEvent(event)}`);
      this.#node.add({ ...model, onEvent });
    });
  }

  async finish(): Promise<void> {
    this.#node.systems.forEach((system, model) => {
      const { msEach } = MODELS[model]!;
      this.#repeat(msEach * (1000 / this.#options.loadMillicores), () => this.#send(system, model));
      this.#repeat(BORROW_EVERY_MS, () => this.#borrow(system));
    });
    this.#repeat(KILL_EVERY_MS, () => this.#kill());
    this.#repeat(START_EVERY_MS, () => void this.#start());
    const endMs = this.#options.durationMs + SETTLE_MS;
    // Promises of models that start go on between two steps.
    while (this.#clock.nowMs() < endMs) {
      this.#clock.advanceBy(5);
      await Promise.resolve();
      this.#checkWaiting();
    }
    this.#waiting.forEach((requests, model) => {
      for (const { sequence, receivedAtMs } of requests.values())
        this.#violations.push(`${nameOf(sequence, model)}, received at ${receivedAtMs.toFixed(0)}, is still held`);
    });
    this.#node.stop();
  }

  report(): NodeRunReport {
    return {
      sent: this.#sent,
      outcomes: this.#outcomes,
      starts: this.#starts,
      longestStartMs: this.#longestStartMs,
      longestStillMs: this.#longestStillMs,
      violations: this.#violations,
      log: this.#lines.join('\n'),
    };
  }

  /** At exponential intervals, until the load ends. */
  #repeat(meanMs: number, act: () => void): void {
    const atMs = this.#clock.nowMs() + this.#prng.exponential(meanMs);
    if (atMs > this.#options.durationMs) return;
    this.#clock.scheduleExact(atMs, () => {
      act();
      this.#repeat(meanMs, act);
    });
  }

  #send(system: System, model: number): void {
    const prng = this.#prng;
    const nowMs = this.#clock.nowMs();
    const kind = prng.uniform();
    const sloMs = 50 + 950 * prng.uniform();
    const request = dueAt(++this.#sent, nowMs + sloMs, {
      receivedAtMs: nowMs,
      isDeadlineDefaulted: kind < 0.15,
      isBestEffort: kind > 0.95,
    });
    const { sequence } = request;
    const waiting = this.#waiting[model]!;
    waiting.set(sequence, request);
    system.submit(request, (outcome: Outcome) => {
      if (!waiting.delete(sequence)) this.#violations.push(`${nameOf(sequence, model)} had two outcomes`);
      const kindOfEnd = outcomeName(outcome);
      this.#outcomes.set(kindOfEnd, (this.#outcomes.get(kindOfEnd) ?? 0) + 1);
      const isOverdue = mayBeLate(request) && this.#clock.nowMs() > request.dueAtMs;
      if (isOverdue) this.#stillSinceMs[model] = this.#clock.nowMs();
    });
    if (prng.uniform() < 0.1) this.#clock.scheduleExact(nowMs + 100 * prng.uniform(), () => system.cancel(sequence));
  }

  /** One, or all within a moment. */
  #kill(): void {
    const prng = this.#prng;
    const isCrash = prng.uniform() < 0.3;
    const victims = prng.uniform() < 0.3 ? this.#parts : [this.#parts[prng.int(this.#parts.length)]!];
    for (const { workers } of victims)
      this.#clock.scheduleExact(this.#clock.nowMs() + 50 * prng.uniform(), () => workers.kill('killed', isCrash));
  }

  /** As an audit does, or a step of the profiler: it gives back soon after it is asked to. */
  #borrow(system: System): void {
    const prng = this.#prng;
    let lease: Lease | null = null;
    const release = (): void => lease?.release();
    const soon = (withinMs: number): void =>
      void this.#clock.scheduleExact(this.#clock.nowMs() + withinMs * prng.uniform(), release);
    lease = system.lease(prng.uniform() < 0.7 ? 'idle' : 'free', () => soon(20));
    if (lease === null) return;
    lease.resize(1000, (result) => {
      if (result.kind === 'refused' || result.cpuMillicores < 1000) release();
      else soon(100);
    });
  }

  /** A model that is loaded and profiled beside those that are served, and then given up. */
  async #start(): Promise<void> {
    const cores = new StartingCores({
      node: this.#node,
      isShared: true,
      idleMillicores: 0,
      instances: 1,
      nowMs: () => this.#clock.nowMs(),
    });
    const profiled = Array.from({ length: 12 }, () => [cores.mostMillicores, 0]).flat();
    const startedAtMs = this.#clock.nowMs();
    for (const cpuMillicores of [1000, 0, ...profiled]) {
      const fromMs = this.#clock.nowMs();
      const name = `start ${this.#starts}`;
      const watch = this.#clock.scheduleExact(fromMs + MOST_START_WAIT_MS, () =>
        this.#violations.push(`${name} waits for ${cpuMillicores} millicores since ${fromMs.toFixed(0)}`),
      );
      const got = await cores.acquire(cpuMillicores);
      watch.cancel();
      await this.#pause(50 * this.#prng.uniform());
      cores.keep(got);
    }
    this.#starts += 1;
    this.#longestStartMs = Math.max(this.#longestStartMs, this.#clock.nowMs() - startedAtMs);
    cores.leave();
  }

  #pause(durationMs: number): Promise<void> {
    return new Promise((fulfil) => this.#clock.scheduleExact(this.#clock.nowMs() + durationMs, fulfil));
  }

  #checkWaiting(): void {
    const nowMs = this.#clock.nowMs();
    this.#waiting.forEach((requests, model) => {
      // The first that was sent is the first of them.
      const first = [...requests.values()].find(mayBeLate);
      if (first === undefined) return;
      const stillMs = nowMs - Math.max(this.#stillSinceMs[model]!, first.dueAtMs);
      this.#longestStillMs = Math.max(this.#longestStillMs, stillMs);
      if (stillMs <= MOST_STILL_MS) return;
      this.#violations.push(
        `at ${nowMs.toFixed(0)} ${nameOf(first.sequence, model)} waits, and nobody overdue is answered`,
      );
      this.#stillSinceMs[model] = nowMs;
    });
  }
}

function nameOf(sequence: number, model: number): string {
  return `request ${sequence} of ${MODELS[model]!.name}`;
}
