import { defineConfig } from 'vitest/config';

/** Beyond this a test counts as hung; half a core that others want too is enough to stay far below. */
const HUNG_MS = 400_000;

/** Real servers and commands of which only answers are judged, never how long something took. */
const UNTIMED = [
  'test/conformance/!(grpc-calls).test.ts',
  'test/system/{corpus,onnx}/**/*.test.ts',
  'test/system/{dashboard,experiment-command,infer-command,metrics-server,models,operators,package,path-bytes,profile,simulate-command}.test.ts',
  'test/system/worker-confinement.test.ts',
  'test/system/server/{bad-requests,bad-starts,changed-model,cli,client,deadly-inputs,feed,input-hints}.test.ts',
  'test/system/server/{observability,outputs,ownership}.test.ts',
];

// Three projects: `unit` runs in parallel and touches nothing outside its process; `system` starts real servers, workers and
// cgroups, each under its own random name: those that are `untimed` side by side, and then the others file by file, so that CPU
// measurements are not disturbed.
export default defineConfig({
  test: {
    // By default one fewer than there are cores: of two, one.
    maxWorkers: '100%',
    // Tests load ONNX Runtime in their own process too: keep its telemetry off there as the workers do.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/{faults,golden,simulation,tidy,oracle}/**/*.test.ts'],
          testTimeout: 60_000,
          hookTimeout: 60_000,
          expect: { poll: { timeout: 30_000 } },
          sequence: { groupOrder: 0 },
        },
      },
      {
        test: {
          name: 'untimed',
          include: UNTIMED,
          testTimeout: HUNG_MS,
          hookTimeout: HUNG_MS,
          expect: { poll: { timeout: 60_000 } },
          sequence: { groupOrder: 1 },
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/{conformance,system,agreement}/**/*.test.ts'],
          exclude: UNTIMED,
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
