import { describe, expect, it } from 'vitest';
import {
  handMadeResults,
  handMadeRun,
  handMadeSimulation,
  type LiveNumbers,
} from '../../test/fixtures/live-results.js';
import type { LiveRun, RunMeasures } from './live-results.js';
import { standing, whatWentWorse } from './what-went-worse.js';

/** One run for each value. */
function runs(
  name: string,
  key: keyof RunMeasures,
  values: readonly number[],
  more: Partial<LiveNumbers> = {},
): LiveRun[] {
  return values.map((value, index) =>
    handMadeRun({ case: name, repetition: index + 1, measures: { [key]: value }, ...more }),
  );
}

describe('what went worse', () => {
  it('names the policies whose range lies below that of sponge', () => {
    const live = [
      ...runs('sponge', 'latencyP50Ms', [500, 510, 520]),
      ...runs('paper', 'latencyP50Ms', [300, 310, 320]),
      ...runs('fa2', 'latencyP50Ms', [600, 610, 620]),
    ];
    expect(whatWentWorse(handMadeResults(['sponge', 'paper', 'fa2'], live))).toEqual([
      'P50 latency, idle CPU released: sponge 510 ms (500–520); less: paper 310 ms (300–320).',
    ]);
  });

  it('calls what overlaps within the spread, and is silent where sponge has the lower median', () => {
    const live = [
      ...runs('sponge', 'coreSeconds', [50, 54, 58]),
      ...runs('paper', 'coreSeconds', [49, 52, 55]),
      ...runs('fa2', 'coreSeconds', [53, 55, 57]),
    ];
    expect(whatWentWorse(handMadeResults(['sponge', 'paper', 'fa2'], live))).toEqual([
      'Core-seconds, idle CPU released: sponge 54.0 (50.0–58.0); a lower median, but within the spread: paper 52.0 (49.0–55.0).',
    ]);
  });

  it('compares only runs with the same setting of idle CPU', () => {
    const live = [
      ...runs('sponge', 'resizes', [100, 100]),
      ...runs('paper', 'resizes', [5, 5], { isIdleReleased: false }),
    ];
    expect(whatWentWorse(handMadeResults(['sponge', 'paper'], live))).toEqual([]);
  });

  it('says once what holds whether idle CPU is released or kept', () => {
    const both = [true, false].flatMap((isIdleReleased) => [
      ...runs('sponge', 'resizes', [100, 110], { isIdleReleased }),
      ...runs('paper', 'resizes', [5, 6], { isIdleReleased }),
    ]);
    expect(whatWentWorse(handMadeResults(['sponge', 'paper'], both))).toEqual([
      'Resizes, idle CPU released or kept: sponge 105 (100–110); less: paper 5.5 (5–6).',
    ]);
  });

  it('says that one repetition tells nothing of the spread', () => {
    const live = [...runs('sponge', 'resizes', [100]), ...runs('paper', 'resizes', [5])];
    expect(whatWentWorse(handMadeResults(['sponge', 'paper'], live))).toEqual([
      'One repetition: nothing is known of the spread, so any difference below may be chance.',
      'Resizes, idle CPU released: sponge 100; less: paper 5.',
    ]);
  });

  it('does not call violations fewer that may be so by chance, however often the same load was repeated', () => {
    // 3 of 300 against none: 95 % intervals 0.34 to 2.9 % and 0 to 1.3 %.
    const few = (name: string, violationRate: number) =>
      [1, 2, 3].map((repetition) => handMadeRun({ case: name, repetition, measures: { sent: 100, violationRate } }));
    const results = handMadeResults(['sponge', 'paper'], [...few('sponge', 0.01), ...few('paper', 0)]);
    expect(whatWentWorse(results)).toEqual([
      'Violations, idle CPU released: sponge 1.00 %; a lower median, but within the spread: paper 0 %.',
    ]);
  });

  it('counts the settings in which every repetition is worse than simulated, and shows the furthest', () => {
    const live = [
      ...runs('sponge', 'violationRate', [0.02, 0.03]),
      ...runs('paper', 'violationRate', [0.06, 0.08]),
      ...runs('fa2', 'violationRate', [0.05, 0.05]),
    ];
    const simulated = [
      handMadeSimulation('sponge', { violationRate: 0.01 }),
      handMadeSimulation('paper', { violationRate: 0.02 }),
      handMadeSimulation('fa2', { violationRate: 0.05 }),
    ];
    expect(whatWentWorse(handMadeResults(['sponge', 'paper', 'fa2'], live, simulated))).toEqual([
      'Violations: every live repetition is above the simulation in 2 of 3 settings; furthest for paper, idle CPU released: ' +
        '7.00 % (6.00–8.00) live, 2.00 % simulated.',
    ]);
  });

  it('says where the generator was late, busy, badly paced or incomplete, and what else the machine did', () => {
    const quantiles = (p99: number) => ({ p50: 0, p95: 0, p99, max: p99 });
    const quiet = handMadeRun({ case: 'sponge', repetition: 1 });
    const disturbed = handMadeRun({
      case: 'sponge',
      repetition: 2,
      generator: {
        cores: 0.2,
        busiestFraction: 0.9,
        sendLateMs: quantiles(31.4),
        pacingErrorFraction: quantiles(0.05),
      },
    });
    const short = { ...disturbed, otherCores: 0.75, load: { ...disturbed.load, planned: disturbed.load.sent + 4 } };
    expect(whatWentWorse(handMadeResults(['sponge'], [quiet, short]))).toEqual([
      'In 1 of 2 runs the generator sent its latest percent of requests more than 10 ms late; at worst 31.4 ms (sponge, idle CPU released, repetition 2).',
      "In 1 of 2 runs the generator's busiest thread was busy for more than 70.0 % of the time; at worst 90.0 % (sponge, idle CPU released, repetition 2).",
      'In 1 of 2 runs the worst percent of uploads took more than 2.0 % longer or shorter than planned; at worst 5.0 % (sponge, idle CPU released, repetition 2).',
      'In 1 of 2 runs the generator did not send all that was planned; at worst 4 not sent (sponge, idle CPU released, repetition 2).',
      // 0.75 less the generator's own 0.2.
      'In 1 of 2 runs something else on the machine used more than 0.1 cores; at worst 0.55 cores (sponge, idle CPU released, repetition 2).',
    ]);
  });

  it('is silent of what was not measured', () => {
    const run = { throttledSeconds: null, otherCores: null };
    const generator = { sendLateMs: null, pacingErrorFraction: null };
    const live = [1, 2].flatMap((repetition) => [
      handMadeRun({ case: 'sponge', repetition, measures: { latencyP99Ms: null }, run, generator }),
      handMadeRun({ case: 'paper', repetition, generator }),
    ]);
    expect(whatWentWorse(handMadeResults(['sponge', 'paper'], live))).toEqual([]);
  });
});

describe('where sponge stands', () => {
  const live = [
    ...runs('sponge', 'coreSeconds', [50, 54]),
    ...runs('paper', 'coreSeconds', [53, 60]),
    ...runs('static full', 'coreSeconds', [150, 151]),
    ...runs('fa2', 'coreSeconds', [40, 45]),
  ];
  const names = ['sponge', 'paper', 'static full', 'fa2'];

  it('is below, above or within the spread of the others', () => {
    expect(standing(handMadeResults(names, live))).toEqual([
      'With idle CPU released, sponge’s core-seconds are below those of static full, above those of fa2, within the spread of paper; ' +
        'its violations are within the spread of paper, static full and fa2.',
    ]);
  });

  it('is not known after one repetition', () => {
    expect(standing({ ...handMadeResults(names, live), repetitions: 1 })).toEqual([]);
  });
});
