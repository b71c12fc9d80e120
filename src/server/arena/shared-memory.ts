import { closeSync, constants, fchmodSync, ftruncateSync, openSync } from 'node:fs';
import koffi from 'koffi';
import type { Gap } from './place-table.js';

/*
 * Memory that two processes have in common: an anonymous file (memfd_create(2)), which has no name, is handed over as a descriptor, and is
 * gone with the last process that has it. One side writes, the other only reads, which the kernel keeps: a reader has no descriptor to
 * write by, and its mapping cannot be made one for writing.
 *
 * Its size is sealed: were it cut shorter, whoever reads the rest would end with SIGBUS. Pages are taken as they are first written to,
 * and count for the process that wrote.
 */

const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
/** F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW. */
const SIZE_FOR_GOOD = 1 | 2 | 4;
const PROT_READ = 1;
const PROT_WRITE = 2;
const MAP_SHARED = 1;
const MADV_REMOVE = 9;
const FAILED = 0xffff_ffff_ffff_ffffn;
const PAGE_BYTES = 4096;

export interface SharedMemory {
  /** All of it, where it lies; there for as long as anybody holds a view of it. */
  readonly bytes: Uint8Array<ArrayBuffer>;
  /** To be handed to the other side, and closed when it is not needed any more. */
  readonly fd: number;
}

/**
 * Of this side's, which writes; the descriptor is for reading.
 * @throws Error, one line, where there is none
 */
export function createToWrite(byteCount: number): SharedMemory {
  const fd = create(byteCount);
  try {
    // Other users have no right to more: the way over /proc to a descriptor that writes is closed as well.
    fchmodSync(fd, 0o600);
    const bytes = map(fd, byteCount, PROT_READ | PROT_WRITE);
    return { bytes, fd: openSync(`/proc/self/fd/${fd}`, constants.O_RDONLY) };
  } finally {
    closeSync(fd);
  }
}

/**
 * Of the other side's, which will write by the descriptor; here it is read.
 * @throws Error, one line, where there is none
 */
export function createToRead(byteCount: number): SharedMemory {
  const fd = create(byteCount);
  try {
    return { bytes: map(fd, byteCount, PROT_READ), fd };
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * What the other side created, for as long as this process lives. Closes the descriptor.
 * @throws Error, one line, where the kernel refuses
 */
export function mapHandedOver(fd: number, byteCount: number, isWritten: boolean): Uint8Array<ArrayBuffer> {
  try {
    return map(fd, byteCount, isWritten ? PROT_READ | PROT_WRITE : PROT_READ);
  } finally {
    closeSync(fd);
  }
}

/** Gives back the pages of what nobody needs the contents of; they are zeros when they are used again. Of memory that is written here. */
export function forget(bytes: Uint8Array<ArrayBuffer>, gaps: readonly Gap[]): void {
  const { madvise } = kernel();
  const address = koffi.address(bytes);
  for (const { start, end } of gaps) {
    const from = Math.ceil(start / PAGE_BYTES) * PAGE_BYTES;
    const byteCount = Math.floor(end / PAGE_BYTES) * PAGE_BYTES - from;
    if (byteCount > 0) madvise(address + BigInt(from), byteCount, MADV_REMOVE);
  }
}

type Native = (...values: (string | number | bigint | null)[]) => unknown;

interface Kernel {
  readonly memfdCreate: Native;
  readonly fcntl: Native;
  readonly mmap: Native;
  readonly munmap: Native;
  readonly madvise: Native;
}

let found: Kernel | null = null;

/** @throws Error, one line, where there is none */
function kernel(): Kernel {
  if (process.platform !== 'linux') throw new Error(`memory is not shared on ${process.platform}`);
  if (found !== null) return found;
  const libc = koffi.load(null);
  found = {
    memfdCreate: libc.func('int memfd_create(const char *name, unsigned int flags)'),
    fcntl: libc.func('int fcntl(int fd, int command, ...)'),
    mmap: libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)'),
    munmap: libc.func('int munmap(void *address, size_t length)'),
    madvise: libc.func('int madvise(void *address, size_t length, int advice)'),
  };
  return found;
}

function create(byteCount: number): number {
  const { memfdCreate, fcntl } = kernel();
  const fd = memfdCreate('sponge', MFD_CLOEXEC | MFD_ALLOW_SEALING) as number;
  if (fd < 0) throw new Error(`memory cannot be shared: errno ${koffi.errno()}`);
  try {
    ftruncateSync(fd, byteCount);
    if (fcntl(fd, F_ADD_SEALS, 'int', SIZE_FOR_GOOD) !== 0)
      throw new Error(`the size of shared memory cannot be sealed: errno ${koffi.errno()}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Unmapped when no view of it is held any more, those that a socket has still to send included. */
const unreachable = new FinalizationRegistry<{ address: bigint; byteCount: number }>(({ address, byteCount }) => {
  kernel().munmap(address, byteCount);
});

function map(fd: number, byteCount: number, protection: number): Uint8Array<ArrayBuffer> {
  const { mmap } = kernel();
  const address = mmap(null, byteCount, protection, MAP_SHARED, fd, 0) as bigint | null;
  if (address === null || address === FAILED) throw new Error(`shared memory cannot be mapped: errno ${koffi.errno()}`);
  const buffer = koffi.view(address, byteCount);
  unreachable.register(buffer, { address, byteCount });
  return new Uint8Array(buffer);
}
