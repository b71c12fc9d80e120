import { describe, expect, it } from 'vitest';
import { PLACES, TopModels } from './top-models.js';

describe('TopModels', () => {
  it('has a place for each of a few models, in the order in which they are served', () => {
    const top = new TopModels();
    top.update([1, 5, 0]);
    expect(top.places).toEqual([0, 1, 2, -1, -1, -1, -1, -1]);
  });

  it('shows the largest of many', () => {
    const top = new TopModels();
    // Of 49 the last eight have the most.
    top.update(Array.from({ length: 49 }, (_, model) => model));
    expect([...top.places].sort((a, b) => a - b)).toEqual([41, 42, 43, 44, 45, 46, 47, 48]);
  });

  it('leaves a model its place until it is no longer about one of the largest', () => {
    const top = new TopModels();
    const sizes = Array.from({ length: 12 }, (_, model) => 100 - model);
    top.update(sizes);
    const before = [...top.places];
    expect(before).toEqual([0, 1, 2, 3, 4, 5, 6, 7]);
    // Model 0 is the tenth now: it stays, and nobody else changes place.
    top.update(sizes.with(0, 90.5));
    expect(top.places).toEqual(before);
    // The eleventh: the largest that has no place, 8, has its.
    top.update(sizes.with(0, 89.5));
    expect(top.places).toEqual(before.with(0, 8));
    expect(new Set(top.places).size).toBe(PLACES);
  });
});
