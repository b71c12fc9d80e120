import { budgetMillicores } from '../scheduler/domain/granted.js';
import { clean, coresText, fit } from './watch-text.js';
import { WINDOW_SECONDS, type WatchedInstance, type WatchedModel, type WatchedRun } from './watch-state.js';

/* Who has the cores: of several models each, and of several instances each. */

/** A line in three parts: what it is of, a drawing, what it says. */
export interface BarLine {
  readonly head: string;
  readonly bar: string;
  readonly tail: string;
}

const HEAD_COLUMNS = 8;
const BAR_COLUMNS = 10;
const MOST_INSTANCES_SHOWN = 8;
const MOST_MODELS_SHOWN = 8;
const MOST_NAME_COLUMNS = 24;
/** " 12.5 of 16 cores" */
const TAIL_COLUMNS = 17;

/** A line each of several instances: the batch that runs, how far it is, and the cores it has. */
export function instanceLines({ instancesApart }: WatchedModel, nowMs: number): readonly BarLine[] {
  if (instancesApart.length < 2) return [];
  const shown = instancesApart.slice(0, MOST_INSTANCES_SHOWN);
  const more = instancesApart.slice(MOST_INSTANCES_SHOWN);
  const lines = shown.map((instance, index): BarLine => {
    const head = `inst ${index}`.padEnd(HEAD_COLUMNS);
    return { head, ...instanceParts(instance, nowMs) };
  });
  if (more.length === 0) return lines;
  const running = more.filter(({ batch }) => batch !== null).length;
  const tail = `${more.length} more: ${running} run, ${more.length - running} rest`;
  return [...lines, { head: ' '.repeat(HEAD_COLUMNS), bar: '', tail }];
}

function instanceParts({ millicores, batch }: WatchedInstance, nowMs: number): Omit<BarLine, 'head'> {
  const cores = `${coresText(millicores)} ${millicores === 1000 ? 'core' : 'cores'}`;
  if (batch === null) return { bar: '·'.repeat(BAR_COLUMNS), tail: `  rests on ${cores}` };
  const { size, startedAtMs, predictedMs } = batch;
  const elapsedMs = Math.max(0, nowMs - startedAtMs);
  const bar = filled(predictedMs > 0 ? elapsedMs / predictedMs : 0, BAR_COLUMNS);
  return { bar, tail: `  batch of ${size} on ${cores}, ${elapsedMs.toFixed(0)} of about ${predictedMs.toFixed(0)} ms` };
}

/** A line each of several models, as long as its share of all cores; of many the largest of the last minute. */
export function modelCoreLines(run: WatchedRun, nowMs: number, columns: number): readonly BarLine[] {
  const { header } = run;
  // A pipeline has those of its models.
  const models = run.models.filter(({ model }) => model.pipeline === undefined);
  if (models.length < 2) return [];
  const budget = budgetMillicores(header);
  const shown = models.length <= MOST_MODELS_SHOWN ? models : largest(models, nowMs);
  const others = models.filter((model) => !shown.includes(model));
  const rows = [
    ...shown.map(({ model, grantedMillicores }) => ({ name: clean(model.name), granted: grantedMillicores })),
    ...(others.length === 0 ? [] : [{ name: `${others.length} others`, granted: sumOf(others) }]),
  ];
  const nameColumns = Math.min(
    MOST_NAME_COLUMNS,
    Math.floor(columns / 3),
    Math.max(HEAD_COLUMNS, ...rows.map(({ name }) => name.length + 1)),
  );
  const barColumns = Math.max(BAR_COLUMNS, columns - 1 - nameColumns - TAIL_COLUMNS);
  const line = (name: string, granted: number, tail: string): BarLine => ({
    head: fit(name, nameColumns - 1).padEnd(nameColumns),
    bar: filled(granted / budget, barColumns),
    tail: ` ${tail}`,
  });
  const total = sumOf(models);
  return [
    line('cores', total, `${coresText(total)} of ${coresText(budget)} cores`),
    ...rows.map(({ name, granted }) => line(name, granted, coresText(granted))),
  ];
}

function largest(models: readonly WatchedModel[], nowMs: number): readonly WatchedModel[] {
  const toSecond = Math.floor(nowMs / 1000);
  const meanOf = (model: WatchedModel): number =>
    model
      .series(toSecond - WINDOW_SECONDS + 1, toSecond)
      .grantedMillicores.reduce<number>((sum, value) => sum + (value ?? 0), 0);
  const ranked = models.map((model) => ({ model, mean: meanOf(model) })).sort((a, b) => b.mean - a.mean);
  const kept = new Set(ranked.slice(0, MOST_MODELS_SHOWN).map(({ model }) => model));
  // In the order in which they are served: lines that change places are hard to follow.
  return models.filter((model) => kept.has(model));
}

function sumOf(models: readonly WatchedModel[]): number {
  return models.reduce((sum, { grantedMillicores }) => sum + grantedMillicores, 0);
}

/** Full blocks, then dots. */
export function filled(fraction: number, columns: number): string {
  const full = Math.round(columns * Math.max(0, Math.min(1, fraction)));
  return '█'.repeat(full) + '·'.repeat(columns - full);
}
