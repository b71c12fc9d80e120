import { describe, expect, it } from 'vitest';
import { metricsIn, missing } from './promql.js';

const PAGE = `# HELP sponge_outcomes_total x
# TYPE sponge_outcomes_total counter
sponge_outcomes_total{model="m",outcome="expired",reason="expired"} 0
sponge_outcomes_total{model="m",outcome="failed",reason=""} 3
sponge_pressure 0
sponge_slack_seconds_bucket{le="-5",model="m"} 0
`;

describe('what an expression asks for', () => {
  it('is its metrics, labels, values and groupings', () => {
    expect(
      metricsIn('sum by (reason) (rate(sponge_outcomes_total{model=~"$m",outcome=~"a|b",reason!="c"}[1m]))'),
    ).toEqual([
      {
        metric: 'sponge_outcomes_total',
        labels: [
          { name: 'model', values: null },
          { name: 'outcome', values: ['a', 'b'] },
          { name: 'reason', values: ['c'] },
        ],
        groupedBy: ['reason'],
      },
    ]);
  });

  it.for([
    ['rate(sponge_outcomes_total{model=~"$m",outcome=~"expired|failed"}[1m]) / max(sponge_pressure{instance="x"})', []],
    ['sum by (le, pod) (rate(sponge_slack_seconds_bucket[1m]))', []],
    ['sponge_outcome_total', ['sponge_outcome_total: there is no such metric']],
    ['sponge_slack_seconds', ['sponge_slack_seconds: there is no such metric']],
    [
      'sponge_pressure{model="m"}',
      ['sponge_pressure: there is no label model', 'sponge_pressure: no series has model="m"'],
    ],
    ['sponge_outcomes_total{outcome="shed"}', ['sponge_outcomes_total: no series has outcome="shed"']],
    ['sum by (stage) (sponge_outcomes_total)', ['sponge_outcomes_total: there is no label stage']],
  ] as const)('is missing where a page of metrics has it not: %s', ([expression, complaints]) => {
    expect(missing(expression, PAGE)).toEqual(complaints);
  });
});
