/* Allocations that a batch may be started on, ascending. */

export function levelsUpTo(levels: readonly number[], availableMillicores: number): readonly number[] {
  const found: number[] = [];
  for (const level of levels) {
    if (level >= availableMillicores) break;
    found.push(level);
  }
  found.push(Math.min(availableMillicores, levels.at(-1)!));
  return found;
}

/** The largest level that is not above; what is asked for where there is none. */
export function grantable(levels: readonly number[], cpuMillicores: number): number {
  return levels.findLast((level) => level <= cpuMillicores) ?? Math.floor(cpuMillicores);
}
