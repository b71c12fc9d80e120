import { defineConfig } from 'vitest/config';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** Beyond this a test counts as hung; half a core that others want too is enough to stay far below. */
const HUNG_MS = 400_000;

/** These judge how long something takes or how much CPU it gets, so each has the machine to itself. */
const MEASURING = [
  'test/agreement/**/*.test.ts',
  'test/system/{load,load-shaping}.test.ts',
  'test/system/scalers/scalers.test.ts',
  'test/system/server/replicas.test.ts',
];

/** Of those that run in parallel, the longest first: the last one to be begun is short. */
const LONGEST = [
  'test/system/kubernetes/scaler.test.ts',
  'test/system/kubernetes/operate.test.ts',
  'test/system/research-command.test.ts',
  'test/system/package.test.ts',
  'test/system/server/instances.test.ts',
  'test/system/path-bytes.test.ts',
  'test/system/server/drain.test.ts',
  'test/system/server/hang.test.ts',
  'test/system/server/ownership.test.ts',
];

/** Of minutes each, and with a short form among the others: `npm run test:long`. */
const LONG = 'test/**/*.long.test.ts';

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const rankOf = ({ moduleId }: TestSpecification): number => {
      const rank = LONGEST.findIndex((path) => moduleId.endsWith(path));
      return rank === -1 ? LONGEST.length : rank;
    };
    const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;
    return (await super.sort(files)).sort((a, b) => groupOf(a) - groupOf(b) || rankOf(a) - rankOf(b));
  }
}

/** What clients see, once more with front ends on threads of their own (`--io-threads`). */
const THREADED = [
  'test/conformance/{rest,rest-errors,grpc,grpc-errors,grpc-stream}.test.ts',
  'test/system/server/{bad-requests,bad-starts,deadlines,drain,model-control,shared-tensors}.test.ts',
];

// Five projects: `unit` touches nothing outside its process; `served` starts real servers, workers and cgroups, each under its
// own random name, and judges what they answer and times that are far apart; both run in parallel, as does `threaded`,
// which is some of its files with io threads. `measured` runs file by file, so that CPU measurements
// are not disturbed. `long` is not part of `npm test`.
export default defineConfig({
  test: {
    // By default one fewer than there are cores: of two, one.
    maxWorkers: '100%',
    sequence: { sequencer: LongestFirst },
    // Tests load ONNX Runtime in their own process too: keep its telemetry off there as the workers do.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    projects: [
      {
        test: {
          name: 'unit',
          // Nothing of a file lasts beyond it, so those of a worker share one process.
          isolate: false,
          include: ['{src,research}/**/*.test.ts', 'test/{faults,golden,simulation,tidy,oracle}/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 30_000 } },
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'served',
          include: ['test/{conformance,system}/**/*.test.ts'],
          exclude: [...MEASURING, LONG],
          testTimeout: HUNG_MS,
          hookTimeout: HUNG_MS,
          expect: { poll: { timeout: 60_000 } },
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'threaded',
          include: THREADED,
          env: { TEST_IO_THREADS: '2' },
          testTimeout: HUNG_MS,
          hookTimeout: HUNG_MS,
          expect: { poll: { timeout: 60_000 } },
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'long',
          include: [LONG],
          testTimeout: 4 * HUNG_MS,
          hookTimeout: HUNG_MS,
          expect: { poll: { timeout: 60_000 } },
          fileParallelism: false,
          sequence: { groupOrder: 3 },
        },
      },
      {
        test: {
          name: 'measured',
          include: MEASURING,
          testTimeout: HUNG_MS,
          hookTimeout: HUNG_MS,
          expect: { poll: { timeout: 60_000 } },
          fileParallelism: false,
          sequence: { groupOrder: 2 },
        },
      },
    ],
  },
});
