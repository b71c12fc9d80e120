import { defineConfig } from 'vitest/config';

// Two projects: `unit` runs in parallel and touches nothing outside its process; `system` starts real servers,
// workers and cgroups, each under its own random name, and runs file by file so that CPU measurements are not disturbed.
export default defineConfig({
  test: {
    // Tests load ONNX Runtime in their own process too: keep its telemetry off there as the workers do.
    env: { ORT_DISABLE_TELEMETRY: '1' },
    projects: [
      {
        test: {
          name: 'unit',
          include: ['src/**/*.test.ts', 'test/{golden,simulation,tidy,oracle}/**/*.test.ts'],
          testTimeout: 60_000,
          expect: { poll: { timeout: 30_000 } },
        },
      },
      {
        test: {
          name: 'system',
          include: ['test/{conformance,system,agreement}/**/*.test.ts'],
          // Beyond these a test counts as hung; half a core that others want too is enough to stay far below.
          testTimeout: 400_000,
          hookTimeout: 400_000,
          expect: { poll: { timeout: 60_000 } },
          fileParallelism: false,
        },
      },
    ],
  },
});
