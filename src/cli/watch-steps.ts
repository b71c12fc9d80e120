import type { Drop, PipelineSummary, StepSummary } from '../scheduler/domain/pipeline-summary.js';
import { filled, type BarLine } from './watch-cores.js';
import { clean, coresText, fit, msText } from './watch-text.js';

/* The steps of a pipeline: where the time of its requests and its cores go, and where requests are lost. */

const LEAST_NAME_COLUMNS = 8;
const MOST_NAME_COLUMNS = 14;
const BAR_COLUMNS = 8;
const MOST_STEPS_SHOWN = 16;
const DOOR = '(door)';

/** Of a request, of all steps' cores, of a part; what waits and runs now; requests. */
const HEADS = ['time', 'request', 'cores', '', 'parts', 'done/s', 'wait', 'run', 'lost'];
const WIDTHS = [6, 9, 6, 6, 6, 7, 5, 4, 5];

/** A heading, then a line each; the bar is the share of the time that requests spend at all steps. */
export function stepLines({ steps, drops }: PipelineSummary): readonly BarLine[] {
  const shown = steps.slice(0, MOST_STEPS_SHOWN);
  const names = shown.map(({ name }) => clean(name));
  const nameColumns = Math.min(
    MOST_NAME_COLUMNS,
    Math.max(LEAST_NAME_COLUMNS, ...names.map(({ length }) => length + 1)),
  );
  const head = (text: string): string => fit(text, nameColumns - 1).padEnd(nameColumns);
  const empty = ' '.repeat(BAR_COLUMNS);
  const lostAtDoor = countOf(drops);
  const more = steps.length - shown.length;
  return [
    { head: head('step') + empty + inColumns(HEADS), bar: '', tail: '' },
    ...(lostAtDoor === 0
      ? []
      : [
          {
            head: head(DOOR),
            bar: empty,
            tail: inColumns(HEADS.map((_, column) => (column === HEADS.length - 1 ? String(lostAtDoor) : ''))),
          },
        ]),
    ...shown.map((step, index) => ({
      head: head(names[index]!),
      bar: filled(step.timeFraction, BAR_COLUMNS),
      tail: inColumns(cellsOf(step)),
    })),
    ...(more === 0 ? [] : [{ head: head(''), bar: empty, tail: ` ${more} more steps` }]),
  ];
}

/** On one line, of each step what waits and runs; and what was lost. */
export function stepsText({ steps, drops }: PipelineSummary): string {
  const now = steps.map(({ name, waiting, running }) => `${clean(name)} ${waiting} wait ${running} run`);
  const lost = [{ name: DOOR, drops }, ...steps]
    .map(({ name, drops: own }) => ({ name, count: countOf(own) }))
    .filter(({ count }) => count > 0)
    .map(({ name, count }) => `${count} at ${clean(name)}`);
  return [...now, ...(lost.length === 0 ? [] : [`lost ${lost.join(' and ')}`])].join(', ');
}

function cellsOf(step: StepSummary): readonly string[] {
  const { timeFraction, spanMs, millicores, coresFraction, partsPerRequest, donePerSec, waiting, running, drops } =
    step;
  return [
    share(timeFraction),
    msText(spanMs),
    coresText(millicores),
    share(coresFraction),
    partsPerRequest === null ? '-' : `×${Number(partsPerRequest.toFixed(1))}`,
    donePerSec.toFixed(1),
    String(waiting),
    String(running),
    String(countOf(drops)),
  ];
}

function inColumns(texts: readonly string[]): string {
  return texts.map((text, column) => text.padStart(WIDTHS[column]!)).join('');
}

function share(fraction: number): string {
  return `${(100 * fraction).toFixed(0)} %`;
}

function countOf(drops: readonly Drop[]): number {
  return drops.reduce((sum, { requests }) => sum + requests, 0);
}
