import { describe, expect, it } from 'vitest';
import { HOW_TO_INSTALL, isInstalled, listOperatorTests } from '../operators/operator-tests.js';
import { judgeAll } from '../operators/operator-suite.js';

/* The short form of `npm run test:operators`: a few dozen of ONNX's operator tests, spread over the whole list. */

/** A prime, so that the tests of one operator, which stand together, are not met at the same place again and again. */
const STRIDE = 31;

if (!isInstalled) console.warn(`SKIPPED, no operator test runs: ${HOW_TO_INSTALL}`);

describe.skipIf(!isInstalled)("ONNX's operator tests", () => {
  it('are profiled at start, on made-up inputs, and answered right, or refused for a reason', async () => {
    const tests = listOperatorTests().filter((_, index) => index % STRIDE === 0);
    const judged = await judgeAll(tests);
    expect(judged).toHaveLength(tests.length);
    const bad = judged.filter(({ verdict }) => verdict.kind === 'wrong' || verdict.kind === 'not-started');
    expect(bad.map(({ test, verdict }) => [test.name, verdict])).toEqual([]);
    const served = judged.filter(({ verdict }) => verdict.kind !== 'refused' && verdict.kind !== 'not-loaded');
    expect(served.filter(({ isProfiledAtStart }) => !isProfiledAtStart).map(({ test }) => test.name)).toEqual([]);
    const right = judged.filter(({ verdict }) => verdict.kind === 'right');
    expect(right.length).toBeGreaterThan(0.7 * tests.length);
  });
});
