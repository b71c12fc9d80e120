import { setImmediate as turn } from 'node:timers/promises';
import pino from 'pino';
import type { OnOutcome } from '../../src/scheduler/dataplane/queue-entry.js';
import type { InferRequest } from '../../src/scheduler/domain/request.js';
import { holdAll, releaseAll, type Tensor } from '../../src/scheduler/domain/tensor.js';
import { choosePolicy } from '../../src/scheduler/policies/chosen-policy.js';
import type { Server } from '../../src/server/server.js';
import type { ServerOptions } from '../../src/server/server-options.js';
import { DEFAULT_SETTINGS } from '../../src/server/scalers/kubernetes/settings.js';
import { shapeClassOf } from '../../src/server/served/shape-class.js';
import { serveRequests } from '../harness/helper.js';

/*
 * A server, and in its own process somebody who calls its models and its pipelines: no socket, nothing that is parsed. A caller of models does
 * by hand what a pipeline does, and no more: it checks nothing, and knows what comes.
 */

export type InProcessRequest =
  | { readonly kind: 'start'; readonly path: string; readonly groupName: string }
  | { readonly kind: 'run'; readonly runCount: number; readonly what: Called }
  | { readonly kind: 'close' };

/** So many rows at once, through a pipeline, or each of them through one of these models after the other. */
export type Called = { readonly rowCount: number } & (
  { readonly pipeline: string } | { readonly models: readonly string[] }
);

/** ms, of each run. */
export type InProcessResult = readonly number[];

const ROW = 4;
/** Nothing is to be late, whatever else the machine does. */
const BUDGET_MS = 120_000;

let server: Server | null = null;
let sequence = 1e9;

serveRequests(async (request: InProcessRequest): Promise<InProcessResult> => {
  switch (request.kind) {
    case 'start':
      // As it is shipped: its workers run what is built.
      server = await (await startedFrom('../../dist/server/server.js'))(optionsOf(request));
      return [];
    case 'run':
      return runs(request);
    case 'close':
      await server?.close();
      return [];
  }
});

async function startedFrom(path: string): Promise<(options: ServerOptions) => Promise<Server>> {
  const module = (await import(new URL(path, import.meta.url).href)) as {
    startServer: (options: ServerOptions) => Promise<Server>;
  };
  return module.startServer;
}

async function runs({ runCount, what }: Extract<InProcessRequest, { kind: 'run' }>): Promise<InProcessResult> {
  const call = 'pipeline' in what ? pipelineCall(what.pipeline) : modelCalls(what.models);
  const took: number[] = [];
  for (let run = 0; run < runCount; run++) {
    const data = new Uint8Array(new Float32Array(what.rowCount * ROW).fill(run).buffer);
    const beganAtMs = performance.now();
    await call(data);
    took.push(performance.now() - beganAtMs);
    // What a run leaves to do is its own, and not the next one's.
    await turn();
  }
  return took;
}

function pipelineCall(name: string): (data: Uint8Array) => Promise<void> {
  const { system } = server!.pipelines.find(({ source }) => source.name === name)!;
  return async (data) => {
    const input: Tensor = { name: 'x', datatype: 'FP32', shape: [data.byteLength / (4 * ROW), ROW], data };
    await asked(input, (each, onOutcome) => system.submit(each, each.inputs, onOutcome), releaseAll);
  };
}

/** Each row by itself through one after another. */
function modelCalls(names: readonly string[]): (data: Uint8Array) => Promise<void> {
  const systems = names.map((name) => server!.models.find(({ source }) => source.name === name)!.system);
  return async (data) => {
    const rows = Array.from({ length: data.byteLength / (4 * ROW) }, (_, row) =>
      data.subarray(4 * ROW * row, 4 * ROW * (row + 1)),
    );
    await Promise.all(
      rows.map(async (row) => {
        let held: readonly Tensor[] = [];
        let given: Tensor = { name: 'x', datatype: 'FP32', shape: [1, ROW], data: row };
        for (const system of systems) {
          const outputs = await asked(given, (each, onOutcome) => system.submit(each, onOutcome));
          releaseAll(held);
          held = outputs;
          given = { ...outputs[0]!, name: 'x' };
        }
        releaseAll(held);
      }),
    );
  };
}

/** @returns outputs that are held */
function asked(
  input: Tensor,
  submit: (request: InferRequest, onOutcome: OnOutcome) => void,
  done: (outputs: readonly Tensor[]) => void = () => undefined,
): Promise<readonly Tensor[]> {
  const nowMs = performance.now();
  const request: InferRequest = {
    ...{ sequence: sequence++, receivedAtMs: nowMs, sloMs: BUDGET_MS, networkDelayMs: 0, networkDelaySource: 'none' },
    ...{ replyReserveMs: 0, dueAtMs: nowMs + BUDGET_MS, client: 'bench', isDeadlineDefaulted: false },
    ...{ isBestEffort: false, priority: 0, shapeClass: shapeClassOf([input], true) },
    ...{ byteCount: input.data.byteLength, inputs: [input], outputNames: [] },
  };
  return new Promise((resolve, reject) => {
    submit(request, (outcome) => {
      if (outcome.kind !== 'completed') {
        reject(new Error(JSON.stringify(outcome)));
        return;
      }
      holdAll(outcome.outputs);
      done(outcome.outputs);
      resolve(outcome.outputs);
    });
  });
}

function optionsOf({ path, groupName }: Extract<InProcessRequest, { kind: 'start' }>): ServerOptions {
  return {
    ...{ path, fetched: null, host: '127.0.0.1', port: 0, grpcPort: 0, metricsPort: 0, ioThreads: 0 },
    doors: { allowedHosts: [], corsOrigins: [], tokenPath: null },
    ...{ serverName: 'bench', groupName, tls: null, defaultSloMs: null, modelName: null, isStrict: true },
    limits: {
      ...{ maxJsonBytes: 2 ** 24, maxBinaryBytes: 2 ** 26, maxBytesInReceipt: null, clientFraction: 1 },
      ...{ bodyTimeoutMs: 30_000, maxConcurrentCalls: 10_000 },
    },
    queueLimits: { maxRequests: 10_000, maxBytes: null },
    ...{ drainMs: 1000, floorFractions: {}, spareMode: 'never' },
    control: { mode: 'none', pollMs: 1000, loadModels: [] },
    ...{ compat: 'none', eventLogPath: null, tracing: null, logger: pino({ level: 'error' }) },
    ...{ onProgress: () => undefined, interruption: new AbortController().signal },
    policy: choosePolicy('sponge', {}),
    ...{ scaler: 'auto', kubernetes: DEFAULT_SETTINGS, instances: 1, instancesPerProcess: 'all', maxMillicores: null },
    ...{ minMillicores: 200, idleReleaseMs: null, quotaPeriodUs: 10_000, workerUser: 'nobody' },
    ...{ workerMemoryBytes: null, threadCounts: null, maxBatchSize: 16, maxBatchBytes: 2 ** 26 },
    ...{ isMaxBatchStated: false, shapes: null, samplePaths: null, batching: null, isRefining: false },
    ...{ profileFolder: null, runLimits: { standstillMs: 5000, maxRunMs: 60_000 }, targetMissRate: 0.01 },
  };
}
