import { describe, expect, it } from 'vitest';
import { explained } from './memory-limit.js';

const LIMIT_BYTES = 300 * 1024 ** 2;

describe('a message of a worker with a memory limit', () => {
  it.each([
    'std::bad_alloc',
    'Failed to allocate memory for requested buffer of size 1073741824',
    'RangeError: Array buffer allocation failed',
    'FATAL ERROR: Reached heap limit Allocation failed - JavaScript heap out of memory',
    'spawn: Cannot allocate memory',
  ])('says plainly that it was hit: %s', (message) => {
    expect(explained(message, LIMIT_BYTES)).toBe(
      `out of its memory limit of 300 MiB (--worker-memory-mib): ${message}`,
    );
    expect(explained(message, null)).toBe(message);
  });

  it('of anything else stays as it is', () => {
    expect(explained('the worker process was killed by SIGFPE', LIMIT_BYTES)).toBe(
      'the worker process was killed by SIGFPE',
    );
  });
});
