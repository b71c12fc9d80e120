import { readFileSync, readdirSync } from 'node:fs';

/** Of a process and all below it, MiB: what is shared by several processes counts for each in part (Linux' proportional set size). */
export function memoryOfAll(pid: number): number {
  const parentOf = new Map<number, number>();
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // The name of the program, in brackets, may itself have brackets.
    const status = readIfThere(`/proc/${name}/stat`);
    const parent = /\) \S (\d+) [^)]*$/.exec(status ?? '')?.[1];
    if (parent !== undefined) parentOf.set(Number(name), Number(parent));
  }
  const below = (root: number): number[] => [
    root,
    ...[...parentOf].flatMap(([child, parent]) => (parent === root ? below(child) : [])),
  ];
  return below(pid).reduce((sum, each) => sum + ownMemory(each), 0);
}

function ownMemory(pid: number): number {
  const rollup = readIfThere(`/proc/${pid}/smaps_rollup`) ?? '';
  return Number(/^Pss:\s+(\d+) kB/m.exec(rollup)?.[1] ?? 0) / 1024;
}

/** Null: it ended meanwhile. */
function readIfThere(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}
