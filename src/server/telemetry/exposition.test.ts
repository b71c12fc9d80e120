import { describe, expect, it } from 'vitest';
import { Exposition } from './exposition.js';

describe('Exposition', () => {
  it('writes counters and gauges with their labels in one order, and labels so that they can be read back', () => {
    const exposition = new Exposition();
    const calls = exposition.counter('calls_total', 'Calls.', ['model', 'kind']);
    calls.of({ model: 'a', kind: 'x' }).value += 2;
    calls.of({ kind: 'x', model: 'a' }).value += 1;
    calls.of({ model: 'back\\slash "quoted"\nname', kind: '' });
    exposition.gauge('load', 'Load.', []).of({}).value = -0.5;
    exposition.gauge('never_set', 'Nothing.', ['model']);
    expect(exposition.render()).toBe(
      [
        '# HELP calls_total Calls.',
        '# TYPE calls_total counter',
        'calls_total{model="a",kind="x"} 3',
        'calls_total{model="back\\\\slash \\"quoted\\"\\nname",kind=""} 0',
        '',
        '# HELP load Load.',
        '# TYPE load gauge',
        'load -0.5',
        '',
        '# HELP never_set Nothing.',
        '# TYPE never_set gauge',
        '',
      ].join('\n'),
    );
  });

  it('counts in each bucket of a histogram what is at most its bound', () => {
    const exposition = new Exposition();
    const sizes = exposition.histogram('size', 'Size.', [-1, 0, 2.5], ['model']).of({ model: 'm' });
    for (const value of [-7, -1, -0.5, 0, 2.5, 2.6, Infinity]) sizes.observe(value);
    const plain = exposition.histogram('plain', 'Plain.', [1], []).of({});
    plain.observe(0.25);
    expect(
      exposition
        .render()
        .split('\n')
        .filter((line) => /^[a-z]/.test(line)),
    ).toEqual([
      'size_bucket{le="-1",model="m"} 2',
      'size_bucket{le="0",model="m"} 4',
      'size_bucket{le="2.5",model="m"} 5',
      'size_bucket{le="+Inf",model="m"} 7',
      'size_sum{model="m"} +Inf',
      'size_count{model="m"} 7',
      'plain_bucket{le="1"} 1',
      'plain_bucket{le="+Inf"} 1',
      'plain_sum 0.25',
      'plain_count 1',
    ]);
  });
});
