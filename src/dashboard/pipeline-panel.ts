import type { Drop, PipelineSummary } from '../scheduler/domain/pipeline-summary.js';
import type { TimeRange } from './binning.js';
import { makeCard, type Card } from './card.js';
import { lowerBound } from './columns.js';
import { make } from './elements.js';
import { cores, duration, percent, perSecond, whole } from './format.js';
import { outcomesOf, slackOf } from './headline.js';
import { OUTCOMES, type ModelState } from './model-state.js';
import { EndBox, lossesOf, StepBox } from './pipeline-boxes.js';
import { layoutOf } from './pipeline-layout.js';
import { PipelineLines } from './pipeline-lines.js';
import { PipelineTable } from './pipeline-table.js';
import type { PipelineHistory } from '../scheduler/domain/pipeline-history.js';

/*
 * A pipeline drawn: a box for each step in the order in which they come, how much of the requests' time and of the cores is spent there, and
 * what is lost on the way there. Whoever does not see it has the same in the table below.
 *
 * What is drawn is placed when the pipeline or the width is another one; from then on only texts and lengths change, inside boxes whose
 * size does not depend on them.
 */

export class PipelinePanel {
  readonly card: Card;
  readonly #flow = make('div', { class: 'flow', role: 'img' });
  readonly #lines = new PipelineLines();
  readonly #table = new PipelineTable();
  readonly #door = new EndBox('requests');
  readonly #answer = new EndBox('answered');
  #boxes: readonly StepBox[] = [];
  #shown: PipelineHistory | null = null;
  /** As they were told last: lines that are placed anew have forgotten it, and a view that is held is not told again. */
  #tellLines: () => void = () => undefined;
  #widthPx = 0;
  #placedPx = 0;

  constructor() {
    this.card = makeCard({
      id: 'pipeline',
      title: 'Pipeline',
      unit: 'where time and cores go, and where requests are lost',
      about:
        'The steps that a request goes through, in their order; a thicker line stands for more parts. Of each step: the time that a ' +
        'request spends there, waiting and working, as a share of its time at all steps; the cores that its parts ran on, as a share of ' +
        'all of theirs; parts that wait and run; and in red the requests that were lost there or on the way there.',
      legend: [
        { label: 'waiting', colour: 'depth', look: 'block' },
        { label: 'working', colour: 'budget', look: 'block' },
        { label: 'cores', colour: 'granted', look: 'block' },
        { label: 'lost', colour: 'failed', look: 'block' },
      ],
    });
    this.card.root.classList.add('full');
    this.card.content.append(this.#flow, this.#table.root);
    new ResizeObserver(() => {
      this.#widthPx = Math.floor(this.card.content.clientWidth);
      if (this.#widthPx > 0 && this.#widthPx !== this.#placedPx) this.#place();
    }).observe(this.card.content);
  }

  /** Nothing of a model that is no pipeline. */
  tell(model: ModelState, range: TimeRange): void {
    const { pipeline } = model;
    if (pipeline === null) return;
    if (pipeline !== this.#shown) this.#show(pipeline);
    const summary = pipeline.summary(range.fromMs, range.toMs);
    this.#tellEnds(model, range, summary);
    summary.steps.forEach((step, index) => this.#boxes[index]!.tell(step));
    this.#tellLines = () => this.#lines.tell(summary, answeredPerSec(model, range));
    this.#tellLines();
    this.#table.tell(summary);
    const spans = sumOf(summary.steps.map(({ spanMs }) => spanMs ?? 0));
    const waiting = sumOf(summary.steps.map(({ spanMs, waitFraction }) => (spanMs ?? 0) * waitFraction));
    this.card.readOut([
      duration(waiting),
      duration(spans - waiting),
      cores(summary.millicores),
      whole(summary.dropped),
    ]);
    const text = inWords(summary);
    this.card.note(text);
    this.#flow.setAttribute('aria-label', `Pipeline of ${summary.steps.length} steps. ${text}`);
  }

  #show(pipeline: PipelineHistory): void {
    this.#shown = pipeline;
    this.#tellLines = () => undefined;
    this.#boxes = pipeline.steps.map((step) => new StepBox(step));
    this.#table.show(pipeline.steps);
    this.#place();
  }

  #place(): void {
    if (this.#shown === null || this.#widthPx === 0) return;
    this.#placedPx = this.#widthPx;
    const layout = layoutOf(this.#shown.steps, this.#widthPx);
    const boxes = [this.#door, ...this.#boxes, this.#answer];
    this.#flow.style.height = `${layout.height}px`;
    boxes.forEach((box, node) => box.place(layout.boxes[node]!));
    this.#lines.place(layout);
    this.#tellLines();
    this.#flow.replaceChildren(this.#lines.root, ...boxes.map(({ root }) => root), ...this.#lines.labels);
    // Whoever has no mouse scrolls it with the keyboard, where it is wider than there is room.
    if (layout.width > this.#widthPx) this.#flow.tabIndex = 0;
    else this.#flow.removeAttribute('tabindex');
  }

  #tellEnds(model: ModelState, range: TimeRange, { drops }: PipelineSummary): void {
    const outcomes = outcomesOf(model, range);
    const ended = sumOf(outcomes) - outcomes[OUTCOMES.indexOf('cancelled')]!;
    const [onTime, late] = outcomes as [number, number];
    const slackMs = slackOf(model, range);
    this.#door.tell([`${perSecond(receivedPerSec(model, range))}/s`, '', ''], lossesOf(drops, 'at the door'));
    this.#answer.tell(
      [
        `${perSecond(answeredPerSec(model, range))}/s`,
        ended === 0 ? '' : `${percent(onTime / ended)} on time`,
        slackMs === null ? '' : slackMs >= 0 ? `${duration(slackMs)} to spare` : `${duration(-slackMs)} late`,
      ],
      late === 0 ? null : { text: `${whole(late)} late`, title: 'answered after the deadline' },
    );
  }
}

function receivedPerSec({ requests }: ModelState, { fromMs, toMs }: TimeRange): number {
  return (1000 * countWithin(requests.column('atMs'), fromMs, toMs)) / Math.max(1, toMs - fromMs);
}

function answeredPerSec(model: ModelState, range: TimeRange): number {
  const [onTime, late] = outcomesOf(model, range) as [number, number];
  return (1000 * (onTime + late)) / Math.max(1, range.toMs - range.fromMs);
}

function countWithin(ascending: Float64Array, from: number, to: number): number {
  return lowerBound(ascending, to) - lowerBound(ascending, from);
}

function sumOf(values: readonly number[]): number {
  return values.reduce((sum, each) => sum + each, 0);
}

/** What the picture shows, in a sentence or two. */
export function inWords({ steps, drops, dropped }: PipelineSummary): string {
  if (steps.every(({ timeFraction }) => timeFraction === 0) && dropped === 0)
    return 'no request has gone through it in this range';
  const [time, coresOf] = [top(steps, 'timeFraction'), top(steps, 'coresFraction')];
  const parts = [
    ...(time === '' ? [] : [`most time is spent at ${time}`]),
    ...(coresOf === '' ? [] : [`most cores at ${coresOf}`]),
    ...(dropped === 0 ? ['nothing is lost'] : [`${whole(dropped)} lost: ${lostWhere(drops, steps)}`]),
  ];
  return parts.join('; ');
}

type Share = 'timeFraction' | 'coresFraction';

/** The two largest. */
function top(steps: PipelineSummary['steps'], share: Share): string {
  return [...steps]
    .filter((step) => step[share] > 0)
    .sort((a, b) => b[share] - a[share])
    .slice(0, 2)
    .map((step) => `${step.name} (${percent(step[share])})`)
    .join(' and ');
}

function lostWhere(drops: readonly Drop[], steps: PipelineSummary['steps']): string {
  const places = [
    { where: 'at the door', drops },
    ...steps.map((step) => ({ where: `at ${step.name}`, drops: step.drops })),
  ];
  return places
    .map(({ where, drops: own }) => ({ where, count: sumOf(own.map(({ requests }) => requests)) }))
    .filter(({ count }) => count > 0)
    .map(({ where, count }) => `${whole(count)} ${where}`)
    .join(', ');
}
