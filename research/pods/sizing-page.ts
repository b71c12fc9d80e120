import { markdownTable } from '../markdown-table.js';
import type { RunOrigin } from '../../src/reports/run-origin.js';
import { originText } from '../planner/planner-page.js';
import { percentText, targetTable } from '../planner/target.js';
import { sizingTargets, type Sized, type SizingResults } from './sizing-experiment.js';

/* The numbers of sizing a workload as a part of a Markdown page. */

export function sizingPage(results: SizingResults, origin: RunOrigin): string {
  const { seeds, daySeconds, sizing } = results;
  return [
    originText(origin),
    '',
    ...targetTable(sizingTargets(results)),
    '',
    `A day of ${daySeconds} s from 40 to 320 requests/s with a flash crowd of 300 more within five seconds; seeds 2001 to ${2000 + seeds}. Core-seconds of all of them, cold starts and a quarter core`,
    "for each pod's router included.",
    '',
    ...sizingTable(sizing),
  ].join('\n');
}

function sizingTable(sizing: readonly Sized[]): string[] {
  return markdownTable([
    ['', 'lost of 100', 'core-seconds held', 'used', 'pods, mean', 'most', 'asked for and given up', 'resizes'],
    ...sizing.map((each) => [
      titleOf(each.policy),
      percentText(each.lostFraction),
      String(Math.round(each.heldCoreSeconds)),
      String(Math.round(each.usedCoreSeconds)),
      each.meanReplicas.toFixed(1),
      String(each.mostReplicas),
      each.replicaChanges.toFixed(0),
      each.resizes.toFixed(0),
    ]),
  ]);
}

function titleOf(policy: Sized['policy']): string {
  const [kind, first, cores, windowSec] = policy.split(' ');
  switch (kind) {
    case 'sponge':
      return `\`sponge operate\`'s decision, ${first} to be met`;
    case 'hpa': {
      const window = windowSec === undefined ? '' : `, window down ${windowSec} s`;
      return `HPA on queue time, ${first} ms, pods of ${cores}${window}`;
    }
    case 'vpa':
      return `VPA each minute, ${first} pods`;
    case 'themis':
      return 'after Themis';
    default:
      return `${first} pods of one core`;
  }
}
