import { capacityPerSec, meetableBudgets } from '../../src/operate/capacity.js';
import { USUAL_RULES, type PodObservation, type WorkloadRules } from '../../src/operate/observation.js';
import { WorkloadSizer, type Decision } from '../../src/operate/workload-sizer.js';
import { exactLatency, type LatencyModel } from '../../src/scheduler/domain/latency.js';
import { Prng } from '../../src/scheduler/random/prng.js';

/*
 * A workload under the controller, second by second: pods with cold starts, resizes that take a second, nodes that are full, requests as a
 * fluid with a queue. Coarse on purpose: what is judged is the controller, not queues.
 */

/** 30 ms of work and 5 that no core makes shorter; batches of eight do three times as much. */
const WALK_MODEL: LatencyModel = exactLatency(
  (batchSize, millicores) => ((8 * batchSize + 22) * 1000) / millicores + batchSize + 4,
);
const WALK_BUDGET_MS = 500;
const WALK_BATCH = 8;

export const WALK_RULES: WorkloadRules = {
  ...USUAL_RULES,
  limits: { minMillicores: 250, maxMillicores: 4000, stepMillicores: 250 },
  maxReplicas: 12,
};

export interface WalkOptions {
  readonly rules?: Partial<WorkloadRules>;
  readonly seconds: number;
  /** Requests per second, at a second. */
  readonly rate: (second: number) => number;
  readonly seed?: number;
  readonly replicas?: number;
  readonly millicores?: number;
  readonly coldStartSeconds?: number;
  /** For models' CPU, of each node; one pod a node. Beyond it a resize is deferred. */
  readonly nodeMillicores?: (pod: number) => number;
  /** What batches take of what the model says. */
  readonly slowness?: number;
  /** Something happens to the pods. */
  readonly onSecond?: (second: number, walk: Walk) => void;
  /** Nobody says anything of the load then. */
  readonly isBlind?: (second: number) => boolean;
}

export interface WalkedSecond {
  readonly second: number;
  readonly rate: number;
  readonly decision: Decision;
  readonly replicas: number;
  readonly warm: number;
  readonly millicores: readonly number[];
  readonly missed: number;
}

interface WalkedPod {
  id: string;
  number: number;
  warmAtSecond: number;
  inForce: number;
  wished: number;
  blocked: PodObservation['blocked'];
}

export class Walk {
  readonly pods: WalkedPod[] = [];
  readonly seconds: WalkedSecond[] = [];
  arrived = 0;
  missed = 0;
  coreSeconds = 0;
  replicas: number;
  #made = 0;
  readonly #options: WalkOptions;

  constructor(options: WalkOptions) {
    this.#options = options;
    this.replicas = options.replicas ?? 1;
    for (let i = 0; i < this.replicas; i++) this.add(0);
  }

  add(warmAtSecond: number): void {
    const number = this.#made++;
    const inForce = this.#options.millicores ?? 1000;
    this.pods.push({ id: `pod-${number}`, number, warmAtSecond, inForce, wished: inForce, blocked: null });
  }

  lose(index: number): void {
    this.pods.splice(index, 1);
  }

  run(): this {
    const {
      rules: own,
      seconds,
      rate,
      seed = 1,
      slowness = 1,
      coldStartSeconds = 20,
      isBlind = () => false,
    } = this.#options;
    const rules = { ...WALK_RULES, ...own };
    const { limits, attainment } = rules;
    const sizer = new WorkloadSizer(rules);
    const prng = new Prng(seed);
    const budgetsMs = meetableBudgets([WALK_BUDGET_MS], { latency: WALK_MODEL, limits, attainment });
    const truth = exactLatency((size, millicores) => slowness * WALK_MODEL.plannedLatencyMs(size, millicores));
    const mix = { latency: truth, maxBatchSize: WALK_BATCH, instances: 1, budgetsMs };
    const capacity = new Map<number, number>();
    const does = (millicores: number): number => {
      if (!capacity.has(millicores)) capacity.set(millicores, capacityPerSec(mix, millicores, limits.minMillicores));
      return capacity.get(millicores)!;
    };
    let backlog = 0;
    for (let second = 1; second <= seconds; second++) {
      this.#options.onSecond?.(second, this);
      this.#cluster(second, coldStartSeconds);
      const warm = this.pods.filter(({ warmAtSecond }) => warmAtSecond <= second);
      const arrived = poisson(prng, rate(second));
      const can = warm.reduce((sum, { inForce }) => sum + does(inForce), 0);
      const held = backlog + arrived - Math.min(backlog + arrived, can);
      // Who waits for longer than the budget is lost.
      backlog = Math.min(held, (can * WALK_BUDGET_MS) / 1000);
      const missed = held - backlog;
      this.arrived += arrived;
      this.missed += missed;
      this.coreSeconds += this.pods.reduce((sum, { inForce }) => sum + inForce, 0) / 1000;
      const demand = {
        name: 'm',
        arrived,
        ended: arrived,
        missed,
        heldRequests: backlog,
        budgetsMs: [WALK_BUDGET_MS],
        latency: WALK_MODEL,
        maxBatchSize: WALK_BATCH,
        instances: 1,
      };
      const decision = sizer.decide(1000 * second, {
        spanMs: 1000,
        replicasWished: this.replicas,
        pods: this.pods.map(({ id, warmAtSecond, inForce, wished, blocked }) => ({
          id,
          phase: warmAtSecond <= second ? ('warm' as const) : ('starting' as const),
          inForceMillicores: inForce,
          wishedMillicores: wished,
          blocked,
          resizesItself: false,
          nodeFreeMillicores: null,
        })),
        models: isBlind(second) ? null : [demand],
      });
      this.replicas = decision.replicas;
      for (const { pod, cpuMillicores } of decision.resizes) {
        const own = this.pods.find(({ id }) => id === pod)!;
        own.wished = cpuMillicores;
        own.blocked = null;
      }
      const millicores = warm.map(({ inForce }) => inForce);
      this.seconds.push({
        second,
        rate: rate(second),
        decision,
        replicas: this.replicas,
        warm: warm.length,
        millicores,
        missed,
      });
    }
    return this;
  }

  /** What the cluster has done since: pods come and go, resizes are in force or put off. */
  #cluster(second: number, coldStartSeconds: number): void {
    while (this.pods.length < this.replicas) this.add(second + coldStartSeconds);
    // The youngest goes first, as of a ReplicaSet.
    while (this.pods.length > this.replicas) this.pods.pop();
    for (const pod of this.pods) {
      const most = this.#options.nodeMillicores?.(pod.number) ?? Infinity;
      if (pod.wished <= most) pod.inForce = pod.wished;
      pod.blocked = pod.wished <= most ? null : 'deferred';
    }
  }

  /** Seconds at which the number asked for changed, and by how much. */
  get changes(): readonly { readonly second: number; readonly by: number }[] {
    return this.seconds.flatMap(({ second, replicas }, index) => {
      const before = index === 0 ? (this.#options.replicas ?? 1) : this.seconds[index - 1]!.replicas;
      return replicas === before ? [] : [{ second, by: replicas - before }];
    });
  }

  get missedFraction(): number {
    return this.missed / Math.max(1, this.arrived);
  }
}

function poisson(prng: Prng, mean: number): number {
  let count = 0;
  if (mean <= 0) return 0;
  for (let at = prng.exponential(1 / mean); at < 1; at += prng.exponential(1 / mean)) count += 1;
  return count;
}
