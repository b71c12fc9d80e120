import { closeSync, fstatSync, openSync } from 'node:fs';
import koffi from 'koffi';
import type { Pointer } from './c-api.js';

/*
 * A file as memory, read only and mapped for as long as the process lives. Its pages are the system's file cache: they are
 * there once, however many sessions read them, and count as this process's only while it uses them.
 */

const READ = 1;
const PRIVATE = 2;
const DONT_NEED = 4;
const FAILED = 0xffff_ffff_ffff_ffffn;

export interface MappedFile {
  /** At a page boundary. */
  readonly address: Pointer;
  /** What has been read and is not needed now no longer counts as this process's; it comes back where it is read again. */
  forget(): void;
}

/** @throws Error, one line: no such file, no memory, or a platform where this is not known */
export function mapFile(path: string): MappedFile {
  if (process.platform !== 'linux') throw new Error(`files are not mapped on ${process.platform}`);
  const libc = koffi.load('libc.so.6');
  const mmap = libc.func('void *mmap(void *address, size_t length, int protection, int flags, int fd, int64_t offset)');
  const madvise = libc.func('int madvise(void *address, size_t length, int advice)');
  const fd = openSync(path, 'r');
  try {
    const { size } = fstatSync(fd);
    const address = mmap(null, size, READ, PRIVATE, fd, 0) as Pointer | null;
    if (address === null || address === FAILED) throw new Error(`cannot map ${path}: errno ${koffi.errno()}`);
    return { address, forget: () => void madvise(address, size, DONT_NEED) };
  } finally {
    closeSync(fd);
  }
}
