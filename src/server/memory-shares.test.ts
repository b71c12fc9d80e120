import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { memoryShares } from './memory-shares.js';

const MIB = 1024 ** 2;

describe('the shares of memory', () => {
  it('are what a large machine would have them be', () => {
    expect(memoryShares(32 * 1024 * MIB, [45 * MIB])).toMatchObject({
      queueBytes: 1024 * MIB,
      receiptBytes: 512 * MIB,
      stagedBytes: 512 * MIB,
      isTight: false,
    });
  });

  it('fit into a container, together with the router and its model', () => {
    // 1024 less 150 for the router and 60 + 3 · 45 for the model: 679 MiB.
    expect(memoryShares(1024 * MIB, [45 * MIB])).toMatchObject({
      modelsBytes: 195 * MIB,
      queueBytes: 169 * MIB,
      receiptBytes: 84 * MIB,
      stagedBytes: 84 * MIB,
      isTight: true,
    });
  });

  it('never add up to more than there is, whatever is served, but for the least that answers at all', () => {
    const files = fc.array(fc.integer({ min: 1, max: 500 }), { minLength: 1, maxLength: 50 });
    fc.assert(
      fc.property(fc.integer({ min: 256, max: 65_536 }), files, (limitMib, filesMib) => {
        const shares = memoryShares(
          limitMib * MIB,
          filesMib.map((mib) => mib * MIB),
        );
        const { queueBytes, receiptBytes, stagedBytes, jsonHeapBytes, modelsBytes } = shares;
        // What is received is put together, what is staged is copied into its batch.
        const held = filesMib.length * (queueBytes + 2 * stagedBytes) + 2 * receiptBytes + jsonHeapBytes;
        // Least shares of a MiB each, and the heap of a thread.
        const least = (3 * filesMib.length + 2 + 64) * MIB;
        const roomBytes = Math.max(64 * MIB, limitMib * MIB - 150 * MIB - modelsBytes);
        expect(held).toBeLessThanOrEqual(Math.max(0.85 * roomBytes, 0) + least);
      }),
    );
  });
});
