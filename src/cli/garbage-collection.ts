import { constants, PerformanceObserver, type NodeGCPerformanceDetail, type PerformanceEntry } from 'node:perf_hooks';
import { getHeapSpaceStatistics, getHeapStatistics, setFlagsFromString } from 'node:v8';

/*
 * When V8 collects a server's garbage. Both of these V8 asks anew each time, where what its command line has is read only once.
 */

const MIB = 2 ** 20;

/*
 * How much is allocated before what is dead of it is collected, which is what one collection of the young takes. By itself V8 grows
 * that to 16 MiB (twice, as it copies) while modules load, and keeps it: 20 MiB that an idle server has no use for, and under load stops
 * that are four times as long. It collects on several threads, and waits for each of them to get a core: beside a model that takes all
 * cores, up to 130 ms for 6 ms of work.
 *
 * `bin/sponge.js` has it stay at 1 MiB while the server starts; from then on it grows once. With 4 MiB the router takes as much CPU as
 * with 16, with 1 a fifth more.
 */
const GROWTH = 4;
const GROWN_BYTES = 2 * GROWTH * MIB;

/*
 * How much of the old is dead before all of it is looked through. V8 lets a heap grow by a share of itself, and counts buffers outside of
 * it: beside 27 MB of a router that lives, the bodies of ten requests of 602 KB are reason enough, and 40 ms of CPU. By a share that
 * comes to so many bytes: half of the router's CPU with such bodies, and a part of the stops.
 */
const OLD_GARBAGE_BYTES = 64 * MIB;
/** Below this V8's own share is larger, or as good. */
const LEAST_GROWTH_PERCENT = 50;

/** To be called once, when the server has been started. */
export function tuneGarbageCollection(): void {
  setFlagsFromString('--no-parallel-scavenge');
  setFlagsFromString(`--semi-space-growth-factor=${GROWTH}`);
  setOldGrowth();
  let isYoungGrown = false;
  const observer = new PerformanceObserver((list) => {
    if (!isYoungGrown && youngBytes() >= GROWN_BYTES) {
      setFlagsFromString('--semi-space-growth-factor=1');
      isYoungGrown = true;
    }
    if (list.getEntries().some(isMajor)) setOldGrowth();
  });
  observer.observe({ entryTypes: ['gc'] });
}

/** @returns by how many percent the heap may grow until it is looked through; 0 leaves it to V8 */
export function oldGrowthPercent(usedBytes: number): number {
  const percent = Math.round((100 * OLD_GARBAGE_BYTES) / usedBytes);
  return percent < LEAST_GROWTH_PERCENT ? 0 : percent;
}

function setOldGrowth(): void {
  setFlagsFromString(`--heap-growing-percent=${oldGrowthPercent(getHeapStatistics().used_heap_size)}`);
}

/** Node's types do not know of `detail`, nor which it is of which entry. */
function isMajor(entry: PerformanceEntry & { readonly detail?: NodeGCPerformanceDetail }): boolean {
  return entry.detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR;
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')!.space_size;
}
