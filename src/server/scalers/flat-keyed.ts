import { readFileSync } from 'node:fs';

/** Reads a file of `key value` lines, such as `cpu.stat`; a key that this kernel does not write is 0. */
export function readFlatKeyed(file: string): (key: string) => number {
  const values = new Map<string, number>();
  for (const line of readFileSync(file, 'utf8').split('\n')) {
    const [key, value] = line.split(' ');
    if (key !== undefined && value !== undefined) values.set(key, Number(value));
  }
  return (key) => values.get(key) ?? 0;
}
