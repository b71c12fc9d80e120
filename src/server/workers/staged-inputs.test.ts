import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { InputArena } from '../arena/input-arena.js';
import { placeInputs } from './placed-tensors.js';
import { InputStaging, sharedBytesOf, type TakenInputs } from './staged-inputs.js';

const KIB = 1024;
const ARENA_BYTES = 256 * KIB;
const isLinux = process.platform === 'linux';
if (!isLinux) console.warn('SKIPPED inputs in shared memory: Linux only');

/** Told from others by what it is full of. */
function tensor(byteCount: number, filling: number): Tensor {
  return { name: 'x', datatype: 'UINT8', shape: [byteCount], data: new Uint8Array(byteCount).fill(filling) };
}

interface Sent {
  readonly sequence: number;
}

function stagingIn(arena: InputArena): { staging: InputStaging; sent: Sent[] } {
  const sent: Sent[] = [];
  const port = {
    place: (inputs: readonly Tensor[]) => placeInputs(arena, inputs),
    send: ({ sequence }: Sent) => void sent.push({ sequence }),
    unstage: () => undefined,
    onHang: () => undefined,
  };
  return { staging: new InputStaging(port, 1024 * KIB), sent };
}

function add(staging: InputStaging, sequence: number, inputs: readonly Tensor[]): Promise<void> {
  return new Promise((onStaged) =>
    staging.add({ sequence, inputs, outputNames: [], isSynthetic: false, onStaged, onLost: null }),
  );
}

const step = fc.oneof(
  fc.record({ kind: fc.constant('add' as const), kib: fc.integer({ min: 1, max: 100 }) }),
  fc.record({ kind: fc.constant('leave' as const), index: fc.nat(9) }),
  fc.record({ kind: fc.constant('start' as const), count: fc.integer({ min: 1, max: 3 }) }),
  fc.record({ kind: fc.constant('answer' as const), index: fc.nat(3) }),
  fc.record({ kind: fc.constant('lose' as const) }),
);

describe.runIf(isLinux)('inputs in shared memory', () => {
  it('are what was sent until nobody needs them, whoever leaves or dies in whatever order, and then all is free', () => {
    fc.assert(
      fc.property(fc.array(step, { maxLength: 60 }), (steps) => {
        const arena = InputArena.open(ARENA_BYTES);
        const place = arena.take(ARENA_BYTES)!;
        const whole = place.bytes;
        place.release();
        const { staging, sent } = stagingIn(arena);
        let waiting: number[] = [];
        let running: TakenInputs[] = [];
        let sequence = 0;
        const expectIntact = (): void => {
          for (const { sequence: number, tensors } of running.flatMap(({ placed }) => placed)) {
            const { offset, byteCount } = tensors[0]!;
            const bytes = whole.subarray(offset, offset + byteCount);
            expect(Buffer.compare(bytes, new Uint8Array(byteCount).fill(number % 251))).toBe(0);
          }
        };
        for (const each of steps) {
          if (each.kind === 'add') {
            sequence += 1;
            void add(staging, sequence, [tensor(each.kib * KIB, sequence % 251)]);
            for (const { sequence: there } of sent.splice(0)) staging.confirm(there);
            waiting.push(sequence);
          } else if (each.kind === 'leave') {
            const [gone] = waiting.splice(each.index, 1);
            if (gone !== undefined) staging.remove(gone);
          } else if (each.kind === 'start') {
            const members = waiting.filter((number) => staging.isStaged(number)).slice(0, each.count);
            waiting = waiting.filter((number) => !members.includes(number));
            running.push(staging.take(members));
          } else if (each.kind === 'answer') {
            const [ended] = running.splice(each.index, 1);
            ended?.releasePlaces();
            if (ended !== undefined) staging.free(ended.byteCount);
          } else {
            staging.clear();
            for (const { releasePlaces } of running) releasePlaces();
            waiting = [];
            running = [];
            expect(arena.takenCount).toBe(0);
          }
          expectIntact();
        }
        staging.clear();
        for (const { releasePlaces } of running) releasePlaces();
        expect(arena.takenCount).toBe(0);
        arena.close();
      }),
    );
  });

  it('may be run at once, without a word to the worker; small ones need no place', async () => {
    const arena = InputArena.open(ARENA_BYTES);
    const { staging, sent } = stagingIn(arena);
    await add(staging, 1, [tensor(100 * KIB, 1)]);
    await add(staging, 2, [tensor(KIB, 2)]);
    expect([sent, arena.takenCount]).toEqual([[], 1]);
    const { placed, enclosed } = staging.take([1, 2]);
    expect(placed.map(({ sequence }) => sequence)).toEqual([1]);
    expect(enclosed.map(({ sequence }) => sequence)).toEqual([2]);
    arena.close();
  });

  it('go over the connection where there is no room, and leave no place behind', () => {
    const arena = InputArena.open(ARENA_BYTES);
    const { staging, sent } = stagingIn(arena);
    void add(staging, 1, [tensor(200 * KIB, 1), tensor(100 * KIB, 2)]);
    expect([sent, arena.takenCount]).toEqual([[{ sequence: 1 }], 0]);
    arena.close();
  });

  it('stay where they are if they are in the arena already', () => {
    const arena = InputArena.open(ARENA_BYTES);
    const { staging } = stagingIn(arena);
    const body = arena.take(100 * KIB)!;
    void add(staging, 1, [{ ...tensor(50 * KIB, 1), data: body.bytes.subarray(50 * KIB) }]);
    expect(arena.takenCount).toBe(1);
    body.release();
    const { placed, releasePlaces } = staging.take([1]);
    expect(placed[0]!.tensors[0]!.offset).toBe(body.bytes.byteOffset + 50 * KIB);
    expect(arena.takenCount).toBe(1);
    releasePlaces();
    expect(arena.takenCount).toBe(0);
    arena.close();
  });
});

describe('what is shared with a worker', () => {
  it('is a part of what may be staged in it, and at most 64 MiB each way', () => {
    expect(sharedBytesOf(512 * KIB * KIB)).toBe(64 * KIB * KIB);
    expect(sharedBytesOf(Infinity)).toBe(64 * KIB * KIB);
    // 1 MB / 8 = 125 000, of which 30 pages are 122 880.
    expect(sharedBytesOf(1_000_000)).toBe(122_880);
    expect(sharedBytesOf(0)).toBe(0);
  });
});
