import type { Outcome } from '../../src/scheduler/domain/outcome.js';
import { DATATYPES } from '../../src/scheduler/domain/tensor.js';
import type { Datatype, Tensor } from '../../src/scheduler/domain/tensor.js';
import { OipFailure } from '../../src/protocol/service.js';
import type {
  Departure,
  Explanation,
  InferCall,
  InferenceService,
  InferReply,
  ModelEntry,
  ModelStatistics,
} from '../../src/protocol/service.js';

/** One received call, and what tells whether its client left. */
export interface RecordedCall {
  readonly call: InferCall;
  readonly signal: Departure;
}

type InferBehaviour = (call: InferCall, signal: Departure) => Promise<InferReply>;

export interface FakeService extends InferenceService {
  serverName: string;
  readonly calls: RecordedCall[];
  isLiveNow: boolean;
  isReadyNow: boolean;
  /** Replaces the identity model, for one test; `reset` puts it back. */
  behaviour: InferBehaviour;
  reset(): void;
}

const EXPLANATION: Explanation = {
  sloMs: 520.5,
  budgetMs: 500,
  networkDelayMs: 20.5,
  networkDelaySource: 'transfer',
  routerDelayMs: 0,
  isDeadlineDefaulted: false,
};

/**
 * An InferenceService in memory. Models:
 *
 * - `identity_<datatype>` for every datatype: `x` [-1, -1] → `y`, the same bytes; batchable to 8;
 * - `fixed`: `a` FP32 [2, 3] and `b` INT64 [-1] → `sum` (the bytes of `a`) and `count` (those of `b`); not batchable;
 * - `versioned`: versions 1 and 2, 2 is the latest; `x` FP32 [-1, 2] → `y`; batchable to 4;
 * - `raw`: `x` FP32 [-1, 4] → `y`; batchable to 8; its classes are called ant, bee and cat, and the last has no name;
 * - `open`: `x` FP32 of any rank, `scale` FP32 [3] that may be left out → `y`, the bytes of `x`; not batchable;
 * - `loading`: never loaded.
 */
export function createFakeService(): FakeService {
  const models = fakeModels();
  const lookUp = (name: string, version?: string): ModelEntry => {
    const named = models.filter((model) => model.name === name);
    const found = version === undefined ? named.at(-1) : named.find((model) => model.version === version);
    if (found !== undefined) return found;
    throw new OipFailure(
      'not_found',
      `Request for unknown model: '${name}'${version === undefined ? '' : ` version ${version}`} is not found`,
    );
  };
  const runIdentity: InferBehaviour = (call) => {
    const model = lookUp(call.modelName, call.modelVersion);
    return Promise.resolve(okReply(model, call));
  };
  let [isLive, isReady] = [true, true];
  let onChange = (): void => undefined;
  const fake: FakeService = {
    serverName: 'sponge-test',
    serverVersion: '0.0.1',
    calls: [],
    get isLiveNow() {
      return isLive;
    },
    set isLiveNow(now) {
      isLive = now;
      onChange();
    },
    get isReadyNow() {
      return isReady;
    },
    set isReadyNow(now) {
      isReady = now;
      onChange();
    },
    watchModels: (listener) => (onChange = listener),
    behaviour: runIdentity,
    reset() {
      fake.calls.length = 0;
      fake.isLiveNow = true;
      fake.isReadyNow = true;
      fake.behaviour = runIdentity;
    },
    isLive: () => fake.isLiveNow,
    isReady: () => fake.isReadyNow,
    models: () => models,
    model: lookUp,
    statistics: (name, version) =>
      (name === undefined ? models : [lookUp(name, version)]).map((model) => fakeStatistics(model)),
    infer(call, signal) {
      fake.calls.push({ call, signal });
      return fake.behaviour(call, signal);
    },
  };
  return fake;
}

/** The identity answer: output i carries the bytes of input i. */
export function okReply(model: ModelEntry, call: InferCall, isLate = false): InferReply {
  const wanted = call.outputNames.length > 0 ? call.outputNames : model.signature!.outputs.map((spec) => spec.name);
  const outputs = wanted.map((name): Tensor => {
    const index = model.signature!.outputs.findIndex((spec) => spec.name === name);
    const inputName = model.signature!.inputs[index]!.name;
    const input = call.inputs.find((tensor) => tensor.name === inputName)!;
    return { name, datatype: input.datatype, shape: input.shape, data: input.data };
  });
  return {
    kind: 'ok',
    modelName: model.name,
    modelVersion: model.version,
    outputs,
    outcome: {
      kind: 'completed',
      isLate,
      outputs,
      service: {
        queuedMs: 1.5,
        slackAtDispatchMs: 400.25,
        batchId: 7,
        batchSize: 2,
        cpuMillicores: 1500,
        threadCount: 2,
        plannedLatencyMs: 30,
        latencyMs: 25.125,
      },
    },
    explanation: EXPLANATION,
  };
}

/** A behaviour that refuses every call with this outcome. */
export function refuseWith(outcome: Exclude<Outcome, { kind: 'completed' }>): InferBehaviour {
  return () => Promise.resolve({ kind: 'refused', outcome, explanation: EXPLANATION });
}

function fakeModels(): readonly ModelEntry[] {
  const ready = {
    version: '1',
    versions: ['1'],
    state: 'READY',
    stateReason: '',
    platform: 'onnxruntime_onnx',
  } as const;
  const identity = (name: string, datatype: Datatype, shape: readonly number[], maxBatchSize: number): ModelEntry => ({
    ...ready,
    name,
    maxBatchSize,
    signature: { inputs: [{ name: 'x', datatype, shape }], outputs: [{ name: 'y', datatype, shape }] },
  });
  return [
    ...DATATYPES.map((datatype) => identity(`identity_${datatype.toLowerCase()}`, datatype, [-1, -1], 8)),
    {
      ...ready,
      name: 'fixed',
      maxBatchSize: 0,
      signature: {
        inputs: [
          { name: 'a', datatype: 'FP32', shape: [2, 3] },
          { name: 'b', datatype: 'INT64', shape: [-1] },
        ],
        outputs: [
          { name: 'sum', datatype: 'FP32', shape: [2, 3] },
          { name: 'count', datatype: 'INT64', shape: [-1] },
        ],
      },
    },
    { ...identity('versioned', 'FP32', [-1, 2], 4), version: '1', versions: ['1', '2'] },
    { ...identity('versioned', 'FP32', [-1, 2], 4), version: '2', versions: ['1', '2'] },
    { ...identity('raw', 'FP32', [-1, 4], 8), labels: { y: ['ant', 'bee', 'cat'] } },
    {
      ...ready,
      name: 'open',
      maxBatchSize: 0,
      signature: {
        inputs: [
          { name: 'x', datatype: 'FP32', shape: null },
          { name: 'scale', datatype: 'FP32', shape: [3], isOptional: true },
        ],
        outputs: [{ name: 'y', datatype: 'FP32', shape: null }],
      },
    },
    {
      ...ready,
      name: 'loading',
      state: 'LOADING',
      stateReason: 'reading model.onnx',
      signature: null,
      maxBatchSize: 0,
    },
  ];
}

function fakeStatistics(model: ModelEntry): ModelStatistics {
  const stat = (count: number, ns: number): { count: number; ns: number } => ({ count, ns });
  return {
    name: model.name,
    version: model.version,
    lastInference: 1_700_000_000_000,
    inferenceCount: 3,
    executionCount: 2,
    inferenceStats: {
      success: stat(3, 9_000_000),
      fail: stat(0, 0),
      queue: stat(3, 1_000_000),
      compute_input: stat(3, 500_000),
      compute_infer: stat(3, 7_000_000),
      compute_output: stat(3, 500_000),
    },
    batchStats: [
      {
        batchSize: 1,
        computeInput: stat(1, 100_000),
        computeInfer: stat(1, 3_000_000),
        computeOutput: stat(1, 100_000),
      },
      {
        batchSize: 2,
        computeInput: stat(1, 400_000),
        computeInfer: stat(1, 4_000_000),
        computeOutput: stat(1, 400_000),
      },
    ],
  };
}
