import { describe, expect, it } from 'vitest';
import { EXPECTED_ROWS, expectRows, runBenches } from './bench-run.js';

/* Those that take little, of each kind: pure, the kernel's, a served model. `bench.long.test.ts` runs all. */

describe('npm run bench -- --tiny', () => {
  it('runs benches and prints every row, measured or skipped with a reason', () => {
    expectRows(['solver', 'queue', 'arrival', 'added-time', 'json', 'resize']);
  });

  it('says which benches there are when it is asked for another', () => {
    const { status, stderr } = runBenches('nosuch');
    expect(status).toBe(1);
    expect(stderr).toContain(`no such bench: nosuch; there are: ${Object.keys(EXPECTED_ROWS).join(', ')}`);
  });
});
