/*
 * A workload whose pods come, go and are resized: a policy looks at it once a second, and what it asks for is in force when it would be on
 * a cluster. A new pod is charged from the moment it is asked for; one that leaves until it has done what it has.
 */
import { VirtualClock } from '../../../scheduler/clock/virtual-clock.js';
import type { Prng } from '../../../scheduler/random/prng.js';
import { logNormal } from '../../../scheduler/random/normal.js';
import { stream } from '../../../scheduler/random/streams.js';
import { createFront, type Balancing, type Front } from '../fronts.js';
import { ListedPod } from '../listed-pod.js';
import { PodsLedger, type PodsResult } from '../pods-ledger.js';
import type { PodsWorkload } from '../pods-workload.js';
import type { FleetBounds, FleetObservation, FleetWish, ScaledPod, ScalingPolicy } from './scaling-policy.js';

export interface FleetOptions {
  readonly seed: number;
  readonly bounds: FleetBounds;
  readonly workload: PodsWorkload;
  readonly policy: ScalingPolicy;
  readonly startReplicas: number;
  /** The picker needs reports, which are not made here; `least-request` by default. */
  readonly balancing?: Exclude<Balancing, 'picker'>;
  /** From a pod's being asked for to its taking requests, least and most, equally likely between. */
  readonly coldStartMs: readonly [number, number];
  /** Of refused requests, on other pods. */
  readonly retries?: number;
}

export interface FleetResult extends PodsResult {
  /** Held by all pods, cold starts and what a pod has beside its models included. */
  readonly heldCoreSeconds: number;
  readonly meanReplicas: number;
  readonly mostReplicas: number;
  /** Pods asked for or given up. */
  readonly replicaChanges: number;
  readonly resizes: number;
}

const OBSERVED_EVERY_MS = 1000;
const WAY_MS = 1;
const SETTLE_MS = 30_000;

/** PATCH → quota of the container, as measured on a kubelet 1.35: 26 to 95 ms, median 31. */
const RESIZE_LEAST_MS = 26;
const RESIZE_MOST_MS = 95;
const RESIZE_MEAN_BEYOND_MS = 7.2;

/** @returns ms, median 26 + 7.2 · ln 2 = 31 */
export function kubeletResizeMs(prng: Prng): number {
  return Math.min(RESIZE_MOST_MS, RESIZE_LEAST_MS + prng.exponential(RESIZE_MEAN_BEYOND_MS));
}

export function runFleet(options: FleetOptions): FleetResult {
  return new FleetSimulation(options).run();
}

interface FleetPod {
  readonly index: number;
  readonly pod: ListedPod;
  phase: ScaledPod['phase'];
  inForceMillicores: number;
  wishedMillicores: number;
  heldSinceMs: number;
  usedSeconds: number;
  queuedMs: number;
  begun: number;
}

class FleetSimulation {
  readonly #options: FleetOptions;
  readonly #clock = new VirtualClock();
  readonly #front: Front;
  readonly #ledger: PodsLedger;
  readonly #resizeDelays: Prng;
  readonly #coldStarts: Prng;
  /** By index; those that are gone stay for what they used. */
  readonly #made: FleetPod[] = [];
  /** In the order in which they were made. */
  #pods: FleetPod[] = [];
  #replicasWished: number;
  #arrived = 0;
  #ended = 0;
  #missed = 0;
  #sequence = 0;
  #heldCoreMs = 0;
  #replicaMs = 0;
  #mostReplicas = 0;
  #replicaChanges = 0;
  #resizes = 0;

  constructor(options: FleetOptions) {
    const { seed, startReplicas, balancing = 'least-request', workload } = options;
    this.#options = options;
    this.#front = createFront(balancing, stream(seed, 'fleet front'));
    this.#ledger = new PodsLedger(workload.budgetsMs.length);
    this.#resizeDelays = stream(seed, 'fleet resizes');
    this.#coldStarts = stream(seed, 'fleet cold starts');
    this.#replicasWished = startReplicas;
    for (let index = 0; index < startReplicas; index++) this.#make('warm');
    this.#tellFront();
  }

  run(): FleetResult {
    const { workload } = this.#options;
    this.#arriveFrom(0);
    this.#observeFrom(OBSERVED_EVERY_MS);
    this.#clock.advanceTo(workload.durationMs);
    for (const pod of this.#pods) this.#charge(pod);
    const [heldCoreMs, replicaMs] = [this.#heldCoreMs, this.#replicaMs];
    this.#clock.advanceTo(workload.durationMs + SETTLE_MS);
    return {
      ...this.#ledger.result(this.#made.map(({ pod }) => pod)),
      heldCoreSeconds: heldCoreMs / 1000,
      meanReplicas: replicaMs / workload.durationMs,
      mostReplicas: this.#mostReplicas,
      replicaChanges: this.#replicaChanges,
      resizes: this.#resizes,
    };
  }

  // ---- requests ----------------------------------------------------------------------------------------------------

  #arriveFrom(index: number): void {
    const { sentAtMs, budgetIndexes, budgetsMs } = this.#options.workload;
    if (index >= sentAtMs.length) return;
    this.#clock.scheduleExact(sentAtMs[index]!, () => {
      const nowMs = this.#clock.nowMs();
      const budgetIndex = budgetIndexes[index]!;
      this.#ledger.sent(budgetIndex);
      this.#arrived += 1;
      this.#send({ sequence: ++this.#sequence, budgetIndex, dueAtMs: nowMs + budgetsMs[budgetIndex]!, tried: [] });
      this.#arriveFrom(index + 1);
    });
  }

  #send(request: {
    readonly sequence: number;
    readonly budgetIndex: number;
    readonly dueAtMs: number;
    readonly tried: number[];
  }): void {
    const { sequence, budgetIndex, dueAtMs, tried } = request;
    const { retries = 1 } = this.#options;
    const first = this.#front.choose(this.#clock.nowMs(), dueAtMs - this.#clock.nowMs());
    const index = first === null || tried.length === 0 ? first?.pod : this.#front.chooseAgain(first, tried);
    if (index === undefined || index === null) {
      this.#end(sequence, budgetIndex, 'refused-by-front');
      return;
    }
    tried.push(index);
    this.#front.sent(index);
    this.#clock.scheduleExact(this.#clock.nowMs() + WAY_MS, () =>
      this.#made[index]!.pod.submit({ sequence, dueAtMs }, (answer) => {
        this.#front.ended(index);
        if (answer === 'completed')
          this.#end(sequence, budgetIndex, this.#clock.nowMs() <= dueAtMs ? 'on-time' : 'late');
        else if (tried.length <= retries && this.#clock.nowMs() + 2 * WAY_MS < dueAtMs) {
          this.#ledger.retried();
          this.#clock.scheduleExact(this.#clock.nowMs() + WAY_MS, () => this.#send(request));
        } else this.#end(sequence, budgetIndex, 'refused-by-pod');
      }),
    );
  }

  #end(sequence: number, budgetIndex: number, end: Parameters<PodsLedger['ended']>[2]): void {
    this.#ended += 1;
    if (end !== 'on-time') this.#missed += 1;
    this.#ledger.ended(sequence, budgetIndex, end, this.#clock.nowMs());
  }

  // ---- what is decided ---------------------------------------------------------------------------------------------

  #observeFrom(atMs: number): void {
    if (atMs > this.#options.workload.durationMs) return;
    this.#clock.scheduleExact(atMs, () => {
      this.#retire();
      this.#carryOut(this.#options.policy.decide(this.#observation()));
      this.#observeFrom(atMs + OBSERVED_EVERY_MS);
    });
  }

  #observation(): FleetObservation {
    let [begun, queuedMs, usedCoreSeconds, heldRequests] = [0, 0, 0, 0];
    for (const each of this.#pods) {
      const { pod } = each;
      heldRequests += pod.heldRequests;
      begun += pod.batchedRequests - each.begun;
      queuedMs += pod.queuedMs - each.queuedMs;
      const used = pod.usedCoreSeconds;
      usedCoreSeconds += used - each.usedSeconds;
      [each.begun, each.queuedMs, each.usedSeconds] = [pod.batchedRequests, pod.queuedMs, used];
    }
    const observation: FleetObservation = {
      nowMs: this.#clock.nowMs(),
      spanMs: OBSERVED_EVERY_MS,
      replicasWished: this.#replicasWished,
      pods: this.#staying().map(({ index, phase, inForceMillicores, wishedMillicores }) => ({
        id: String(index),
        phase,
        inForceMillicores,
        wishedMillicores,
      })),
      arrived: this.#arrived,
      ended: this.#ended,
      missed: this.#missed,
      heldRequests,
      begun,
      queuedMs,
      usedCoreSeconds,
    };
    [this.#arrived, this.#ended, this.#missed] = [0, 0, 0];
    return observation;
  }

  #carryOut({ replicas, resizes }: FleetWish): void {
    for (const { pod: id, cpuMillicores } of resizes) this.#resize(this.#made[Number(id)]!, cpuMillicores);
    const { minReplicas, maxReplicas } = this.#options.bounds;
    const wished = Math.min(maxReplicas, Math.max(minReplicas, replicas));
    this.#replicaChanges += Math.abs(wished - this.#replicasWished);
    this.#replicasWished = wished;
    let surplus = this.#staying().length - wished;
    for (; surplus < 0; surplus++) this.#make('starting');
    // As a ReplicaSet: those that are not ready go first, then the youngest.
    const leaving = this.#staying().reverse();
    leaving.sort((a, b) => Number(a.phase === 'warm') - Number(b.phase === 'warm'));
    for (const each of leaving.slice(0, Math.max(0, surplus))) each.phase = 'leaving';
    this.#mostReplicas = Math.max(this.#mostReplicas, this.#pods.length);
    this.#tellFront();
    this.#retire();
  }

  #staying(): FleetPod[] {
    return this.#pods.filter(({ phase }) => phase !== 'leaving');
  }

  #tellFront(): void {
    const warm = this.#pods.filter(({ phase }) => phase === 'warm').map(({ index }) => index);
    this.#front.setPods(warm);
  }

  #make(phase: 'warm' | 'starting'): void {
    const { seed, bounds, coldStartMs } = this.#options;
    const { machine, firstMillicores } = bounds;
    const index = this.#made.length;
    const prng = stream(seed, `pods noise ${index}`);
    const factor = (): number => {
      const each = logNormal(prng, machine.logDeviation);
      this.#ledger.ran(each);
      return each;
    };
    const made: FleetPod = {
      index,
      pod: new ListedPod({ clock: this.#clock, machine, cpuMillicores: firstMillicores, factor }),
      phase,
      inForceMillicores: firstMillicores,
      wishedMillicores: firstMillicores,
      heldSinceMs: this.#clock.nowMs(),
      usedSeconds: 0,
      queuedMs: 0,
      begun: 0,
    };
    this.#made.push(made);
    this.#pods.push(made);
    if (phase === 'warm') return;
    const [least, most] = coldStartMs;
    this.#clock.scheduleExact(this.#clock.nowMs() + least + (most - least) * this.#coldStarts.uniform(), () => {
      if (made.phase !== 'starting') return;
      made.phase = 'warm';
      this.#tellFront();
    });
  }

  /** Growth is charged from its request on, what is given back once it is. */
  #resize(pod: FleetPod, cpuMillicores: number): void {
    if (pod.wishedMillicores === cpuMillicores) return;
    this.#charge(pod);
    pod.wishedMillicores = cpuMillicores;
    this.#resizes += 1;
    this.#clock.scheduleExact(this.#clock.nowMs() + kubeletResizeMs(this.#resizeDelays), () => {
      // Another one was asked for meanwhile.
      if (pod.wishedMillicores !== cpuMillicores) return;
      this.#charge(pod);
      pod.inForceMillicores = cpuMillicores;
      pod.pod.resize(cpuMillicores);
    });
  }

  /** Those that have done what they had are gone. */
  #retire(): void {
    for (const each of this.#pods) {
      if (each.phase !== 'leaving' || each.pod.heldRequests > 0) continue;
      this.#charge(each);
    }
    this.#pods = this.#pods.filter(({ phase, pod }) => phase !== 'leaving' || pod.heldRequests > 0);
  }

  #charge(pod: FleetPod): void {
    const elapsedMs = this.#clock.nowMs() - pod.heldSinceMs;
    pod.heldSinceMs = this.#clock.nowMs();
    const { podMillicores } = this.#options.bounds;
    const millicores = Math.max(pod.inForceMillicores, pod.wishedMillicores) + podMillicores;
    this.#heldCoreMs += (elapsedMs * millicores) / 1000;
    this.#replicaMs += elapsedMs;
  }
}
