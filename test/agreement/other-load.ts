import { readFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';

/** USER_HZ, `getconf CLK_TCK` (proc(5)). */
const TICKS_PER_SECOND = 100;

/**
 * Watches what everybody else uses, stolen time included.
 * @param pid of a process that counts as ours
 * @returns a function that tells the cores that others have used since, all of the machine's; null where it cannot be told
 */
export function watchOtherLoad(pid: number): () => number | null {
  const start = reading(pid);
  const startedAtMs = performance.now();
  return () => {
    const end = reading(pid);
    if (start === null || end === null) return null;
    const seconds = (performance.now() - startedAtMs) / 1000;
    return Math.max(0, (end - start) / seconds);
  };
}

/** Cores of the machine that `watchOtherLoad` looks at. */
export function machineCores(): number {
  return readText('/proc/stat')?.match(/^cpu\d/gm)?.length ?? availableParallelism();
}

/** Busy seconds of the machine, without those of ours. */
function reading(pid: number): number | null {
  const machine = readText('/proc/stat');
  const child = readText(`/proc/${pid}/stat`);
  if (machine === null || child === null) return null;
  const [user, nice, system, , , irq, softirq, steal] = machine
    .slice(0, machine.indexOf('\n'))
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const busyTicks = user! + nice! + system! + irq! + softirq! + steal!;
  // Fields 14 and 15, counted from behind the name in parentheses, which is field 2.
  const fields = child.slice(child.lastIndexOf(')') + 2).split(' ');
  const childTicks = Number(fields[11]) + Number(fields[12]);
  const own = process.cpuUsage();
  return (busyTicks - childTicks) / TICKS_PER_SECOND - (own.user + own.system) / 1e6;
}

function readText(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null; // not Linux
  }
}
