import { readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { addressOf, type Pointer, type RunCaller } from './c-api.js';
import { readModelGraph } from '../onnx/model-graph.js';
import { mapFile } from './mapped-file.js';
import { withTemporaryFolder } from './temporary-folder.js';
import { cString, type Runtime, type SharedWeights } from './runtime.js';
import { describeSession, type DescribedModel } from './signature.js';
import { UnsupportedModelError } from './unsupported-model-error.js';
import { isHeld, type Feed, type OutputTensor } from './values.js';

/*
 * One model, ready to run with any of several thread counts: ONNX Runtime fixes a session's threads when it is made, so
 * there is a session for each. Their weights are in memory once: the graph is optimised and its weights are packed by a
 * first session, which writes both to a file that all others map (3 sessions of ResNet-18: 131 MB instead of 229; the
 * second and third take 4 ms each instead of 57). Where that cannot be done, each loads the model by itself.
 *
 * Several instances run side by side, each on a thread of its own. The threads that ONNX Runtime makes are a session's, so each
 * instance has its own sessions; one that makes no threads serves them all. Sessions are released when the process ends.
 */

/** Below this, copies cost less than the file. */
const LEAST_SHARED_BYTES = 1024 ** 2;
const WEIGHTS_FILE = 'weights';
/**
 * Smaller weights are copied into each session. ONNX Runtime lays only those above 1 MiB at page boundaries, and kernels take
 * weights for aligned to 64 bytes: packed ones that it had written itself, at any offset, crashed the text recogniser
 * (`session.save_external_prepacked_constant_initializers`).
 */
const LEAST_MAPPED_BYTES = 1024 ** 2 + 1;

/** Runs on the thread that calls it. */
const NO_THREADS_OF_ITS_OWN = 1;

/** What sessions to make, and how. */
export interface SessionPlan {
  /** At least one, ascending. */
  readonly threadCounts: readonly number[];
  /** Integer ≥ 1; 1 by default. */
  readonly instanceCount?: number;
  /** An instance's sessions stand, and with them the threads that are theirs alone. What it throws ends the loading. */
  readonly onInstance?: (instance: number) => Promise<void>;
  /** One line, for the operator, when the weights cannot be shared. */
  readonly onTrouble: (line: string) => void;
  /** Of the model's file: smaller ones are loaded once a session. */
  readonly leastSharedBytes?: number | undefined;
}

/** By thread count. */
type Sessions = ReadonlyMap<number, Pointer>;

export interface RunRequest {
  readonly inputs: readonly Tensor[];
  /** Empty for all. */
  readonly outputNames: readonly string[];
  readonly threadCount: number;
  /** Of this run alone: `runOptionsSetTerminate` on it, from any thread, ends the run at the next operator. */
  readonly runOptions: Pointer;
}

export interface RunResult {
  /** In the order asked for. */
  readonly outputs: readonly OutputTensor[];
  /** Inside ONNX Runtime, with the way to its thread and back (20 µs). */
  readonly computeMs: number;
}

/** A name as the C API takes it; the buffer keeps the address valid. */
interface NativeName {
  readonly text: Buffer;
  readonly address: Pointer;
}

export class ModelSessions {
  readonly description: DescribedModel;
  readonly #runtime: Runtime;
  /** By instance. */
  readonly #sessions: readonly Sessions[];
  readonly #names: ReadonlyMap<string, NativeName>;
  readonly #outputNames: readonly string[];

  constructor(runtime: Runtime, sessions: readonly Sessions[], description: DescribedModel) {
    this.#runtime = runtime;
    this.#sessions = sessions;
    this.description = description;
    const { inputs, outputs } = description.signature;
    this.#names = new Map([...inputs, ...outputs].map(({ name }) => [name, nativeName(name)]));
    this.#outputNames = outputs.map(({ name }) => name);
  }

  /** @throws OrtError, UnsupportedModelError */
  static async load(runtime: Runtime, modelPath: string, plan: SessionPlan): Promise<ModelSessions> {
    const { leastSharedBytes = LEAST_SHARED_BYTES, onTrouble } = plan;
    const isShared = sessionCount(plan) > 1 && statSync(modelPath).size >= leastSharedBytes;
    if (!isShared) return loadEach(runtime, modelPath, plan);
    try {
      return await withTemporaryFolder((folder) => loadShared(runtime, modelPath, plan, folder));
    } catch (error) {
      if (error instanceof UnsupportedModelError) throw error;
      // What is wrong with the model itself is said by this second attempt.
      const sessions = await loadEach(runtime, modelPath, plan);
      onTrouble(
        `${modelPath}: each session has its own copy of the weights: ${error instanceof Error ? error.message : String(error)}`,
      );
      return sessions;
    }
  }

  /**
   * @param call on the instance's thread; absent for that of libuv's pool
   * @throws OrtError, also where the run was ended; Error for a thread count without a session
   */
  async run(
    { inputs, outputNames, threadCount, runOptions }: RunRequest,
    instance = 0,
    call?: RunCaller,
  ): Promise<RunResult> {
    const { api, values } = this.#runtime;
    const session = this.#sessions[instance]?.get(threadCount);
    if (session === undefined) throw new Error(`instance ${instance} has no session for ${threadCount} threads`);
    const asked = outputNames.length === 0 ? this.#outputNames : outputNames;
    const feeds: Feed[] = [];
    const results = new BigUint64Array(asked.length);
    try {
      for (const input of inputs) feeds.push(values.fromTensor(input));
      const inputAddresses = BigUint64Array.from(inputs, ({ name }) => this.#addressOfName(name));
      const outputAddresses = BigUint64Array.from(asked, (name) => this.#addressOfName(name));
      const feedAddresses = BigUint64Array.from(feeds, ({ value }) => value);
      const given = [
        session,
        runOptions,
        inputAddresses,
        feedAddresses,
        feeds.length,
        outputAddresses,
        asked.length,
        results,
      ];
      const startedAtMs = performance.now();
      await (call === undefined ? api.checkAside('run', ...given) : api.checkRunOn(call, ...given));
      const computeMs = performance.now() - startedAtMs;
      return { outputs: this.#takeOutputs(asked, results), computeMs };
    } finally {
      for (const { value } of feeds) values.release(value);
    }
  }

  /** @throws the first output's error, with all values released */
  #takeOutputs(names: readonly string[], results: BigUint64Array): OutputTensor[] {
    const { values } = this.#runtime;
    const outputs: OutputTensor[] = [];
    try {
      for (const [i, name] of names.entries()) outputs.push(values.toOutput(name, results[i]!));
      return outputs;
    } catch (error) {
      for (const output of outputs) if (isHeld(output)) values.release(output.value);
      for (const value of results.subarray(outputs.length + 1)) values.release(value);
      throw error;
    }
  }

  #addressOfName(name: string): Pointer {
    const known = this.#names.get(name);
    if (known === undefined) throw new Error(`the model has no input or output '${name}'`);
    return known.address;
  }
}

function nativeName(name: string): NativeName {
  const text = cString(name);
  return { text, address: addressOf(text) };
}

function sessionCount({ threadCounts, instanceCount = 1 }: SessionPlan): number {
  const ofAll = threadCounts.filter((count) => count === NO_THREADS_OF_ITS_OWN).length;
  return ofAll + (threadCounts.length - ofAll) * instanceCount;
}

/** In turn, so that it can be told which threads are whose. */
async function makeSessions(
  { threadCounts, instanceCount = 1, onInstance }: SessionPlan,
  make: (threadCount: number) => Promise<Pointer>,
): Promise<readonly Sessions[]> {
  const sessions: Sessions[] = [];
  for (let instance = 0; instance < instanceCount; instance++) {
    const own = new Map<number, Pointer>();
    sessions.push(own);
    for (const threadCount of threadCounts) {
      const ofAll = threadCount === NO_THREADS_OF_ITS_OWN ? sessions[0]!.get(threadCount) : undefined;
      own.set(threadCount, ofAll ?? (await make(threadCount)));
    }
    await onInstance?.(instance);
  }
  return sessions;
}

async function loadEach(runtime: Runtime, modelPath: string, plan: SessionPlan): Promise<ModelSessions> {
  const sessions = await makeSessions(plan, (threadCount) => runtime.createSession(modelPath, threadCount));
  return new ModelSessions(runtime, sessions, describeSession(runtime.api, firstOf(sessions)));
}

function firstOf(sessions: readonly Sessions[]): Pointer {
  const [first] = sessions[0]!.values();
  return first!;
}

async function loadShared(
  runtime: Runtime,
  modelPath: string,
  plan: SessionPlan,
  folder: string,
): Promise<ModelSessions> {
  const path = join(folder, 'model.onnx');
  const optimizer = await runtime.createOptimizingSession(modelPath, path, WEIGHTS_FILE, LEAST_MAPPED_BYTES);
  const made: Pointer[] = [];
  try {
    const description = describeSession(runtime.api, optimizer);
    const { weights, forgetUnused } = mapWeights(runtime, path, join(folder, WEIGHTS_FILE));
    const sessions = await makeSessions(plan, async (threadCount) => {
      const session = await runtime.createOptimizedSession(path, threadCount, weights);
      made.push(session);
      // It must be the same model to its clients, whatever the optimiser did.
      if (JSON.stringify(describeSession(runtime.api, session)) !== JSON.stringify(description)) {
        throw new Error('its optimised copy has other inputs or outputs');
      }
      return session;
    });
    forgetUnused();
    return new ModelSessions(runtime, sessions, description);
  } catch (error) {
    for (const session of made) runtime.releaseSession(session);
    throw error;
  } finally {
    runtime.releaseSession(optimizer);
  }
}

/** The large weights of an optimised model, for all its sessions; they stay mapped for good. */
function mapWeights(
  runtime: Runtime,
  modelPath: string,
  weightsPath: string,
): { readonly weights: SharedWeights; readonly forgetUnused: () => void } {
  const packed = runtime.api.pointer('createPrepackedWeightsContainer');
  const { initializers } = readModelGraph(readFileSync(modelPath)).graph;
  const listed = [...initializers.values()].filter(({ external }) => external !== null);
  if (listed.length === 0) return { weights: { values: new Map(), packed }, forgetUnused: () => undefined };
  const file = mapFile(weightsPath);
  const values = listed.map(({ name, elementType, shape, external }): [string, Pointer] => {
    const { offset, byteCount } = external!;
    return [name, runtime.values.fromMemory(file.address + BigInt(offset), byteCount, elementType, shape)];
  });
  // Kernels that packed their weights never read these again.
  return { weights: { values: new Map(values), packed }, forgetUnused: () => file.forget() };
}
