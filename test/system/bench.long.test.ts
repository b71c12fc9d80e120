import { it } from 'vitest';
import { EXPECTED_ROWS, expectRows } from './bench-run.js';

/* The benches do not rot. */

it('every bench runs with a tiny load, and prints every row, measured or skipped with a reason', () => {
  expectRows(Object.keys(EXPECTED_ROWS));
});
