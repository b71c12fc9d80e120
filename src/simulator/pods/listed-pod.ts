/*
 * A pod without a planner: earliest deadlines first, whatever is free starts at once with the batch that the list schedule begins with, all on
 * all that the pod has, and whoever no schedule meets is refused at once. It does without what a planner does to save cores, which changes
 * little of who is met where pods are loaded, and costs a hundredth of the time; how little, `listed-pod.test.ts` holds it to.
 *
 * Of several instances it is one queue over all of them: what no balancing over as many pods of one instance can do much better than.
 */
import { marksOfSteps, type Step } from '../../scheduler/controlplane/outlook.js';
import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Timer } from '../../scheduler/clock/clock.js';
import type { ModelOutlook } from '../../scheduler/domain/pod-report.js';
import { ListedQueue, type Waiting } from './listed-queue.js';
import { latencyRow, type LatencyRow, type PodMachine } from './pod-machine.js';
import type { PodAnswer, PodRequest, SimulatedPod } from './pod.js';

export interface ListedPodOptions {
  readonly clock: VirtualClock;
  /** As it is believed to be. */
  readonly machine: PodMachine;
  readonly cpuMillicores: number;
  /** What a batch that starts now takes of what is believed. */
  readonly factor: () => number;
  /** 1 by default. */
  readonly instanceCount?: number;
  /** A batch begins. It must not call into the pod. */
  readonly onBatch?: (() => void) | undefined;
}

interface Queued extends Waiting {
  readonly atMs: number;
  readonly onAnswer: (answer: PodAnswer) => void;
}

interface Running {
  readonly members: readonly Queued[];
  readonly instance: number;
  readonly factor: number;
  /** What it is taken to take, of the allocation in force. */
  believedEndAtMs: number;
  remainingFraction: number;
  updatedAtMs: number;
  timer: Timer | null;
}

const SPARE_WITHIN_MS = 1000;

export class ListedPod implements SimulatedPod {
  readonly #options: ListedPodOptions;
  readonly #clock: VirtualClock;
  readonly #queue = new ListedQueue<Queued>();
  /** By instance; null while it is free. */
  readonly #running: (Running | null)[];
  /** Those that are free: the last one starts next. */
  readonly #freeInstances: number[];
  #cpuMillicores: number;
  #row: LatencyRow;
  #usedCoreMs = 0;
  batchedRequests = 0;
  batches = 0;
  /** Of all requests whose batch has begun: how long they waited for it, ms. */
  queuedMs = 0;

  constructor(options: ListedPodOptions) {
    const { clock, machine, cpuMillicores, instanceCount = 1 } = options;
    this.#options = options;
    this.#clock = clock;
    this.#running = new Array<Running | null>(instanceCount).fill(null);
    this.#freeInstances = Array.from({ length: instanceCount }, (_, instance) => instance);
    this.#cpuMillicores = cpuMillicores;
    this.#row = latencyRow(machine, Math.max(1, cpuMillicores));
  }

  get heldRequests(): number {
    return this.#queue.length + this.#running.reduce((sum, each) => sum + (each?.members.length ?? 0), 0);
  }

  get usedCoreSeconds(): number {
    for (const each of this.#running) if (each !== null) this.#advance(each);
    return this.#usedCoreMs / 1000;
  }

  submit({ sequence, dueAtMs }: PodRequest, onAnswer: (answer: PodAnswer) => void): void {
    this.#queue.add({ sequence, dueAtMs, atMs: this.#clock.nowMs(), onAnswer });
    this.#start();
    this.#giveUp();
  }

  outlook(): ModelOutlook {
    const nowMs = this.#clock.nowMs();
    const { typicalMs, plannedMs, bestSize } = this.#row;
    const freeAtMs = this.#freeAtMs();
    const steps: Step[] = [];
    const free = Float64Array.from(freeAtMs);
    this.#queue.run(this.#row, free, ({ head, endAtMs }) => {
      const { dueAtMs } = this.#queue.items[head]!;
      steps.push({
        dueInMs: Math.max(0, dueAtMs - nowMs),
        startInMs: Math.min(...free) - nowMs,
        doneInMs: meanOf(free) - nowMs,
        roomMs: null,
        ownRoomMs: dueAtMs - endAtMs,
      });
      return true;
    });
    return {
      leastMs: plannedMs[1]!,
      aloneMs: plannedMs[1]!,
      instanceCount: free.length,
      requestMs: typicalMs[bestSize]! / bestSize / free.length,
      marks: marksOfSteps(steps, [...freeAtMs], nowMs),
      spareCoreSeconds: (Math.max(0, SPARE_WITHIN_MS - (meanOf(free) - nowMs)) * this.#cpuMillicores) / 1e6,
    };
  }

  resize(cpuMillicores: number): void {
    for (const each of this.#running) if (each !== null) this.#advance(each);
    this.#cpuMillicores = cpuMillicores;
    this.#row = latencyRow(this.#options.machine, Math.max(1, cpuMillicores));
    for (const each of this.#running) if (each !== null) this.#arm(each);
    this.#start();
    this.#giveUp();
  }

  die(): void {
    const lost = this.#queue.takeFirst(this.#queue.length);
    for (const [instance, each] of this.#running.entries()) {
      if (each === null) continue;
      this.#advance(each);
      each.timer?.cancel();
      lost.push(...each.members);
      this.#running[instance] = null;
      this.#freeInstances.push(instance);
    }
    for (const { onAnswer } of lost) onAnswer('lost');
  }

  // ---- batches -----------------------------------------------------------------------------------------------------

  #start(): void {
    while (this.#freeInstances.length > 0 && this.#queue.length > 0 && this.#cpuMillicores > 0) {
      const nowMs = this.#clock.nowMs();
      // Who cannot even be met alone waits for nothing.
      const head = this.#queue.items[0]!;
      if (nowMs + this.#row.typicalMs[1]! > head.dueAtMs) {
        this.#queue.takeFirst(1)[0]!.onAnswer('refused');
        continue;
      }
      if (this.#queue.length > 1 && !this.#queue.isMet(this.#row, this.#freeAtMs())) this.#refuseLeftOver();
      if (this.#queue.length > 0) this.#run(this.#queue.takeFirst(this.#firstSize(nowMs)));
    }
  }

  /** The largest that surely meets its head, up to the one that does most. */
  #firstSize(nowMs: number): number {
    const { plannedMs, bestSize } = this.#row;
    const leftMs = this.#queue.items[0]!.dueAtMs - nowMs;
    let size = Math.min(bestSize, this.#queue.length);
    while (size > 1 && plannedMs[size]! > leftMs) size -= 1;
    return size;
  }

  #run(members: readonly Queued[]): void {
    const running: Running = {
      members,
      instance: this.#freeInstances.pop()!,
      factor: this.#options.factor(),
      believedEndAtMs: 0,
      remainingFraction: 1,
      updatedAtMs: this.#clock.nowMs(),
      timer: null,
    };
    this.batches += 1;
    this.batchedRequests += members.length;
    for (const { atMs } of members) this.queuedMs += running.updatedAtMs - atMs;
    this.#running[running.instance] = running;
    this.#arm(running);
    this.#options.onBatch?.();
  }

  #advance(running: Running): void {
    const nowMs = this.#clock.nowMs();
    const elapsedMs = nowMs - running.updatedAtMs;
    running.updatedAtMs = nowMs;
    if (this.#cpuMillicores === 0) return;
    this.#usedCoreMs += (elapsedMs * this.#cpuMillicores) / 1000;
    running.remainingFraction -= elapsedMs / this.#latencyMs(running);
  }

  #latencyMs({ members, factor }: Running): number {
    return factor * this.#row.typicalMs[members.length]!;
  }

  #arm(running: Running): void {
    running.timer?.cancel();
    running.timer = null;
    const left = Math.max(0, running.remainingFraction);
    running.believedEndAtMs = running.updatedAtMs + left * this.#row.typicalMs[running.members.length]!;
    if (this.#cpuMillicores === 0) return;
    const endAtMs = running.updatedAtMs + left * this.#latencyMs(running);
    running.timer = this.#clock.scheduleExact(endAtMs, () => this.#end(running));
  }

  #end(running: Running): void {
    this.#advance(running);
    this.#running[running.instance] = null;
    this.#freeInstances.push(running.instance);
    for (const { onAnswer } of running.members) onAnswer('completed');
    this.#start();
    this.#giveUp();
  }

  // ---- who is given up ---------------------------------------------------------------------------------------------

  /** Ascending. What runs for longer than was believed ends any moment. */
  #freeAtMs(): Float64Array {
    const nowMs = this.#clock.nowMs();
    const free = Float64Array.from(this.#running, (each) =>
      each === null ? nowMs : Math.max(nowMs, each.believedEndAtMs),
    );
    return free.length === 1 ? free : free.sort();
  }

  #giveUp(): void {
    if (this.#queue.length > 0 && !this.#queue.isMet(this.#row, this.#freeAtMs())) this.#refuseLeftOver();
  }

  #refuseLeftOver(): void {
    const left = this.#queue.takeAt(this.#queue.leftOver(this.#row, this.#freeAtMs()));
    for (const { onAnswer } of left) onAnswer('refused');
  }
}

function meanOf(values: Float64Array): number {
  return values.reduce((sum, each) => sum + each, 0) / values.length;
}
