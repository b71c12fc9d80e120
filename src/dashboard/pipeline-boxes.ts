import type { RunStep } from '../scheduler/domain/event-record.js';
import type { Drop, StepSummary } from '../scheduler/domain/pipeline-summary.js';
import { make, setText } from './elements.js';
import { cores, duration, percent, perSecond, whole } from './format.js';
import type { Place } from './pipeline-layout.js';

/* The boxes of a pipeline's picture: its steps, and where requests come in and answers go out. Their size is the layout's. */

/** Requests that were lost somewhere, in a few words, and in full. */
export interface Losses {
  readonly text: string;
  readonly title: string;
}

/** @param where for people  @returns null of none */
export function lossesOf(drops: readonly Drop[], where: string): Losses | null {
  const count = drops.reduce((sum, { requests }) => sum + requests, 0);
  if (count === 0) return null;
  return {
    text: `${whole(count)} lost`,
    title: `${whole(count)} lost ${where}: ${reasonsText(drops)}`,
  };
}

/** "12 infeasible_at_max_cores, 3 expired" */
export function reasonsText(drops: readonly Drop[]): string {
  return drops.map(({ reason, requests }) => `${whole(requests)} ${reason}`).join(', ');
}

/** Of a mean: that a request has one part is not said. */
const SAID_FROM = 0.05;

class Box {
  readonly root: HTMLElement;

  constructor(root: HTMLElement) {
    this.root = root;
  }

  place({ x, y, width, height }: Place): void {
    Object.assign(this.root.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
  }
}

/** Where requests come in, or answers go out. */
export class EndBox extends Box {
  readonly #texts = [make('p'), make('p'), make('p')];
  readonly #losses = make('p', { class: 'losses' });

  constructor(title: string) {
    super(make('div', { class: 'node end' }));
    this.root.append(make('b', {}, title), ...this.#texts, this.#losses);
  }

  tell(texts: readonly string[], losses: Losses | null): void {
    this.#texts.forEach((element, index) => {
      setText(element, texts[index] ?? '');
      element.hidden = (texts[index] ?? '') === '';
    });
    setText(this.#losses, losses?.text ?? '');
    this.#losses.title = losses?.title ?? '';
    this.#losses.hidden = losses === null;
  }
}

export class StepBox extends Box {
  readonly #parts = make('span', { class: 'parts', title: 'parts of a request, the mean' });
  readonly #time = make('span');
  readonly #timeShare = make('span');
  readonly #cores = make('span');
  readonly #coresShare = make('span');
  readonly #rate = make('p', { title: 'parts that are done' });
  readonly #now = make('p', { title: 'parts now' });

  constructor({ name, kind, target }: RunStep) {
    super(make('div', { class: 'node step' }));
    const runs = kind === 'model' ? `model ${target}` : target;
    const runsText = kind === 'model' && target === name ? 'model' : runs;
    this.root.append(
      make('p', { class: 'head' }, make('b', { title: name }, name), this.#parts),
      make('p', { class: 'runs', title: runs }, runsText),
      make('p', { class: 'share', title: 'time of a request here: waiting, working' }, this.#time, this.#timeShare),
      make('i', { class: 'gauge time' }),
      make('p', { class: 'share', title: 'cores that its parts ran on' }, this.#cores, this.#coresShare),
      make('i', { class: 'gauge cores' }),
      this.#rate,
      this.#now,
    );
  }

  tell(step: StepSummary): void {
    const { style } = this.root;
    style.setProperty('--wait', (step.timeFraction * step.waitFraction).toFixed(3));
    style.setProperty('--work', (step.timeFraction * (1 - step.waitFraction)).toFixed(3));
    style.setProperty('--cores', step.coresFraction.toFixed(3));
    const count = step.partsPerRequest ?? 1;
    setText(this.#parts, Math.abs(count - 1) < SAID_FROM ? '' : `×${Number(count.toFixed(1))}`);
    setText(this.#time, duration(step.spanMs));
    setText(this.#timeShare, share(step.timeFraction));
    setText(this.#cores, `${cores(step.millicores)} cores`);
    setText(this.#coresShare, share(step.coresFraction));
    this.root.title =
      `${step.name}: ${percent(step.timeFraction)} of the time, ${percent(step.coresFraction)} of the cores; ` +
      `a part waits ${duration(step.waitMs)} and works ${duration(step.workMs)}`;
    setText(this.#rate, `${perSecond(step.donePerSec)} parts/s`);
    setText(this.#now, `${whole(step.waiting)} wait, ${whole(step.running)} run`);
  }
}

/** To be compared with its neighbours', so without decimals. */
function share(fraction: number): string {
  return `${(100 * fraction).toFixed(0)} %`;
}
