import { interleaved } from '../../src/scheduler/perf-model/grid.js';
import { profileCell, type GridCell } from '../../src/scheduler/perf-model/profile-cell.js';
import type { Profile } from '../../src/scheduler/perf-model/profile.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import type { LiveMachine } from './live-machine.js';

const BATCH_SIZES = [1, 2, 4];
/** Where the scenario keeps the worker, and on both sides of one core, where a second thread begins. */
const MILLICORES = [300, 500, 1000, 1400, Infinity];
const VISITS_PER_CELL = 5;
const RUNS_PER_VISIT = 2;
/** A quota write refills the kernel's bucket: runs shorter than this are preceded by one that is not counted. */
const WARM_UP_BELOW_MS = 150;
const COLD_RUNS = 3;

/** As `sponge profile` measures: cells in rounds, each in an order of its own, dispatch → reply. */
export async function measureProfile({ worker, scaler, resize }: LiveMachine): Promise<Profile> {
  const { maxMillicores } = scaler.limits;
  const allocations = [...new Set(MILLICORES.map((millicores) => Math.min(millicores, maxMillicores)))];
  const cells = BATCH_SIZES.flatMap((batchSize) =>
    allocations.map((cpuMillicores): GridCell => ({
      batchSize,
      cpuMillicores,
      threadCount: Math.ceil(cpuMillicores / 1000),
    })),
  );
  const samplesMs = new Map<GridCell, number[]>(cells.map((cell) => [cell, []]));
  await resize(maxMillicores);
  for (let run = 0; run < COLD_RUNS; run++) await worker.runAlone(1, worker.threadCounts.at(-1)!);
  for (const cell of interleaved(cells, VISITS_PER_CELL, new Prng(1))) {
    const { batchSize, cpuMillicores, threadCount } = cell;
    await resize(cpuMillicores);
    const samples = samplesMs.get(cell)!;
    if ((samples[0] ?? 0) < WARM_UP_BELOW_MS) await worker.runAlone(batchSize, threadCount);
    for (let run = 0; run < RUNS_PER_VISIT; run++) samples.push(await worker.runAlone(batchSize, threadCount));
  }
  return {
    schemaVersion: 1,
    name: 'agreement',
    fingerprint: null,
    elementCount: 1,
    quality: 'full',
    measuredAt: new Date().toISOString(),
    cells: cells.map((cell) => profileCell(cell, samplesMs.get(cell)!)),
  };
}
