import { PerformanceObserver } from 'node:perf_hooks';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';

/*
 * How much a server's JavaScript allocates before what is dead of it is collected, which is what one collection of the young takes.
 * By itself V8 grows that to 16 MiB (twice, as it copies) while modules load, and keeps it: 20 MiB that an idle server has no use for,
 * and under load stops that are four times as long. It collects on several threads, and waits for each of them to get a core: beside
 * a model that takes all cores, up to 130 ms for 6 ms of work.
 *
 * V8 takes the size only on its command line, but how it grows it asks anew each time. `bin/sponge.js` has it stay at 1 MiB while the
 * server starts; from then on it grows once. With 4 MiB the router takes as much CPU as with 16, with 1 a fifth more.
 */

const GROWTH = 4;
const GROWN_BYTES = 2 * GROWTH * 2 ** 20;

/** To be called once, when the server has been started. */
export function growYoungGeneration(): void {
  setFlagsFromString('--no-parallel-scavenge');
  setFlagsFromString(`--semi-space-growth-factor=${GROWTH}`);
  const observer = new PerformanceObserver(() => {
    if (youngBytes() < GROWN_BYTES) return;
    setFlagsFromString('--semi-space-growth-factor=1');
    observer.disconnect();
  });
  observer.observe({ entryTypes: ['gc'] });
}

function youngBytes(): number {
  return getHeapSpaceStatistics().find((space) => space.space_name === 'new_space')!.space_size;
}
