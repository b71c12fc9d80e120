import type { Plan } from './plan.js';

/* What bound a plan, as planners say it and as people read it. */

const TEXTS = {
  start: 'start',
  static: 'static',
  idle: 'idle',
  'least-allocation': 'least allocation',
  'no-profile': 'no profile yet',
  'running-batch': 'batch in flight',
  'no-free-instance': 'no instance is free',
  'filling-batch': 'waiting to fill a batch',
  'own-batches': 'its running batches have the cores',
  'other-models': 'other models have the cores',
  'tight-budgets': 'tight budgets that may arrive',
  'first-due': 'first due',
} as const;

export type PlanBound =
  | { readonly kind: keyof typeof TEXTS }
  /** The long-run mean; `aheadMs`: of the moment at which a resize asked for now is in force. */
  | { readonly kind: 'arrival-rate'; readonly ratePerSec: number; readonly aheadMs?: number }
  /** The forecast of the next moments. */
  | { readonly kind: 'expected-arrivals'; readonly ratePerSec: number }
  | { readonly kind: 'deadline'; readonly sequence: number; readonly inMs: number }
  /** Of one behind the window: so many wait before it. */
  | { readonly kind: 'deadline-behind'; readonly place: number; readonly inMs: number }
  // Of baselines.
  | { readonly kind: 'network-delay'; readonly lastMs: number }
  | { readonly kind: 'remaining-slo'; readonly lastMs: number }
  | { readonly kind: 'cpu-use'; readonly cores: number }
  /** What replicas are to keep up with. `unitMillicores`: of one, where that is too small for it; `ready`: of so many instances. */
  | {
      readonly kind: 'replica-load';
      readonly ratePerSec: number;
      readonly budgetMs: number;
      readonly unitMillicores?: number;
      readonly ready?: { readonly count: number; readonly of: number };
    };

type NumberText = (value: number, digits?: number) => string;

const exactly: NumberText = (value, digits) => (digits === undefined ? String(value) : value.toFixed(digits));

/** What bound a plan, or why there is none: "deadline of request 17 in 84 ms". */
export function reasonText(plan: Plan): string {
  return reasonOf(plan, exactly);
}

/** The same for all plans that differ in nothing else than numbers: "deadline of request … in … ms". */
export function reasonKindText(plan: Plan): string {
  return reasonOf(plan, () => '…');
}

function reasonOf(plan: Plan, text: NumberText): string {
  if (plan.kind === 'infeasible') return `infeasible: ${plan.reason}`;
  const { boundBy, usedAtOnce, interference = 0, instances } = plan;
  const bound = boundText(boundBy, text);
  if (usedAtOnce === undefined) return bound;
  const slowdown = text(100 * interference, 0);
  return `${bound}; ${text(usedAtOnce)} of ${text(instances)} instances, as busy neighbours slow a batch down by up to ${slowdown} %`;
}

function boundText(bound: PlanBound, text: NumberText): string {
  switch (bound.kind) {
    case 'arrival-rate': {
      const rate = `arrival rate ${text(bound.ratePerSec, 1)}/s`;
      return bound.aheadMs === undefined ? rate : `${rate}, ${text(bound.aheadMs, 0)} ms ahead`;
    }
    case 'expected-arrivals':
      return `${text(bound.ratePerSec, 1)} arrivals/s expected`;
    case 'deadline':
      return `deadline of request ${text(bound.sequence)} in ${text(bound.inMs, 0)} ms`;
    case 'deadline-behind':
      return `deadline of the ${text(bound.place + 1)}th that waits in ${text(bound.inMs, 0)} ms`;
    case 'network-delay':
      return `network delay ${text(bound.lastMs)} ms of the last request`;
    case 'remaining-slo':
      return `remaining SLO ${text(bound.lastMs)} ms of the last request`;
    case 'cpu-use':
      return `CPU use of ${text(bound.cores, 2)} cores`;
    case 'replica-load': {
      const { ratePerSec, budgetMs, unitMillicores, ready } = bound;
      const load = `${text(ratePerSec)}/s within ${text(budgetMs, 0)} ms`;
      if (ready !== undefined) return `${load} on ${text(ready.count)} of ${text(ready.of)} instances`;
      if (unitMillicores === undefined) return load;
      const unit = unitMillicores === 1000 ? 'one core' : `${text(unitMillicores / 1000)} cores`;
      return `${load}, more than ${unit} can do`;
    }
    default:
      // Of a record that another version wrote, it is shown as it is called there.
      return Object.hasOwn(TEXTS, bound.kind) ? TEXTS[bound.kind] : bound.kind;
  }
}
