import { closeSync, fstatSync, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { createToRead, createToWrite, forget, mapHandedOver, type SharedMemory } from './shared-memory.js';

const PAGE_BYTES = 4096;
const BYTES = 16 * PAGE_BYTES;
const isLinux = process.platform === 'linux';
if (!isLinux) console.warn('SKIPPED shared memory: Linux only');

/** What another process has: a descriptor of its own, opened by the same rights. */
function handedOver({ fd }: SharedMemory): number {
  return openSync(`/proc/self/fd/${fd}`, 'r');
}

describe.runIf(isLinux)('shared memory', () => {
  it('is the same on both sides, whichever of them writes', () => {
    const mine = createToWrite(BYTES);
    const theirs = mapHandedOver(handedOver(mine), BYTES, false);
    mine.bytes.set([1, 2, 3], 5 * PAGE_BYTES);
    expect([...theirs.subarray(5 * PAGE_BYTES, 5 * PAGE_BYTES + 3)]).toEqual([1, 2, 3]);
    closeSync(mine.fd);
    const outputs = createToRead(BYTES);
    const written = mapHandedOver(openSync(`/proc/self/fd/${outputs.fd}`, 'r+'), BYTES, true);
    written.set([4, 5], 7);
    expect([...outputs.bytes.subarray(7, 9)]).toEqual([4, 5]);
    closeSync(outputs.fd);
  });

  it('has a descriptor for the reader that cannot write, and no way to map it for writing', () => {
    const { fd } = createToWrite(BYTES);
    expect(() => writeSync(fd, 'x')).toThrow('EBADF');
    expect(readSync(fd, new Uint8Array(1))).toBe(1);
    expect(fstatSync(fd).mode & 0o777).toBe(0o600);
    expect(() => mapHandedOver(fd, BYTES, true)).toThrow('cannot be mapped');
  });

  it('cannot be cut short or grown by who writes it', () => {
    const { fd } = createToRead(BYTES);
    expect(() => ftruncateSync(fd, PAGE_BYTES)).toThrow('EPERM');
    expect(() => ftruncateSync(fd, 2 * BYTES)).toThrow('EPERM');
    closeSync(fd);
  });

  it('gives back whole pages of what is forgotten, and nothing else', () => {
    const { bytes, fd } = createToWrite(BYTES);
    bytes.fill(7);
    const blocksBefore = fstatSync(fd).blocks;
    // From within page 1 to the end of page 4, but for a byte: pages 2 and 3 are forgotten. The last page is whole.
    forget(bytes, [
      { start: PAGE_BYTES + 1, end: 5 * PAGE_BYTES - 1 },
      { start: BYTES - PAGE_BYTES, end: BYTES },
    ]);
    // Looked at before they are read, which takes them again. Blocks are of 512 bytes.
    expect(blocksBefore - fstatSync(fd).blocks).toBe((3 * PAGE_BYTES) / 512);
    const values = Array.from({ length: 16 }, (_, page) => bytes[page * PAGE_BYTES]);
    expect(values).toEqual([7, 7, 0, 0, ...Array.from({ length: 11 }, () => 7), 0]);
    closeSync(fd);
  });

  it('says in one line that there is none of that size', () => {
    expect(() => createToWrite(2 ** 52)).toThrow(/^[^\n]+$/);
  });
});
