import { describe, expect, it } from 'vitest';
import { AccuracyPacer } from './objective.js';

const ACCURACIES = [60, 70, 74];
const at = (meanAccuracy: number): AccuracyPacer => new AccuracyPacer({ kind: 'cores', meanAccuracy }, ACCURACIES);

/** Gives batches of ten what is allowed at most, none of which is answered meanwhile. @returns how many requests each level has */
function given(pacer: AccuracyPacer, batches: number): readonly number[] {
  const counts = ACCURACIES.map(() => 0);
  for (let batch = 0; batch < batches; batch++) {
    const level = pacer.mostLevel;
    for (let index = 0; index < 10; index++) pacer.count(null, level);
    counts[level]! += 10;
  }
  return counts;
}

describe('the pace of a mean accuracy', () => {
  it('allows the best where the highest accuracy is asked for', () => {
    expect(new AccuracyPacer({ kind: 'accuracy' }, ACCURACIES).mostLevel).toBe(2);
  });

  it('mixes the two variants around the mean, and not the best, whose work is dear, however many batches are under way', () => {
    // Half way: as many of 60 as of 70.
    expect(given(at(65), 40)).toEqual([200, 200, 0]);
  });

  it('gives back by the best what bursts were given less, until nothing is owed', () => {
    const pacer = at(70);
    // 10 owed by each of 30: more than 16 × (74 − 60) = 224.
    for (let index = 0; index < 30; index++) pacer.count(null, 0);
    expect(pacer.mostLevel).toBe(2);
    let paidBack = 0;
    while (pacer.mostLevel === 2 && paidBack < 1000) {
      pacer.count(null, 2);
      paidBack += 1;
    }
    // 300 owed, 4 of it given back by each.
    expect(paidBack).toBe(75);
    expect(pacer.mostLevel).toBe(1);
  });

  it('counts a request once, by what it has in the end, and not where it has no answer', () => {
    const pacer = at(70);
    for (let index = 0; index < 30; index++) pacer.count(null, 0);
    for (let index = 0; index < 15; index++) pacer.count(0, 1);
    for (let index = 0; index < 15; index++) pacer.count(0, null);
    expect(pacer.mostLevel).toBe(1);
  });
});
