import childProcess from 'node:child_process';
import { subscribe } from 'node:diagnostics_channel';
import { openSync, readSync, renameSync, writeFileSync } from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { GCProfiler } from 'node:v8';
import { getEnvironmentData, isMainThread, setEnvironmentData } from 'node:worker_threads';

/*
 * Loaded into the router and its workers before anything else (`path-watch.ts` makes it a module of its own in a folder, and reads what
 * it leaves there): writes down each point of the path that is told, and starts workers with itself. With `?bytes` it counts what is
 * copied: that takes time, so times are taken without.
 *
 * A copy is seen twice over: by the functions that copy, whatever memory they copy to; and by the memory that is allocated for it,
 * whoever fills that, with a loop for instance, or Node's own C++.
 */

/** What a process had done in all when it reached a point; zeros where only times are taken. */
export interface PathRecord {
  readonly point: string;
  /** Of the machine's monotonic clock: comparable between processes. */
  readonly atUs: number;
  /** By JavaScript's functions for bytes and for texts of bytes. */
  readonly copiedBytes: number;
  /** In array buffers, less what was collected. */
  readonly allocatedBytes: number;
  /** From the kernel and to it. */
  readonly readBytes: number;
  readonly writtenBytes: number;
  /** Only without any between two points their allocations can be compared. */
  readonly collections: number;
}

/** What a process leaves when it is sent SIGUSR2. */
export interface ProcessPath {
  readonly isWorker: boolean;
  readonly records: readonly PathRecord[];
}

const CHANNEL = 'sponge:path';
const COUNTS_KEY = 'sponge-path-probe';
const url = new URL(import.meta.url);
const folder = dirname(fileURLToPath(url));
const isCounting = url.searchParams.has('bytes');
const isWorker = url.searchParams.has('worker');

/** Bytes copied: of the main thread, and of all others. */
const counts = sharedCounts();
const ownSlot = isMainThread ? 0 : 1;

if (isCounting) countCopies();
if (isMainThread) record();

function sharedCounts(): Float64Array {
  if (!isMainThread) return new Float64Array(getEnvironmentData(COUNTS_KEY) as SharedArrayBuffer);
  const memory = new SharedArrayBuffer(2 * Float64Array.BYTES_PER_ELEMENT);
  setEnvironmentData(COUNTS_KEY, memory);
  return new Float64Array(memory);
}

function record(): void {
  let records: PathRecord[] = [];
  const look = isCounting ? bytesLook() : () => NO_BYTES;
  subscribe(CHANNEL, (point) => {
    records.push({ point: point as string, atUs: Number(process.hrtime.bigint()) / 1000, ...look() });
  });
  if (!isWorker) startWorkersWithThis();
  process.on('SIGUSR2', () => {
    const path = join(folder, `${process.pid}.json`);
    writeFileSync(`${path}.part`, JSON.stringify({ isWorker, records } satisfies ProcessPath));
    renameSync(`${path}.part`, path);
    records = [];
  });
  // From here on it can be asked.
  writeFileSync(join(folder, `${process.pid}.pid`), '');
}

/** They get neither the router's environment nor its flags. */
function startWorkersWithThis(): void {
  const { spawn } = childProcess;
  const workerUrl = new URL(url);
  workerUrl.searchParams.set('worker', '');
  const spawnWithThis = (program: string, args: readonly string[], options: childProcess.SpawnOptions): unknown => {
    const words = [program, ...args];
    const node = words.indexOf(process.execPath);
    const isForWorker = node >= 0 && words.some((word) => word.includes('worker-process'));
    if (isForWorker) words.splice(node + 1, 0, '--import', workerUrl.href);
    return spawn(words[0]!, words.slice(1), options);
  };
  childProcess.spawn = spawnWithThis as typeof spawn;
  syncBuiltinESMExports();
}

type Bytes = Omit<PathRecord, 'point' | 'atUs'>;

const NO_BYTES: Bytes = { copiedBytes: 0, allocatedBytes: 0, readBytes: 0, writtenBytes: 0, collections: 0 };

function bytesLook(): () => Bytes {
  const file = openSync('/proc/self/io', 'r');
  const text = Buffer.allocUnsafeSlow(512);
  let ownBytes = 0;
  let collections = 0;
  let profiler = new GCProfiler();
  profiler.start();
  const kernelBytes = (): { readBytes: number; writtenBytes: number; lookBytes: number } => {
    const lookBytes = readSync(file, text, 0, text.length, 0);
    const [, read, written] = /^rchar: (\d+)\nwchar: (\d+)/.exec(text.toString('latin1', 0, lookBytes))!;
    return { readBytes: Number(read), writtenBytes: Number(written), lookBytes };
  };
  return () => {
    const copiedBytes = counts[0]! + counts[1]!;
    const { readBytes, writtenBytes } = kernelBytes();
    // This reads a file itself.
    const allocatedBytes = process.memoryUsage().arrayBuffers;
    collections += profiler.stop().statistics.length;
    profiler = new GCProfiler();
    profiler.start();
    // What is done in here does not count.
    const ownBefore = ownBytes;
    const after = kernelBytes();
    ownBytes += after.readBytes - readBytes + after.lookBytes;
    counts[ownSlot]! -= counts[0]! + counts[1]! - copiedBytes;
    return { copiedBytes, allocatedBytes, readBytes: readBytes - ownBefore, writtenBytes, collections };
  };
}

type Anything = (this: unknown, ...args: never[]) => unknown;

/** Wraps what copies bytes. What these call of one another counts once. */
function countCopies(): void {
  let isWithin = false;
  const count = (owner: object, name: string, bytesOf: (self: never, args: never, result: never) => number): void => {
    const original = Reflect.get(owner, name) as Anything | undefined;
    if (original === undefined) return;
    const counting: Anything = function (...args) {
      if (isWithin) return original.apply(this, args);
      isWithin = true;
      try {
        const result = original.apply(this, args);
        counts[ownSlot]! += bytesOf(this as never, args as never, result as never);
        return result;
      } finally {
        isWithin = false;
      }
    };
    Object.defineProperty(owner, name, { value: counting, configurable: true, writable: true });
  };
  const TypedArray = Object.getPrototypeOf(Uint8Array) as { prototype: Uint8Array };
  const made = (_: unknown, __: unknown, { byteLength }: Uint8Array): number => byteLength;
  count(
    TypedArray.prototype,
    'set',
    (self: Uint8Array, [source]: [ArrayLike<number>]) => source.length * self.BYTES_PER_ELEMENT,
  );
  count(TypedArray.prototype, 'copyWithin', (self: Uint8Array, [, from, to]: number[]) => {
    return ((to ?? self.length) - from!) * self.BYTES_PER_ELEMENT;
  });
  count(TypedArray.prototype, 'slice', made);
  count(TypedArray, 'from', made);
  count(ArrayBuffer.prototype, 'slice', made);
  count(Buffer, 'concat', made);
  count(Buffer, 'from', (_: unknown, [source]: unknown[], { byteLength }: Buffer) => {
    return source instanceof ArrayBuffer || source instanceof SharedArrayBuffer ? 0 : byteLength;
  });
  const buffers = Buffer.prototype as Buffer;
  count(buffers, 'copy', (_: unknown, __: unknown, byteCount: number) => byteCount);
  for (const text of ['utf8', 'latin1', 'ascii', 'ucs2', 'base64', 'base64url', 'hex']) {
    count(buffers, `${text}Write`, (_: unknown, __: unknown, byteCount: number) => byteCount);
    count(buffers, `${text}Slice`, (self: Buffer, [from = 0, to = Infinity]: number[]) => {
      return Math.min(self.length, to) - from;
    });
  }
  count(TextDecoder.prototype, 'decode', (_: unknown, [source]: [Uint8Array?]) => source?.byteLength ?? 0);
  count(TextEncoder.prototype, 'encode', made);
}
