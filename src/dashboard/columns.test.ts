import { describe, expect, it } from 'vitest';
import { Columns, lowerBound } from './columns.js';

function filled(rows: number, capacity: number): Columns<'atMs' | 'value'> {
  const columns = new Columns(['atMs', 'value'], capacity);
  for (let row = 0; row < rows; row++) columns.push({ atMs: row, value: 10 * row });
  return columns;
}

describe('columns', () => {
  it('give back what was pushed, in order, past their first storage', () => {
    const columns = filled(1000, 1000);
    expect(columns.length).toBe(1000);
    expect(columns.dropped).toBe(0);
    expect([...columns.column('value').slice(0, 3)]).toEqual([0, 10, 20]);
    expect(columns.last('value')).toBe(9990);
  });

  it('keep at least the last rows of their capacity and at most twice as many', () => {
    for (let rows = 1; rows <= 60; rows++) {
      const columns = filled(rows, 8);
      expect(columns.length + columns.dropped).toBe(rows);
      expect(columns.length).toBeGreaterThanOrEqual(Math.min(rows, 8));
      expect(columns.length).toBeLessThanOrEqual(16);
      expect(columns.column('atMs')[0]).toBe(columns.dropped);
      expect(columns.last('atMs')).toBe(rows - 1);
    }
  });

  it('know a row by its id until it is forgotten', () => {
    const columns = new Columns(['value'], 2);
    const ids = [1, 2, 3, 4, 5].map((value) => columns.push({ value }));
    expect(ids).toEqual([0, 1, 2, 3, 4]);
    // The fifth did not fit into twice two: the first two went.
    expect(columns.dropped).toBe(2);
    columns.set(0, 'value', 99);
    columns.set(3, 'value', 40);
    expect(columns.get(0, 'value')).toBeNaN();
    expect([...columns.column('value')]).toEqual([3, 40, 5]);
  });

  it('have no last value while they are empty', () => {
    expect(new Columns(['value'], 4).last('value')).toBeNaN();
  });
});

describe('the lower bound', () => {
  it('is the first value that is not less, or the end', () => {
    const ascending = Float64Array.of(1, 3, 3, 7);
    expect([0, 1, 2, 3, 4, 7, 8].map((bound) => lowerBound(ascending, bound))).toEqual([0, 0, 1, 1, 3, 3, 4]);
  });
});
