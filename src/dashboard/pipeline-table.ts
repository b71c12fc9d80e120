import type { RunStep } from '../scheduler/domain/event-record.js';
import type { PipelineSummary, StepSummary } from '../scheduler/domain/pipeline-summary.js';
import { make, setText } from './elements.js';
import { cores, duration, NOTHING, percent, perSecond, significant, whole } from './format.js';
import { reasonsText } from './pipeline-boxes.js';

/* The numbers of a pipeline's picture, a row for the door and one for each step. */

interface Column {
  readonly head: string;
  readonly about: string;
  readonly text: (step: StepSummary) => string;
}

const COLUMNS: readonly Column[] = [
  column('parts', 'of a request, the mean', ({ partsPerRequest: count }) =>
    count === null ? NOTHING : significant(count),
  ),
  column('waiting', 'parts that wait now', ({ waiting }) => whole(waiting)),
  column('running', 'parts that run now', ({ running }) => whole(running)),
  column('done/s', 'parts', ({ donePerSec }) => perSecond(donePerSec)),
  column('part waits', 'the mean', ({ waitMs }) => duration(waitMs)),
  column('part works', 'the mean', ({ workMs }) => duration(workMs)),
  column('request stays', "from its first part's coming until its last one has left, the mean", ({ spanMs }) =>
    duration(spanMs),
  ),
  column('time', 'of the time of all requests at all steps', ({ timeFraction }) => percent(timeFraction)),
  column('cores', "its parts' shares of the cores that they ran on; a function's as one core", ({ millicores }) =>
    cores(millicores),
  ),
  column('of cores', "of all steps' cores", ({ coresFraction }) => percent(coresFraction)),
  column('lost', 'requests that ended here or on the way here without an answer, and why', ({ drops }) =>
    reasonsText(drops),
  ),
];

export class PipelineTable {
  readonly root = make('div', { class: 'numbers' });
  readonly #body = make('tbody');
  #rows: readonly HTMLTableRowElement[] = [];

  constructor() {
    const heads = COLUMNS.map(({ head, about }) => make('th', { scope: 'col', title: about }, head));
    const head = make('tr', {}, make('th', { scope: 'col' }, 'step'), make('th', { scope: 'col' }, 'runs'), ...heads);
    this.root.append(make('table', {}, make('thead', {}, head), this.#body));
  }

  show(steps: readonly RunStep[]): void {
    const cells = (): HTMLElement[] => COLUMNS.map(() => make('td'));
    const door = make('tr', {}, make('th', { scope: 'row' }, '(door)'), make('td'), ...cells());
    this.#rows = [
      door,
      ...steps.map(({ name, kind, target }) =>
        make(
          'tr',
          { 'data-step': name },
          make('th', { scope: 'row' }, name),
          make('td', {}, `${kind} ${target}`),
          ...cells(),
        ),
      ),
    ];
    this.#body.replaceChildren(...this.#rows);
  }

  tell({ drops, steps }: PipelineSummary): void {
    setText(this.#rows[0]!.lastElementChild!, reasonsText(drops));
    steps.forEach((step, index) => {
      const { cells } = this.#rows[index + 1]!;
      COLUMNS.forEach(({ text }, place) => setText(cells[place + 2]!, text(step)));
    });
  }
}

function column(head: string, about: string, text: Column['text']): Column {
  return { head, about, text };
}
