import type { TimeRange } from './binning.js';
import { makeCard, type Card } from './card.js';
import { make, setText } from './elements.js';
import { cores, duration, percent } from './format.js';
import { reasonShares } from './headline.js';
import type { ModelState, PlanNote } from './model-state.js';

/* Why the plan is as it is: the one in force, what bound the plans of the range for how long, and the last that differed. */

const LAST_PLANS = 4;
const MOST_REASONS = 3;

export class PlanPanel {
  readonly card: Card;
  readonly #plan = make('p', { class: 'plan' });
  readonly #why = make('p', { class: 'why' });
  readonly #reasons = make('ul', { class: 'reasons' });
  readonly #rows = Array.from({ length: LAST_PLANS }, () => make('tr'));

  constructor() {
    this.card = makeCard({
      id: 'plan',
      title: 'Plan and why',
      unit: '',
      about:
        'The plan in force and what bound it; the share of time that each reason held; the last plans that differed.',
      legend: [],
    });
    const labels = ['ago', 'cores', 'batch', 'asked by', 'bound by'].map((text) => make('th', { scope: 'col' }, text));
    const table = make('table', {}, make('thead', {}, make('tr', {}, ...labels)), make('tbody', {}, ...this.#rows));
    this.card.content.append(this.#plan, this.#why, this.#reasons, table);
    this.card.root.classList.add('plans');
  }

  /** @param instantMs of which the plan is shown */
  tell(model: ModelState, range: TimeRange, instantMs: number): void {
    const { plans } = model;
    const index = lastAt(plans, instantMs);
    const current = plans[index];
    setText(this.#plan, current === undefined ? absentText(model, instantMs) : planText(current));
    setText(this.#why, current === undefined ? '' : `${reasonOf(current)} (asked by ${askedBy(current)})`);
    this.#tellReasons(model, range);
    this.#rows.forEach((row, back) => fillRow(row, plans[index - back], instantMs));
    const lost = model.lossCount;
    this.card.note(lost === 0 ? '' : `worker lost ${lost === 1 ? 'once' : `${lost} times`}; last: ${model.lastLoss}`);
  }

  #tellReasons(model: ModelState, range: TimeRange): void {
    const shares = reasonShares(model, range).slice(0, MOST_REASONS);
    while (this.#reasons.children.length > shares.length) this.#reasons.lastElementChild!.remove();
    shares.forEach(({ reason, fraction }, index) => {
      const item =
        this.#reasons.children[index] ?? this.#reasons.appendChild(make('li', {}, make('b'), make('span'), make('i')));
      setText(item.children[0]!, percent(fraction));
      setText(item.children[1]!, reason);
      (item as HTMLElement).style.setProperty('--share', fraction.toFixed(3));
    });
  }
}

/** Index of the last plan at or before an instant; −1 before all. */
function lastAt(plans: readonly PlanNote[], instantMs: number): number {
  let [low, high] = [0, plans.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (plans[middle]!.atMs <= instantMs) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function absentText({ plansCompleteFromMs }: ModelState, instantMs: number): string {
  return instantMs < plansCompleteFromMs ? 'the plans of then are not kept any more' : 'no plan yet';
}

function planText({ plan }: PlanNote): string {
  const instances = plan.instances === 1 ? '' : `${plan.instances} instances of `;
  return `${instances}${cores(plan.cpuMillicores)} cores, batches up to ${plan.batchSize}`;
}

function reasonOf({ plan }: PlanNote): string {
  if (plan.kind === 'feasible') return plan.boundBy;
  return plan.reason === 'deadlines'
    ? 'infeasible: not every deadline can be met at the largest allocation'
    : 'infeasible: more arrives than the largest allocation keeps up with';
}

function askedBy({ trigger }: PlanNote): string {
  return trigger.replace('-', ' ');
}

function fillRow(row: HTMLTableRowElement, note: PlanNote | undefined, instantMs: number): void {
  while (row.cells.length < 5) row.insertCell();
  const texts =
    note === undefined
      ? ['', '', '', '', '']
      : [
          duration(Math.max(0, instantMs - note.atMs)),
          cores(note.plan.cpuMillicores),
          String(note.plan.batchSize),
          askedBy(note),
          note.plan.kind === 'feasible' ? note.plan.boundBy : `infeasible: ${note.plan.reason}`,
        ];
  texts.forEach((text, column) => setText(row.cells[column]!, text));
  row.cells[4]!.title = texts[4]!;
}
