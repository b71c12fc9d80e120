import { describe, expect, it } from 'vitest';
import { handMadeResults, handMadeRun, handMadeSimulation } from '../../test/fixtures/live-results.js';
import { livePage } from './live-page.js';

const live = [50, 52, 54].flatMap((coreSeconds, index) => [
  handMadeRun({ case: 'sponge', repetition: index + 1, measures: { coreSeconds, violationRate: 0.01 } }),
  handMadeRun({ case: 'paper', repetition: index + 1, measures: { coreSeconds: coreSeconds + 20, resizes: 2 } }),
]);
const page = livePage(handMadeResults(['sponge', 'paper'], live, [handMadeSimulation('sponge', { coreSeconds: 53 })]));
const lines = page.split('\n');

describe('the page of a live experiment', () => {
  it('begins with where the numbers come from', () => {
    for (const text of ['`npm run research -- live`', '2026-11-25', 'commit abc1234', 'seed 1', 'Some CPU, 2 cores']) {
      expect(lines[0]).toContain(text);
    }
    expect(lines[0]).toContain('3 interleaved repetitions');
    expect(lines[0]).toContain('at least 20.0 core-seconds');
  });

  it('has a line of medians and ranges for each setting', () => {
    expect(lines).toContainEqual(expect.stringMatching(/^\| sponge \| released \| 1\.00 \| 52\.0 \(50\.0–54\.0\) \|/));
    expect(lines).toContainEqual(expect.stringMatching(/^\| paper \| released \| 0 \| 72\.0 \(70\.0–74\.0\) \|/));
  });

  it('says what went worse, a bullet each', () => {
    expect(lines).toContain('- Violations, idle CPU released: sponge 1.00 %; less: paper 0 %.');
    expect(lines).toContain('- Resizes, idle CPU released: sponge 10; less: paper 2.');
  });

  it('puts live and simulated side by side', () => {
    // 53 / 52 − 1 = +1.9 %, between 50 and 54.
    expect(lines).toContainEqual(expect.stringMatching(/^\| sponge \| released \| ○ \+1\.9 %: 52\.0 → 53\.0 \|/));
  });

  it('has tables whose rows are as long as their heads', () => {
    const widths = lines.filter((line) => line.startsWith('|')).map((line) => line.split(' | ').length);
    expect(new Set(widths.filter((width) => width > 1)).size).toBe(2);
  });
});
