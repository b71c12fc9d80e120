import type { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { Outcome } from '../../scheduler/domain/outcome.js';
import type { InferRequest } from '../../scheduler/domain/request.js';
import { ModelStep, type StepModel } from '../../scheduler/pipeline/model-step.js';
import type { System } from '../../scheduler/system.js';
import type { Coming } from '../../scheduler/variants/release.js';
import { WorkPrices } from '../../scheduler/variants/work-prices.js';
import {
  VariantsSystem,
  type VariantPort,
  type VariantsSystemOptions,
} from '../../scheduler/variants/variants-system.js';
import type { NodeFront, SimulatedNodeModel } from '../sim/node-simulation.js';
import { OutcomeLedger } from '../sim/outcome-ledger.js';
import { feed, shapeClassOf } from '../sim/simulated-model.js';
import type { Workload } from '../workloads/workload.js';
import type { AnswerCounts } from './answer-counts.js';

/*
 * Clients of a model with variants: their requests go through the system that chooses when serving, to the simulated systems of the variants.
 */

interface VariantsFrontOptions extends Pick<
  VariantsSystemOptions,
  'objective' | 'accuracyWeight' | 'leastAccuracy' | 'assign'
> {
  readonly workload: Workload;
  readonly infeasible: Uint8Array;
  readonly budgetMillicores: number;
  /** By ascending accuracy. */
  readonly variants: readonly (SimulatedNodeModel & { readonly accuracy: number })[];
  readonly answers: AnswerCounts;
  /** It is told what is to come. */
  readonly isClairvoyant: boolean;
}

export class VariantsFront implements NodeFront {
  readonly name = 'variants';
  readonly workload: Workload;
  readonly model: OutcomeLedger;
  readonly #options: VariantsFrontOptions;

  constructor(options: VariantsFrontOptions) {
    this.#options = options;
    this.workload = options.workload;
    this.model = new OutcomeLedger(options.workload, options.infeasible);
  }

  begin(clock: VirtualClock, systems: readonly System[]): void {
    const { variants, budgetMillicores, workload, answers, isClairvoyant, ...rest } = this.#options;
    let sequence = 1;
    const ports = variants.map((variant, index) => simulatedPort(clock, variant, systems[index]!, () => sequence++));
    const group = new VariantsSystem({
      ...{ clock, ports, ...rest, maxRequests: Infinity },
      ...(isClairvoyant ? { comingAt: foresight(workload) } : {}),
      cores: () => budgetMillicores / 1000,
      onEvent: () => undefined,
    });
    const submit = (request: InferRequest, onOutcome: (outcome: Outcome) => void): void =>
      group.submit(request, [], (outcome) => {
        onOutcome(outcome);
        answers.observe(request.sequence - 1, outcome, this.model);
      });
    const { machine } = variants[0]!.environment;
    feed(clock, { submit, cancel: (each) => group.cancel(each) }, workload, this.model, shapeClassOf(machine));
  }
}

/** So far ahead: what comes later is due when all that waits now is over. */
const FORESIGHT_MS = 1000;
const MOST_GROUPS = 24;

/** All that comes within a second, in groups that count as due with their first. */
function foresight({ receivedAtMs, dueAtMs, count }: Workload): (nowMs: number) => readonly Coming[] {
  let next = 0;
  return (nowMs) => {
    while (next < count && receivedAtMs[next]! <= nowMs) next += 1;
    const dueInMs: number[] = [];
    for (let index = next; index < count && receivedAtMs[index]! < nowMs + FORESIGHT_MS; index++)
      dueInMs.push(dueAtMs[index]! - nowMs);
    dueInMs.sort((a, b) => a - b);
    const size = Math.max(1, Math.ceil(dueInMs.length / MOST_GROUPS));
    return Array.from({ length: Math.ceil(dueInMs.length / size) }, (_, group) => ({
      dueInMs: dueInMs[group * size]!,
      count: Math.min(size, dueInMs.length - group * size),
    }));
  };
}

function simulatedPort(
  clock: VirtualClock,
  { name, accuracy, environment, simulated }: SimulatedNodeModel & { readonly accuracy: number },
  system: System,
  nextSequence: () => number,
): VariantPort {
  const { machine, cpu } = environment;
  const likelyClass = shapeClassOf(machine);
  const model: StepModel = { system, likelyClass };
  const step = new ModelStep({
    ...{ nowMs: () => clock.nowMs(), resource: 'cores', model: () => model },
    requestOf: (_, { request }) => ({
      ...{ ...request, sequence: nextSequence(), receivedAtMs: clock.nowMs(), shapeClass: likelyClass },
    }),
    outputsOf: () => new Map(),
  });
  let prices: WorkPrices | null = null;
  let pricedAtMs = -Infinity;
  return {
    ...{ name, accuracy, unavailable: '' },
    outlook: () => step.outlook(),
    submit: (work, onOutcome) => step.submit(work, onOutcome),
    cancel: (id) => step.cancel(id),
    get runningBatches() {
      return system.status().runningBatches;
    },
    isWaiting: (id) => step.isWaiting(id),
    prices: () => {
      // What was learnt meanwhile changes little within a second.
      if (prices === null || clock.nowMs() - pricedAtMs > 1000) {
        prices = new WorkPrices(accuracy, simulated.models.forClass(likelyClass), cpu.limits, cpu.maxBatchSize);
        pricedAtMs = clock.nowMs();
      }
      return prices;
    },
  };
}
