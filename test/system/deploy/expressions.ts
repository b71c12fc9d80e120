import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { parse } from 'yaml';

/* Every PromQL expression in deploy/, with the place that it is from. */

export const REPOSITORY = fileURLToPath(new URL('../../../', import.meta.url));

export interface Expression {
  readonly place: string;
  readonly text: string;
}

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string }[];
}

export interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly definition?: string }[] };
}

interface AdapterRule {
  readonly seriesQuery: string;
  readonly metricsQuery: string;
  readonly name: { readonly as: string };
}

export function readDashboard(): Dashboard {
  return JSON.parse(readFileSync(`${REPOSITORY}deploy/grafana/sponge.json`, 'utf8')) as Dashboard;
}

export function dashboardExpressions(): readonly Expression[] {
  const { panels, templating } = readDashboard();
  const ofPanels = panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ place: `dashboard, "${title}"`, text: expr })),
  );
  // label_values(metric, label): the same question in Grafana's words.
  const ofVariables = templating.list.flatMap(({ name, definition }) => {
    const [, metric, label] = /^label_values\((\w+), (\w+)\)$/.exec(definition ?? '') ?? [];
    return metric === undefined
      ? []
      : [{ place: `dashboard, variable ${name}`, text: `sum by (${label}) (${metric})` }];
  });
  return [...ofPanels, ...ofVariables];
}

function adapterRules(): readonly AdapterRule[] {
  const { rules } = parse(readFileSync(`${REPOSITORY}deploy/prometheus/adapter.yaml`, 'utf8')) as {
    readonly rules: { readonly custom: readonly AdapterRule[] };
  };
  return rules.custom;
}

export function adapterExpressions(): readonly Expression[] {
  return adapterRules().flatMap(({ name, seriesQuery, metricsQuery }) =>
    [seriesQuery, metricsQuery].map((text) => ({ place: `adapter, ${name.as}`, text })),
  );
}

/** The queries of the chart's ScaledObject, as far as they are text of the template. */
export function scaledObjectExpressions(): readonly Expression[] {
  const template = readFileSync(`${REPOSITORY}deploy/helm/sponge/templates/autoscaling.yaml`, 'utf8');
  const queries = [...template.matchAll(/query: >-\n((?: {10}.+\n)+)/g)];
  return queries.map(([, text], index) => ({
    place: `chart, trigger ${index + 1}`,
    text: text!.replaceAll(/\{ \{\{- \$where -\}\} (,?)/g, '{').trim(),
  }));
}
