/*
 * Once a second: how many pods a workload is to have, and how many cores each. Pure: it is told the time and what was seen, and says what is to
 * be asked for and why. The order of action is that of what is quick: grow in place at once, ask for pods where that does not reach, and take
 * back only what others do already.
 *
 * - **Grow**: the least cores, the same for all warm pods, that meet the load now. At once, in place.
 * - **Add**: where each would need more than 70 % of what it may have, now or by the time a pod asked for now would be warm, or where its node
 *   has no more: as many as are cheapest, and enough. Where more pods are only cheaper: once that has been so for a while.
 * - **Shrink**: counted on warm pods only, and once all of them have what they need, so not before a new one does its part; once no more was needed for ten seconds, and no faster than by half.
 * - **Remove**: one at a time, where the rest were enough for all of the last two minutes, is clearly cheaper, and has the
 *   cores that it needs then: those are in force before a pod goes.
 *
 * Where nobody says anything of the load nothing is changed.
 */
import { ColdStarts } from './cold-starts.js';
import { ModelLoad, type Rate } from './model-load.js';
import { normalQuantile } from './normal-quantile.js';
import type { PodObservation, WorkloadObservation, WorkloadRules } from './observation.js';
import { addText, coresText, growText, rateText, removeText } from './reasons.js';
import { cheapest, costMillicores, leastLevelOf, stepped, type Load, type Sizing } from './sizing.js';

export type StepKind = 'hold' | 'grow' | 'add' | 'shrink' | 'prepare' | 'remove' | 'short' | 'blind' | 'bounds';

export interface DecisionStep {
  readonly kind: StepKind;
  /** In one sentence. */
  readonly reason: string;
}

export interface PodResize {
  readonly pod: string;
  readonly cpuMillicores: number;
}

export interface Decision {
  /** To be asked for; `replicasWished` of the observation where nothing changes. */
  readonly replicas: number;
  /** To be asked for, of pods that do not have it yet. */
  readonly resizes: readonly PodResize[];
  /** At least one. */
  readonly steps: readonly DecisionStep[];
  /** What meets the load now at least cost; null where nothing does, or nothing is known. */
  readonly best: Sizing | null;
  /** That each warm pod needs now; null where they are not enough. */
  readonly neededMillicores: number | null;
  readonly arrivalRatePerSec: number;
  /** As learnt. */
  readonly coldStartMs: number;
  /** By so much more is held than the rule says, as it missed too many; 1 where it is right. */
  readonly boost: number;
}

/** A cheaper number of pods has to be cheaper by so much. */
const CHEAPER_FRACTION = 0.9;
const CHEAPER_WITHOUT_FRACTION = 0.95;
/** Of the share from which pods are added: with one pod less it has to stay below. */
const REMOVE_BELOW = 0.9;
const SHRINK_BELOW = 0.9;
/** What is left has to do for so much more, else the next second takes the step back. */
const SHRINK_MARGIN = 1.1;
/** What a rising rate is expected to add is no more than there is. */
const MOST_RISE = 1;
const LONGEST_LEAD_SECONDS = 120;
const INFEASIBLE_FOR_MS = 600_000;

/** What the pods that count could have. */
interface Fleet {
  readonly warm: readonly PodObservation[];
  /** Ascending; of those that stay. */
  readonly reach: readonly number[];
}

export class WorkloadSizer {
  readonly #rules: WorkloadRules;
  readonly #deviations: number;
  readonly #models = new Map<string, ModelLoad>();
  readonly #coldStarts: ColdStarts;
  readonly #ceilings = new Map<string, { readonly millicores: number; readonly untilMs: number }>();
  /** Nothing is taken back before so much was seen as it is judged by: whoever takes over starts anew. */
  #firstAtMs: number | null = null;
  #cheaperSinceMs: number | null = null;
  #replicasAtMs = -Infinity;
  #shrunkAtMs = -Infinity;
  #wasEnough = false;

  constructor(rules: WorkloadRules) {
    this.#rules = rules;
    this.#deviations = normalQuantile(rules.attainment);
    this.#coldStarts = new ColdStarts(rules.coldStartMs);
  }

  decide(nowMs: number, observation: WorkloadObservation): Decision {
    const { pods, replicasWished } = observation;
    this.#firstAtMs ??= nowMs;
    this.#coldStarts.observe(nowMs, pods);
    this.#noteInfeasible(nowMs, pods);
    const bounded = this.#bounded(replicasWished);
    if (bounded !== null) return this.#decision(bounded.replicas, [], [bounded.step], null, null);
    if (observation.models === null || pods.every(({ phase }) => phase !== 'warm')) {
      const reason =
        observation.models === null
          ? 'no pod says what is asked of it: nothing is changed'
          : `no pod of ${replicasWished} is warm yet: nothing is changed`;
      this.#wasEnough = false;
      return this.#decision(replicasWished, [], [{ kind: 'blind', reason }], null, null);
    }
    this.#learn(nowMs, observation);
    const fleet = this.#fleet(nowMs, pods, replicasWished);
    const now = this.#load((model) => model.rate);
    const level = leastLevelOf(now, fleet.reach, this.#rules.limits);
    const replicas = this.#replicas(nowMs, observation, fleet);
    const cores = this.#cores(nowMs, fleet, level, replicas.preparedMillicores);
    const isEnough = level !== null && fleet.warm.every((pod) => pod.resizesItself || pod.inForceMillicores >= level);
    if (isEnough && this.#wasEnough) {
      for (const demand of observation.models) this.#models.get(demand.name)!.learnMisses(nowMs, demand);
    }
    this.#wasEnough = isEnough;
    const steps = [...cores.steps, ...replicas.steps];
    if (steps.length === 0) steps.push({ kind: 'hold', reason: this.#holdReason(level, fleet) });
    return this.#decision(replicas.replicas, cores.resizes, steps, cheapest(now, this.#rules), level);
  }

  // ---- what is known -------------------------------------------------------------------------------------------------

  #learn(nowMs: number, { models, spanMs }: WorkloadObservation): void {
    const named = new Set(models!.map(({ name }) => name));
    for (const name of this.#models.keys()) if (!named.has(name)) this.#models.delete(name);
    for (const demand of models!) {
      let load = this.#models.get(demand.name);
      if (load === undefined) this.#models.set(demand.name, (load = new ModelLoad(demand.name, this.#rules)));
      load.observe(nowMs, demand, spanMs);
    }
  }

  #load(rateOf: (model: ModelLoad) => Rate): Load {
    const models = [...this.#models.values()].map((model) => ({ table: model.table, rate: rateOf(model) }));
    return { models, deviations: this.#deviations, balancing: this.#rules.balancing };
  }

  /** What cores are taken back by. */
  #held(nowMs: number): Load {
    return this.#load((model) => {
      const peak = model.peak(nowMs, this.#rules.coreHoldMs);
      return { ...peak, meanPerSec: SHRINK_MARGIN * peak.meanPerSec };
    });
  }

  /** By the time a pod that is asked for now would be warm, where the rate goes on rising. */
  #soon(): Load {
    const leadSeconds = Math.min(LONGEST_LEAD_SECONDS, this.#coldStarts.expectedMs / 1000);
    return this.#load(({ arriving, risePerSec2 }) => ({
      ...arriving,
      meanPerSec: Math.min((1 + MOST_RISE) * arriving.meanPerSec, arriving.meanPerSec + leadSeconds * risePerSec2),
    }));
  }

  /** Pods that are to go are not counted on: those that could have most. */
  #fleet(nowMs: number, pods: readonly PodObservation[], replicasWished: number): Fleet {
    const warm = pods.filter(({ phase }) => phase === 'warm');
    const reach = warm.map((pod) => this.#reachOf(nowMs, pod)).sort((a, b) => a - b);
    return { warm, reach: reach.slice(0, Math.max(1, replicasWished)) };
  }

  #reachOf(nowMs: number, { id, inForceMillicores, blocked, nodeFreeMillicores }: PodObservation): number {
    const { maxMillicores } = this.#rules.limits;
    if (blocked !== null) return Math.min(maxMillicores, inForceMillicores);
    const ceiling = this.#ceilings.get(id);
    const most = ceiling !== undefined && nowMs < ceiling.untilMs ? ceiling.millicores : maxMillicores;
    const free = nodeFreeMillicores === null ? Infinity : inForceMillicores + nodeFreeMillicores;
    return Math.min(maxMillicores, Math.max(inForceMillicores, Math.min(most, free)));
  }

  /** What a node never has is not asked for again for a while; what lies below is searched by halves. */
  #noteInfeasible(nowMs: number, pods: readonly PodObservation[]): void {
    const there = new Set(pods.map(({ id }) => id));
    for (const id of this.#ceilings.keys()) if (!there.has(id)) this.#ceilings.delete(id);
    for (const { id, blocked, wishedMillicores, inForceMillicores } of pods) {
      if (blocked !== 'infeasible') continue;
      const { stepMillicores } = this.#rules.limits;
      const steps = Math.floor((wishedMillicores - inForceMillicores) / 2 / stepMillicores);
      const millicores = inForceMillicores + Math.max(0, steps) * stepMillicores;
      this.#ceilings.set(id, { millicores, untilMs: nowMs + INFEASIBLE_FOR_MS });
    }
  }

  // ---- replicas --------------------------------------------------------------------------------------------------------

  #bounded(replicasWished: number): { readonly replicas: number; readonly step: DecisionStep } | null {
    const { minReplicas, maxReplicas } = this.#rules;
    const replicas = Math.min(maxReplicas, Math.max(minReplicas, replicasWished));
    if (replicas === replicasWished) return null;
    const bound = replicasWished < minReplicas ? `at least ${minReplicas}` : `at most ${maxReplicas}`;
    return {
      replicas,
      step: { kind: 'bounds', reason: `${replicasWished} replicas were asked for, and there are to be ${bound}` },
    };
  }

  #replicas(
    nowMs: number,
    { pods, replicasWished }: WorkloadObservation,
    { reach }: Fleet,
  ): { readonly replicas: number; readonly steps: DecisionStep[]; readonly preparedMillicores: number } {
    const added = this.#added(nowMs, replicasWished, reach);
    if (added !== null) {
      if (added.replicas !== replicasWished) this.#replicasAtMs = nowMs;
      return { ...added, preparedMillicores: 0 };
    }
    const isWhole = pods.length === replicasWished && pods.every(({ phase }) => phase === 'warm');
    const less = isWhole ? this.#removed(nowMs, replicasWished, reach) : null;
    if (less === null) return { replicas: replicasWished, steps: [], preparedMillicores: 0 };
    const isPrepared = pods.every((pod) => pod.resizesItself || pod.inForceMillicores >= less.cpuMillicores);
    const reason = removeText(less, isPrepared, this.#rules.replicaHoldMs);
    if (!isPrepared) {
      return { replicas: replicasWished, steps: [{ kind: 'prepare', reason }], preparedMillicores: less.cpuMillicores };
    }
    this.#replicasAtMs = nowMs;
    return { replicas: less.replicas, steps: [{ kind: 'remove', reason }], preparedMillicores: less.cpuMillicores };
  }

  /** Null: there are enough. */
  #added(
    nowMs: number,
    replicasWished: number,
    reach: readonly number[],
  ): { readonly replicas: number; readonly steps: DecisionStep[] } | null {
    const { maxReplicas, podMillicores, limits, settleMs } = this.#rules;
    const soon = this.#soon();
    const ratePerSec = soon.models.reduce((sum, { rate }) => sum + rate.meanPerSec, 0);
    const stuck = this.#coldStarts.stuckCount(nowMs);
    // Pods that do not come are not counted on.
    const wished = this.#withNew(reach, replicasWished - stuck);
    const level = leastLevelOf(soon, wished, limits);
    const usual = this.#usualOf(wished);
    const best = cheapest(soon, this.#rules);
    if (level !== null && level <= usual) {
      const cost = costMillicores({ replicas: replicasWished, cpuMillicores: level }, podMillicores);
      const isCheaper =
        best !== null &&
        best.replicas > replicasWished &&
        costMillicores(best, podMillicores) < CHEAPER_FRACTION * cost &&
        reach.length >= replicasWished;
      if (!isCheaper) this.#cheaperSinceMs = null;
      else this.#cheaperSinceMs ??= nowMs;
      if (!isCheaper || nowMs - this.#cheaperSinceMs! < settleMs) return null;
      const reason = `${best.replicas} × ${coresText(best.cpuMillicores)} does for ${rateText(ratePerSec)} what ${replicasWished} × ${coresText(level)} does, for ${percentLess(costMillicores(best, podMillicores), cost)} % less`;
      return { replicas: best.replicas, steps: [{ kind: 'add', reason }] };
    }
    if (replicasWished >= maxReplicas || stuck > 0) {
      if (level !== null) return null;
      const cause =
        stuck > 0 ? `${stuck} of the pods asked for do not come` : `there may be ${maxReplicas} pods at most`;
      return {
        replicas: replicasWished,
        steps: [
          {
            kind: 'short',
            reason: `${rateText(ratePerSec)} need more than ${reach.length} warm pods can do, and ${cause}`,
          },
        ],
      };
    }
    let replicas = replicasWished + 1;
    const isEnough = (count: number): boolean => {
      const all = this.#withNew(reach, count);
      return (leastLevelOf(soon, all, limits) ?? Infinity) <= this.#usualOf(all);
    };
    while (replicas < maxReplicas && !isEnough(replicas)) replicas += 1;
    if (best !== null && best.replicas > replicas) replicas = best.replicas;
    const reason = addText({
      ratePerSec,
      replicas: { before: replicasWished, after: replicas },
      neededMillicores: level,
      usualMillicores: usual,
      isNodeFull: reach.some((each) => each < limits.maxMillicores),
      coldStartMs: this.#coldStarts.expectedMs,
      rises: soon.models.some(
        ({ rate }, index) => rate.meanPerSec > [...this.#models.values()][index]!.arriving.meanPerSec,
      ),
    });
    return { replicas, steps: [{ kind: 'add', reason }] };
  }

  /** Null: all are needed, or have been within the last while. */
  #removed(nowMs: number, replicasWished: number, reach: readonly number[]): Sizing | null {
    const { minReplicas, replicaHoldMs, limits, podMillicores, settleMs } = this.#rules;
    if (replicasWished <= minReplicas || nowMs - this.#replicasAtMs < settleMs) return null;
    if (nowMs - this.#firstAtMs! < replicaHoldMs) return null;
    const held = this.#load((model) => model.peak(nowMs, replicaHoldMs));
    const fewer = reach.slice(0, -1);
    const levelOf = (load: Load, of: readonly number[]): number => leastLevelOf(load, of, limits) ?? Infinity;
    // What was needed at most can be had in place again; what is needed now has to be there before.
    const most = levelOf(held, fewer);
    const cpuMillicores = Math.max(levelOf(this.#soon(), fewer), levelOf(this.#held(nowMs), fewer));
    if (Math.max(most, cpuMillicores) > REMOVE_BELOW * this.#usualOf(fewer)) return null;
    const replicas = replicasWished - 1;
    const costAtMost = costMillicores({ replicas, cpuMillicores: most }, podMillicores);
    const before = { replicas: replicasWished, cpuMillicores: levelOf(held, reach) };
    const isCheaper = costAtMost < CHEAPER_WITHOUT_FRACTION * costMillicores(before, podMillicores);
    return isCheaper ? { replicas, cpuMillicores } : null;
  }

  /** Warm ones, and those that come and may have all there is. */
  #withNew(reach: readonly number[], replicas: number): readonly number[] {
    const coming = Math.max(0, replicas - reach.length);
    return [...reach, ...Array.from({ length: coming }, () => this.#rules.limits.maxMillicores)];
  }

  #usualOf(reach: readonly number[]): number {
    const mean = reach.reduce((sum, each) => sum + each, 0) / Math.max(1, reach.length);
    return Math.max(this.#rules.limits.minMillicores, this.#rules.growAtFraction * mean);
  }

  // ---- cores -----------------------------------------------------------------------------------------------------------

  /** @param preparedMillicores that pods need before one of them goes; 0 where none does */
  #cores(
    nowMs: number,
    { warm, reach }: Fleet,
    level: number | null,
    preparedMillicores: number,
  ): { readonly resizes: PodResize[]; readonly steps: DecisionStep[] } {
    const { limits, coreHoldMs } = this.#rules;
    const target = Math.max(level ?? limits.maxMillicores, preparedMillicores);
    const least = Math.max(target, leastLevelOf(this.#held(nowMs), reach, limits) ?? limits.maxMillicores);
    const resizes: PodResize[] = [];
    const grown = new Set<string>();
    let shrunk = false;
    const isHeldByAll = warm.every((pod) => pod.inForceMillicores >= Math.min(target, this.#reachOf(nowMs, pod)));
    const mayShrink = isHeldByAll && nowMs - Math.max(this.#firstAtMs!, this.#shrunkAtMs) >= coreHoldMs;
    for (const pod of warm) {
      if (pod.resizesItself) continue;
      const cpuMillicores = this.#wishFor(nowMs, pod, target, mayShrink ? least : Infinity);
      if (cpuMillicores === pod.wishedMillicores) continue;
      resizes.push({ pod: pod.id, cpuMillicores });
      if (cpuMillicores > pod.wishedMillicores) grown.add(`${pod.wishedMillicores} ${cpuMillicores}`);
      else shrunk = true;
    }
    if (shrunk) this.#shrunkAtMs = nowMs;
    const steps: DecisionStep[] = [];
    const ratePerSec = this.#ratePerSec();
    if (grown.size > 0 && preparedMillicores === 0) {
      const from = Math.min(...[...grown].map((each) => Number(each.split(' ')[0])));
      steps.push({ kind: 'grow', reason: growText(ratePerSec, warm.length, from, level, limits.maxMillicores) });
    }
    if (shrunk) {
      const to = Math.min(...resizes.map(({ cpuMillicores }) => cpuMillicores));
      const reason = `no more than ${coresText(least)} were needed in each of ${warm.length} pods for ${coreHoldMs / 1000} s: down to ${coresText(to)}`;
      steps.push({ kind: 'shrink', reason });
    }
    return { resizes, steps };
  }

  /** @param least below which it does not go, Infinity where it may not shrink now */
  #wishFor(nowMs: number, pod: PodObservation, target: number, least: number): number {
    const { limits } = this.#rules;
    const { wishedMillicores, inForceMillicores, blocked } = pod;
    // The kubelet tries again what it has put off; what it never can is taken back.
    if (blocked === 'infeasible') return inForceMillicores;
    const reach = this.#reachOf(nowMs, pod);
    const wanted = blocked === 'deferred' && target > inForceMillicores ? wishedMillicores : Math.min(target, reach);
    if (wanted > wishedMillicores) return wanted;
    if (blocked === 'deferred' && wanted <= inForceMillicores) return wanted;
    if (least > SHRINK_BELOW * wishedMillicores) return wishedMillicores;
    return Math.max(least, stepped(wishedMillicores / 2, limits));
  }

  // ----------------------------------------------------------------------------------------------------------------------

  #holdReason(level: number | null, { warm }: Fleet): string {
    const needed = level === null ? 'all they may have' : coresText(level);
    return `${rateText(this.#ratePerSec())} need ${needed} in each of ${warm.length} pods, which they have`;
  }

  #ratePerSec(): number {
    return [...this.#models.values()].reduce((sum, { rate }) => sum + rate.meanPerSec, 0);
  }

  #decision(
    replicas: number,
    resizes: readonly PodResize[],
    steps: readonly DecisionStep[],
    best: Sizing | null,
    neededMillicores: number | null,
  ): Decision {
    return {
      ...{ replicas, resizes, steps, best, neededMillicores },
      arrivalRatePerSec: this.#ratePerSec(),
      coldStartMs: this.#coldStarts.expectedMs,
      boost: Math.max(1, ...[...this.#models.values()].map(({ boost }) => boost)),
    };
  }
}

function percentLess(cost: number, before: number): number {
  return Math.round(100 * (1 - cost / before));
}
