/*
 * What the pods of a workload say, together, as the decision takes it. Counts that each pod has kept since it began are differences here; pods
 * that do not answer are taken to be asked for as much as the others.
 */
import type { NamedDemandReport, PodDemandReport } from '../../scheduler/domain/demand-report.js';
import type { ModelDemand, PodObservation, PodPhase } from '../../operate/observation.js';
import { ROUTER_MILLICORES } from '../scalers/cpu-ceiling.js';
import type { ClusterPod } from './cluster-objects.js';
import { latencyOf } from './latency-grid.js';

/** Larger ones gain little, and are looked at one by one. */
const MOST_BATCH = 32;

interface Counted {
  readonly process: string;
  readonly models: ReadonlyMap<string, NamedDemandReport>;
}

export class WorkloadView {
  readonly #before = new Map<string, Counted>();
  readonly #warm = new Set<string>();

  /** @param answers by pod; null where it did not answer */
  see(
    pods: readonly ClusterPod[],
    answers: ReadonlyMap<string, PodDemandReport | null>,
    mostMillicores: number,
  ): { readonly pods: readonly PodObservation[]; readonly models: readonly ModelDemand[] | null } {
    const observed = pods.map((pod) => this.#podOf(pod, answers.get(pod.metadata.name) ?? null, mostMillicores));
    const warmCount = observed.filter(({ phase }) => phase === 'warm').length;
    const asked = pods.flatMap(({ metadata }) => answers.get(metadata.name) ?? []);
    const models = asked.length === 0 ? null : this.#together(pods, answers, Math.max(1, warmCount / asked.length));
    this.#remember(pods, answers);
    return { pods: observed, models };
  }

  #podOf(pod: ClusterPod, answer: PodDemandReport | null, mostMillicores: number): PodObservation {
    const { name } = pod.metadata;
    const { cpu, limitInForceMillicores } = pod;
    if (pod.isReady && answer !== null && !answer.isDraining) this.#warm.add(name);
    // One that was warm and does not answer for a moment has not become cold.
    const isWarm = pod.isReady && this.#warm.has(name) && answer?.isDraining !== true;
    const phase: PodPhase = pod.isLeaving ? 'leaving' : isWarm ? 'warm' : 'starting';
    const wished = cpu.limitMillicores === null ? mostMillicores : cpu.limitMillicores - ROUTER_MILLICORES;
    const inForce = limitInForceMillicores === null ? wished : limitInForceMillicores - ROUTER_MILLICORES;
    const reason = cpu.pending?.reason;
    return {
      id: name,
      phase,
      inForceMillicores: Math.max(1, inForce),
      wishedMillicores: Math.max(1, wished),
      blocked: reason === 'Deferred' ? 'deferred' : reason === 'Infeasible' ? 'infeasible' : null,
      resizesItself: answer?.resizesItself === true,
      nodeFreeMillicores: null,
    };
  }

  /** @param scale for pods that did not answer */
  #together(
    pods: readonly ClusterPod[],
    answers: ReadonlyMap<string, PodDemandReport | null>,
    scale: number,
  ): readonly ModelDemand[] {
    const byName = new Map<
      string,
      { latest: NamedDemandReport; arrived: number; ended: number; missed: number; held: number; budgetsMs: number[] }
    >();
    for (const { metadata } of pods) {
      const answer = answers.get(metadata.name) ?? null;
      if (answer === null) continue;
      const before = this.#before.get(metadata.name);
      for (const model of answer.models) {
        const key = `${model.name}/${model.version}`;
        const earlier = before?.process === answer.process ? before.models.get(key) : undefined;
        // What came before it was first looked at is no rate.
        const base = earlier ?? model;
        let sum = byName.get(key);
        if (sum === undefined) {
          byName.set(key, (sum = { latest: model, arrived: 0, ended: 0, missed: 0, held: 0, budgetsMs: [] }));
        }
        if (model.arrived > sum.latest.arrived) sum.latest = model;
        sum.arrived += Math.max(0, model.arrived - base.arrived);
        sum.ended += Math.max(0, model.ended - base.ended);
        sum.missed += Math.max(0, model.missed - base.missed);
        sum.held += model.heldRequests;
        sum.budgetsMs.push(...model.budgetsMs);
      }
    }
    return [...byName].map(([name, { latest, arrived, ended, missed, held, budgetsMs }]) => ({
      name,
      ...{ arrived: scale * arrived, ended, missed, heldRequests: scale * held, budgetsMs },
      latency: latencyOf(latest.latency),
      maxBatchSize: Math.min(MOST_BATCH, latest.latency.batchSizes.at(-1)!),
      instances: latest.instances,
    }));
  }

  #remember(pods: readonly ClusterPod[], answers: ReadonlyMap<string, PodDemandReport | null>): void {
    const there = new Set(pods.map(({ metadata }) => metadata.name));
    for (const name of this.#before.keys()) if (!there.has(name)) this.#before.delete(name);
    for (const name of this.#warm) if (!there.has(name)) this.#warm.delete(name);
    for (const [name, answer] of answers) {
      if (answer === null) continue;
      const models = new Map(answer.models.map((model) => [`${model.name}/${model.version}`, model]));
      this.#before.set(name, { process: answer.process, models });
    }
  }
}
