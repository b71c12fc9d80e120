import { markdownTable } from '../markdown-table.js';
import type { RunOrigin } from '../../src/reports/run-origin.js';
import { originText } from '../planner/planner-page.js';
import { percentText, targetTable } from '../planner/target.js';
import { podsTargets, type PodsResults, type Pooled, type RoutingTable } from './pods-experiment.js';

/* The numbers of many pods as a part of a Markdown page. */

export function podsPage(results: PodsResults, origin: RunOrigin): string {
  const { seeds } = results;
  const table = (key: string): RoutingTable => results.tables.find((each) => each.key === key)!;
  return [
    originText(origin),
    '',
    `Seeds 2001 to ${2000 + seeds}, pooled; every row meets the same requests. Lost: late, refused or lost with a pod.`,
    '',
    ...targetTable(podsTargets(results)),
    '',
    '### How many pods',
    '',
    'Lost of 100 at 0.9 of capacity, and in brackets of those with the tightest budget; one front, no retries. `16 whole`: whole schedulers, with one queue of theirs.',
    '',
    ...routingTable(table('pods'), lostWithTight),
    '',
    'The last row bounds from above what one queue that knows the future could do. One queue as it is simulated knows nothing of it, and need not be the best.',
    '',
    '### How much is asked of them',
    '',
    'Lost of 100, 16 pods (15 of three sizes: 0.2, 0.5, 0.8 cores), the shorter form. `tight`: budgets of 120, 240, 480 and 960 ms.',
    '',
    ...routingTable(table('loads'), lostWithTight),
    '',
    '### Whole schedulers and the shorter form',
    '',
    'Lost of 100, 8 pods; in brackets how many requests share a batch.',
    '',
    ...routingTable(
      table('whole'),
      ({ lostFraction, meanBatchSize }) => `${lostText(lostFraction)} (${meanBatchSize.toFixed(1)})`,
    ),
    '',
    '### How old reports are',
    '',
    'Lost of 100 behind the picker, 64 pods at 0.9.',
    '',
    ...routingTable(table('reports'), lostWithTight),
    '',
    '### How many fronts',
    '',
    'Lost of 100, 64 pods at 0.9; each front has its share of the requests by chance and knows of no other.',
    '',
    ...routingTable(table('fronts'), lostWithTight),
    '',
    '### Pods that die, pods that are slow',
    '',
    'Lost of 100, of these with a pod, and retries; 64 pods at 0.7. Eight die, one after another, and are back after 10 s. Of a process that dies whoever calls is told at once, and the fronts are',
    'told within 3 s; of a node nobody is told anything before. Slow: every eighth pod takes 1.5 times what it believes.',
    '',
    ...routingTable(table('trouble'), ({ lostFraction, ends, sent, retries }) =>
      [lostText(lostFraction), lostText(ends.lost / sent), String(retries)].join(' · '),
    ),
  ].join('\n');
}

function routingTable({ columns, rows, key }: RoutingTable, text: (pooled: Pooled) => string): string[] {
  const bound = key === 'pods' ? [['nobody less, by the bound', ...rows[0]!.outcomes.map(unavoidableText)]] : [];
  return markdownTable([
    ['', ...columns],
    ...rows.map(({ title, outcomes }) => [title, ...outcomes.map(text)]),
    ...bound,
  ]);
}

function lostText(fraction: number): string {
  return percentText(fraction);
}

function lostWithTight({ lostFraction, tightLostFraction }: Pooled): string {
  return `${lostText(lostFraction)} (${lostText(tightLostFraction)})`;
}

function unavoidableText({ unavoidableFraction }: Pooled): string {
  return lostText(unavoidableFraction);
}
