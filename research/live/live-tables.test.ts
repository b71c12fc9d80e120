import { describe, expect, it } from 'vitest';
import { handMadeResults, handMadeRun, handMadeSimulation } from '../../test/fixtures/live-results.js';
import {
  AGREEMENT_MEASURES,
  agreementsOf,
  compare,
  HEADLINE,
  liveSpread,
  measuredText,
  MEASURES,
  settingsOf,
  spreadOf,
  spreadText,
} from './live-tables.js';

describe('settings', () => {
  it('are policy by policy in the order of the cases, idle CPU released first, without those that never ran', () => {
    const live = [
      handMadeRun({ case: 'paper', repetition: 1 }),
      handMadeRun({ case: 'sponge', repetition: 1, isIdleReleased: false }),
      handMadeRun({ case: 'sponge', repetition: 1 }),
      handMadeRun({ case: 'sponge', repetition: 2 }),
    ];
    const simulated = [handMadeSimulation('sponge')];
    const settings = settingsOf(handMadeResults(['sponge', 'fa2', 'paper'], live, simulated));
    expect(
      settings.map(({ liveCase, isIdleReleased, live, simulated }) => [
        liveCase.name,
        isIdleReleased,
        live.map(({ repetition }) => repetition),
        simulated !== null,
      ]),
    ).toEqual([
      ['sponge', true, [1, 2], true],
      ['sponge', false, [1], false],
      ['paper', true, [1], false],
    ]);
  });
});

describe('the spread over repetitions', () => {
  it('is the median between the least and the most', () => {
    expect(spreadOf([3, 1, 2])).toEqual({ median: 2, least: 1, most: 3 });
    expect(spreadOf([1, 2, 4, 10])).toEqual({ median: 3, least: 1, most: 10 });
  });

  it('leaves out what is not known, and is null where nothing is', () => {
    expect(spreadOf([null, 5, null])).toEqual({ median: 5, least: 5, most: 5 });
    expect(spreadOf([null])).toBeNull();
  });

  it('is written with its range, unless all are the same to the eye', () => {
    expect(spreadText({ median: 512.4, least: 500, most: 520.2 }, MEASURES.latencyP50Ms)).toBe('512 (500–520)');
    expect(spreadText({ median: 512.4, least: 512.1, most: 512.4 }, MEASURES.latencyP50Ms)).toBe('512');
    expect(spreadText(null, MEASURES.latencyP50Ms)).toBe('–');
    expect(measuredText({ median: 0.02, least: 0.01, most: 0.035 }, MEASURES.violations)).toBe('2.00 % (1.00–3.50)');
    expect(measuredText({ median: 52, least: 52, most: 52 }, MEASURES.coreSeconds)).toBe('52.0');
    expect(measuredText({ median: 5, least: 5, most: 5 }, MEASURES.routerCpuSeconds)).toBe('5.00 s');
  });

  it('of two policies decides only where the ranges are apart', () => {
    const range = (least: number, most: number) => ({ median: (least + most) / 2, least, most });
    expect(compare(range(1, 2), range(3, 4))).toBe('below');
    expect(compare(range(3, 4), range(1, 2))).toBe('above');
    expect(compare(range(1, 3), range(2, 9))).toBe('overlapping');
    expect(compare(range(1, 2), range(2, 3))).toBe('overlapping');
    expect(compare(range(0, 0), range(0, 0))).toBe('overlapping');
  });
});

describe('measures', () => {
  it('never round a violation away', () => {
    const { onTime, violations } = MEASURES;
    expect([0, 0.00005, 0.0123, 0.25].map(violations.text)).toEqual(['0', '< 0.01', '1.23', '25.0']);
    expect([1, 0.99999, 0.75].map(onTime.text)).toEqual(['100', '99.99', '75.00']);
  });

  it('have mean cores from the core-seconds, and the router of live runs alone', () => {
    const run = handMadeRun({ case: 'sponge', measures: { coreSeconds: 60, durationSec: 40 } });
    expect(MEASURES.meanCores.of(run)).toBe(1.5); // 60 core-seconds in 40 s
    expect(MEASURES.routerCpuSeconds.of(run)).toBe(5);
    expect(MEASURES.routerCpuSeconds.of(handMadeSimulation('sponge'))).toBeNull();
  });

  it('of the main table are all there for a live run that knows everything', () => {
    const [setting] = settingsOf(handMadeResults(['sponge'], [handMadeRun({ case: 'sponge' })]));
    for (const measure of HEADLINE) expect(liveSpread(setting!, measure), measure.name).not.toBeNull();
  });
});

describe('agreement', () => {
  const live = [90, 100, 120].map((coreSeconds, index) =>
    handMadeRun({
      case: 'sponge',
      repetition: index + 1,
      measures: { coreSeconds, violationRate: 0.01, latencyP99Ms: null, resizes: 0 },
    }),
  );
  const simulation = handMadeSimulation('sponge', {
    coreSeconds: 110,
    violationRate: 0.004,
    latencyP50Ms: 190,
    resizes: 3,
  });
  const cells = agreementsOf(handMadeResults(['sponge'], live, [simulation]))[0]!.cells;
  const cellOf = (measure: (typeof AGREEMENT_MEASURES)[number]) => cells[AGREEMENT_MEASURES.indexOf(measure)];

  it('says how far the simulation is from the median of the live runs', () => {
    // 110 / 100 − 1, and 110 is between 90 and 120.
    expect(cellOf(MEASURES.coreSeconds)).toMatchObject({ error: '+10.0 %', isWithinRange: true });
    // 190 / 200 − 1, and all live runs have 200.
    expect(cellOf(MEASURES.latencyP50Ms)).toMatchObject({ error: '−5.0 %', isWithinRange: false });
  });

  it('is in points for violations', () => {
    expect(cellOf(MEASURES.violations)).toMatchObject({ error: '−0.60 pt', isWithinRange: false });
  });

  it('has no share of nothing, and nothing where one side has none', () => {
    expect(cellOf(MEASURES.resizes)).toMatchObject({ error: '–' });
    expect(cellOf(MEASURES.latencyP99Ms)).toBeNull();
  });

  it('has no line for what was not simulated', () => {
    expect(agreementsOf(handMadeResults(['sponge'], live))).toEqual([]);
  });
});
