/* What a PromQL expression asks for, as far as that can be read without a parser: metrics, their labels, and the values that they are compared with. */

export interface MetricUse {
  readonly metric: string;
  readonly labels: readonly LabelUse[];
  /** It is summed or grouped by these. */
  readonly groupedBy: readonly string[];
}

export interface LabelUse {
  readonly name: string;
  /** What it must be one of; null for a variable or a pattern. */
  readonly values: readonly string[] | null;
}

const METRIC = /\b((?:sponge|nv)_[a-z0-9_]+)(?:\{([^}]*)\})?/g;
const LABEL = /([a-z_]+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g;
const GROUPING = /\bby\s*\(([^)]*)\)/g;

/** The metrics of an expression. A grouping counts for each of them: none of ours mixes metrics under several. */
export function metricsIn(expression: string): readonly MetricUse[] {
  const groupedBy = [...expression.matchAll(GROUPING)]
    .flatMap(([, names]) => names!.split(','))
    .map((name) => name.trim())
    .filter((name) => /^[a-z_]+$/.test(name));
  return [...expression.matchAll(METRIC)].map(([, metric, matchers = '']) => ({
    metric: metric!,
    labels: [...matchers.matchAll(LABEL)].map(([, name, operator, value]) => ({
      name: name!,
      values: valuesOf(operator!, value!),
    })),
    groupedBy: [...new Set(groupedBy)],
  }));
}

/** `a|b` is two values; whatever else a pattern has makes it one that is not looked into. */
function valuesOf(operator: string, value: string): readonly string[] | null {
  if (/[$<]/.test(value)) return null;
  if (!operator.endsWith('~')) return [value];
  return /^[\w|.-]+$/.test(value) && !value.includes('.*') ? value.split('|') : null;
}

/** A page of /metrics: of each metric, by the name that a query has, its series' labels. */
function seriesOf(exposition: string): ReadonlyMap<string, readonly ReadonlyMap<string, string>[]> {
  const series = new Map<string, ReadonlyMap<string, string>[]>();
  for (const line of exposition.split('\n')) {
    const [, name, labels = ''] = /^([a-z_][a-z0-9_]*)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pairs = [...labels.matchAll(/([a-z_]+)="((?:[^"\\]|\\.)*)"/g)].map(
      ([, key, value]) => [key!, value!] as const,
    );
    series.set(name, [...(series.get(name) ?? []), new Map(pairs)]);
  }
  return series;
}

/** Those that Prometheus adds to what it scrapes. */
const TARGET_LABELS = new Set(['instance', 'namespace', 'pod', 'job']);

/** What an expression asks for and a page of /metrics does not have, a line each. */
export function missing(expression: string, exposition: string): readonly string[] {
  const series = seriesOf(exposition);
  return metricsIn(expression).flatMap(({ metric, labels, groupedBy }) => {
    const all = series.get(metric);
    if (all === undefined) return [`${metric}: there is no such metric`];
    const names = [...labels.map(({ name }) => name), ...groupedBy].filter((name) => !TARGET_LABELS.has(name));
    const unknown = names.filter((name) => !all.some((each) => each.has(name)));
    const values = labels.flatMap(({ name, values }) =>
      (values ?? [])
        .filter((value) => !TARGET_LABELS.has(name) && !all.some((each) => each.get(name) === value))
        .map((value) => `${metric}: no series has ${name}="${value}"`),
    );
    return [...unknown.map((name) => `${metric}: there is no label ${name}`), ...values];
  });
}
