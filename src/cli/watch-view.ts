import { percentOfAll } from '../scheduler/domain/percent.js';
import { plannedMillicores, type Plan } from '../scheduler/domain/plan.js';
import { reasonText } from '../scheduler/domain/plan-bound.js';
import { limitMillicores } from '../scheduler/domain/granted.js';
import { missedOf, WINDOW_SECONDS, type Summary, type WatchedModel, type WatchedRun } from './watch-state.js';
import { clean, coresText, fit, msText } from './watch-text.js';
import { stepLines, stepsText } from './watch-steps.js';
import { instanceLines, modelCoreLines, type BarLine } from './watch-cores.js';

/* How a watched run looks in a terminal: a few lines a model; and, where there is no terminal, one line a model. */

export interface ViewOptions {
  readonly columns: number;
  readonly isColored: boolean;
}

const BLOCKS = '▁▂▃▄▅▆▇█';
/** Behind a sparkline: " 1.25", twice. */
const VALUE_COLUMNS = 5;
const MARGIN_COLUMNS = 1 + 8 + 2 * VALUE_COLUMNS;
const LEAST_COLUMNS = 40;

const PLAIN = (text: string): string => text;
const STYLES = {
  bold: (text: string) => `\u001b[1m${text}\u001b[22m`,
  dim: (text: string) => `\u001b[2m${text}\u001b[22m`,
  cyan: (text: string) => `\u001b[36m${text}\u001b[39m`,
  yellow: (text: string) => `\u001b[33m${text}\u001b[39m`,
  red: (text: string) => `\u001b[31m${text}\u001b[39m`,
};
type Styles = typeof STYLES;
const UNSTYLED: Styles = { bold: PLAIN, dim: PLAIN, cyan: PLAIN, yellow: PLAIN, red: PLAIN };

/**
 * @param nowMs instant of the run's clock
 * @param status what is to be said beside the title: where it comes from, whether the connection stands
 */
export function viewLines(run: WatchedRun, nowMs: number, status: string, options: ViewOptions): string[] {
  const columns = Math.max(LEAST_COLUMNS, options.columns) - 1;
  const styles = options.isColored ? STYLES : UNSTYLED;
  const title = `${clean(run.header.title)}  ${clockText(run, nowMs)}  `;
  const cores = modelCoreLines(run, nowMs, columns);
  return [
    styles.bold(fit(title, columns)) + styles.dim(fit(status, columns - title.length)),
    ...(cores.length === 0 ? [] : ['', ...cores.map((line) => barLine(line, columns, styles))]),
    ...run.models.flatMap((model) => modelLines(model, nowMs, columns, styles)),
  ];
}

function modelLines(watched: WatchedModel, nowMs: number, columns: number, styles: Styles): string[] {
  const { model, lastPlan, instances } = watched;
  const { minMillicores, maxMillicores } = model.limits;
  const seconds = Math.min(WINDOW_SECONDS, columns - MARGIN_COLUMNS);
  const toSecond = Math.floor(nowMs / 1000);
  const series = watched.series(toSecond - seconds + 1, toSecond);
  const summary = watched.summary(toSecond - WINDOW_SECONDS + 1, toSecond);

  const peak = (values: readonly (number | null)[]): number => Math.max(0, ...values.map((value) => value ?? 0));
  const row = (
    label: string,
    values: readonly (number | null)[],
    value: string,
    { top, topText, style }: { top: number; topText: string; style: (text: string) => string },
  ): string =>
    ` ${styles.dim(label.padEnd(8))}${style(sparkline(values, top))}${value.padStart(VALUE_COLUMNS)}` +
    styles.dim(topText.padStart(VALUE_COLUMNS));
  // Both on one scale, that of the larger: how far the one follows the other is to be seen.
  const mostMillicores = Math.max(peak(series.grantedMillicores), peak(series.plannedMillicores));
  const cpu = { top: mostMillicores, topText: coresText(mostMillicores) };
  const mostQueued = peak(series.queueDepth);
  const mostMissed = peak(series.missed);
  const planned = watched.plannedMillicores;
  const steps = watched.stepsSince(toSecond - WINDOW_SECONDS + 1, nowMs);

  const about = `${clean(model.name)} version ${clean(model.version)}, ${clean(model.policy)}, ${coresText(minMillicores)} to ${coresText(maxMillicores)} cores`;
  const state = watched.isWorkerLost ? ', WORKER LOST' : instances === 1 ? '' : `, ${instances} instances`;
  const heads = 'now'.padStart(VALUE_COLUMNS) + 'most'.padStart(VALUE_COLUMNS);
  const titleColumns = 1 + 8 + seconds;
  const textLine = (label: string, text: string): string =>
    ` ${styles.dim(label.padEnd(8))}${fit(text, columns - 9)}`.trimEnd();
  const why = lastPlan === null ? 'none so far' : `${planText(lastPlan.plan)} (${lastPlan.trigger})`;
  const queue = {
    top: mostQueued,
    topText: String(mostQueued),
    style: styles.yellow,
  };
  // Of the last whole second: the one that has begun is still to be counted.
  const lastMissed = `${series.missed.at(-2) ?? 0}/s`;
  const missed = { top: mostMissed, topText: String(mostMissed), style: mostMissed > 0 ? styles.red : PLAIN };
  const heading = (text: string): string =>
    styles.bold(fit(text, titleColumns).padEnd(titleColumns)) + styles.dim(heads);
  if (steps !== null) {
    const count = steps.steps.length;
    return [
      '',
      heading(
        `${clean(model.name)} version ${clean(model.version)}, a pipeline of ${count} ${count === 1 ? 'step' : 'steps'}`,
      ),
      row('held', series.queueDepth, String(watched.queueDepth), queue),
      row('missed', series.missed, lastMissed, missed),
      textLine(`${WINDOW_SECONDS} s`, countsText(summary)),
      textLine('', latenciesText(summary)),
      ...stepLines(steps).map((line) => barLine(line, columns, styles)),
    ];
  }
  return [
    '',
    heading(about + state),
    row('granted', series.grantedMillicores, coresText(watched.grantedMillicores), { ...cpu, style: styles.cyan }),
    row('planned', series.plannedMillicores, planned === null ? '-' : coresText(planned), { ...cpu, style: PLAIN }),
    row('queue', series.queueDepth, String(watched.queueDepth), queue),
    row('missed', series.missed, lastMissed, missed),
    textLine(`${WINDOW_SECONDS} s`, countsText(summary)),
    textLine('', timesText(summary)),
    (lastPlan?.plan.kind === 'infeasible' ? styles.yellow : PLAIN)(textLine('plan', why)),
    ...instanceLines(watched, nowMs).map((line) => barLine(line, columns, styles)),
  ];
}

function barLine({ head, bar, tail }: BarLine, columns: number, styles: Styles): string {
  return ` ${styles.dim(head)}${styles.cyan(bar)}${fit(tail, columns - 1 - head.length - bar.length)}`;
}

/** One line a second of each model: of the last whole second. */
export function plainLines(run: WatchedRun, nowMs: number): string[] {
  const second = Math.floor(nowMs / 1000) - 1;
  return run.models.map((watched) => {
    const { model, lastPlan, queueDepth, grantedMillicores } = watched;
    const summary = watched.summary(second, second);
    const at = `${clockText(run, (second + 1) * 1000)} ${clean(model.name)}: `;
    const steps = watched.stepsSince(second, (second + 1) * 1000);
    if (steps !== null) {
      const own = [`held ${queueDepth}`, countsText(summary), latenciesText(summary), stepsText(steps)];
      return at + own.map((text) => text.replaceAll('  ', ', ')).join('; ');
    }
    const parts = [
      `${coresText(grantedMillicores)} of ${coresText(limitMillicores({ ...model, instances: watched.instances }))} cores`,
      ...runningText(watched),
      `queue ${queueDepth}`,
      countsText(summary).replaceAll('  ', ', '),
      timesText(summary).replaceAll('  ', ', '),
      ...(lastPlan === null ? [] : [`plan ${planText(lastPlan.plan)}`]),
    ];
    return at + parts.join('; ');
  });
}

function runningText({ instancesApart }: WatchedModel): readonly string[] {
  const running = instancesApart.filter(({ batch }) => batch !== null).length;
  return instancesApart.length === 0 ? [] : [`${running} of ${instancesApart.length} instances run`];
}

function countsText({ received, watchedSeconds, outcomes }: Summary): string {
  const { completed_on_time, completed_late, rejected_infeasible, rejected_overload, expired, failed } = outcomes;
  const judged = completed_on_time + missedOf(outcomes);
  return [
    // The second that has only begun would make a rate of its first request.
    `${decimal(received / Math.max(1, watchedSeconds))}/s`,
    judged === 0 ? '- on time' : `${percentOfAll(completed_on_time / judged, 1)} % on time`,
    `${completed_late} late`,
    `${rejected_infeasible + rejected_overload} refused`,
    `${expired} expired`,
    `${failed} failed`,
  ].join('  ');
}

function latenciesText({ p50Ms, p99Ms }: Summary): string {
  return `p50 ${msText(p50Ms)}  p99 ${msText(p99Ms)}`;
}

function timesText(summary: Summary): string {
  const { meanBatchSize, actualToPredicted } = summary;
  return [
    latenciesText(summary),
    `mean batch ${meanBatchSize === null ? '-' : decimal(meanBatchSize)}`,
    `actual/predicted ${actualToPredicted === null ? '-' : actualToPredicted.toFixed(2)}`,
  ].join('  ');
}

function plannedText(plan: Plan): string {
  const { allocations, cpuMillicores, instances } = plan;
  if (allocations === undefined) return `${coresText(cpuMillicores)} cores${instances === 1 ? '' : ` × ${instances}`}`;
  const count = allocations.filter((each) => each > 0).length;
  return `${coresText(plannedMillicores(plan))} cores on ${count} of ${instances} instances`;
}

function planText(plan: Plan): string {
  const what = `${plannedText(plan)}, batch ${plan.batchSize}`;
  return plan.kind === 'feasible' ? `${what}: ${clean(reasonText(plan))}` : `${what}, INFEASIBLE: ${plan.reason}`;
}

/** Zero is the lowest block, and nothing else is; blank where nothing is known. */
export function sparkline(values: readonly (number | null)[], top: number): string {
  return values
    .map((value) => {
      if (value === null) return ' ';
      if (value <= 0 || top <= 0) return BLOCKS[0]!;
      return BLOCKS[Math.max(1, Math.min(BLOCKS.length - 1, Math.round((BLOCKS.length - 1) * (value / top))))]!;
    })
    .join('');
}

/** Wall time where the run has one, time since its beginning elsewhere. */
function clockText({ header: { startedAt, startedAtMs } }: WatchedRun, nowMs: number): string {
  const elapsedMs = Math.max(0, nowMs - startedAtMs);
  const startMs = startedAt === null ? 0 : Date.parse(startedAt);
  return new Date((Number.isFinite(startMs) ? startMs : 0) + elapsedMs).toISOString().slice(11, 19);
}

function decimal(value: number): string {
  return value.toFixed(1);
}
