import type { TimeRange } from './binning.js';
import { makeCard, type Card } from './card.js';
import { make, setText } from './elements.js';
import { cores, duration, percent } from './format.js';
import { reasonShares, startShares } from './headline.js';
import { instancesAt, type InstanceNow } from './lanes.js';
import { hasLanes } from './lane-chart.js';
import { reasonText } from '../scheduler/domain/plan-bound.js';
import type { ModelState, PlanNote, StartNote } from './model-state.js';

/*
 * Why the plan is as it is: the one in force, what bound the plans of the range for how long, and the last that differed. Of several
 * instances that are planned one by one: what each does, and the last batches that were started, where, and why there and so large.
 */

const LAST_PLANS = 4;
const MOST_REASONS = 3;
const PLAN_HEADS = ['ago', 'cores', 'batch', 'asked by', 'bound by'];
const START_HEADS = ['ago', 'cores', 'batch', 'instance', 'bound by'];

export class PlanPanel {
  readonly card: Card;
  readonly #plan = make('p', { class: 'plan' });
  readonly #why = make('p', { class: 'why' });
  readonly #reasons = make('ul', { class: 'reasons' });
  readonly #heads = PLAN_HEADS.map((text) => make('th', { scope: 'col' }, text));
  readonly #rows = Array.from({ length: LAST_PLANS }, () => make('tr'));

  constructor() {
    this.card = makeCard({
      id: 'plan',
      title: 'Plan and why',
      unit: '',
      about:
        'The plan in force and what bound it; the share of time that each reason held; the last plans that differed. Of several ' +
        'instances: the share of batches that each reason started, and the last that were started.',
      legend: [],
    });
    const head = make('thead', {}, make('tr', {}, ...this.#heads));
    const table = make('table', {}, head, make('tbody', {}, ...this.#rows));
    this.card.content.append(this.#plan, this.#why, this.#reasons, table);
    this.card.root.classList.add('plans');
  }

  /** @param instantMs of which the plan is shown */
  tell(model: ModelState, range: TimeRange, instantMs: number): void {
    const { plans, starts } = model;
    const index = lastAt(plans, instantMs);
    const current = plans[index];
    const areApart = hasLanes(model);
    if (areApart) setText(this.#plan, instancesText(instancesAt(model, instantMs)));
    else setText(this.#plan, current === undefined ? absentText(model, instantMs) : planText(current));
    setText(this.#why, current === undefined ? '' : `${reasonOf(current)} (asked by ${askedBy(current)})`);
    this.#tellReasons(model, range);
    this.#heads.forEach((head, column) => setText(head, (areApart ? START_HEADS : PLAN_HEADS)[column]!));
    const last = areApart ? lastAt(starts, instantMs) : index;
    this.#rows.forEach((row, back) =>
      fillRow(row, areApart ? startCells(starts[last - back], instantMs) : planCells(plans[last - back], instantMs)),
    );
    const { count, takenOver, last: reason } = model.losses;
    const taken = takenOver === 0 ? '' : `, ${takenOver} of them taken over by a spare`;
    const times = count === 1 ? 'once' : `${count} times`;
    this.card.note(count === 0 ? '' : `worker lost ${times}${taken}; last: ${reason}`);
  }

  #tellReasons(model: ModelState, range: TimeRange): void {
    const shares = (hasLanes(model) ? startShares : reasonShares)(model, range).slice(0, MOST_REASONS);
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

/** Index of the last at or before an instant; −1 before all. */
function lastAt(notes: readonly { readonly atMs: number }[], instantMs: number): number {
  let [low, high] = [0, notes.length];
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (notes[middle]!.atMs <= instantMs) low = middle + 1;
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
  if (plan.kind === 'feasible') return reasonText(plan);
  return plan.reason === 'deadlines'
    ? 'infeasible: not every deadline can be met at the largest allocation'
    : 'infeasible: more arrives than the largest allocation keeps up with';
}

function askedBy({ trigger }: PlanNote): string {
  return trigger.replace('-', ' ');
}

/** "3 of 4 instances run, on 3.50 cores" */
function instancesText(instances: readonly InstanceNow[]): string {
  const running = instances.filter(({ batchSize }) => batchSize > 0);
  const millicores = running.reduce((sum, each) => sum + each.millicores, 0);
  const on = running.length === 0 ? '' : `, on ${cores(millicores)} cores`;
  return `${running.length} of ${instances.length} instances run${on}`;
}

type Cells = readonly [string, string, string, string, string];
const NO_CELLS: Cells = ['', '', '', '', ''];

function planCells(note: PlanNote | undefined, instantMs: number): Cells {
  if (note === undefined) return NO_CELLS;
  const { plan } = note;
  const agoText = duration(Math.max(0, instantMs - note.atMs));
  return [agoText, cores(plan.cpuMillicores), String(plan.batchSize), askedBy(note), reasonText(plan)];
}

function startCells(note: StartNote | undefined, instantMs: number): Cells {
  if (note === undefined) return NO_CELLS;
  const { cpuMillicores, batchSize, instance, plan } = note;
  const agoText = duration(Math.max(0, instantMs - note.atMs));
  return [agoText, cores(cpuMillicores), String(batchSize), String(instance), plan === null ? '' : reasonText(plan)];
}

function fillRow(row: HTMLTableRowElement, texts: Cells): void {
  while (row.cells.length < 5) row.insertCell();
  texts.forEach((text, column) => setText(row.cells[column]!, text));
  row.cells[4]!.title = texts[4];
}
