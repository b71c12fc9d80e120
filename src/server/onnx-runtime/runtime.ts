import koffi from 'koffi';
import { OnnxGraph } from '../onnx/onnx-writer.js';
import { addressOf, OrtApi, type Pointer } from './c-api.js';
import { Values } from './values.js';

/*
 * ONNX Runtime in this process, as far as all its sessions share it: the environment, one arena of CPU memory, the values.
 *
 * One arena: each session would otherwise have its own, and each would grow to the largest batch that it ever ran. It grows by
 * powers of two: by what is asked for instead, mixed batch sizes left twice as much behind. `releaseMemory` gives back what is
 * not in use. A detector of 5 MB, profiled up to batches of 16 by two sessions, held 587 MB before and 135 MB after.
 */

/** Errors come as statuses; warnings about a model are for its author. */
const LOG_FATAL_ONLY = 4;
const ARENA_ALLOCATOR = 1;
const DEFAULT_MEMORY = 0;
/** `arena_extend_strategy` */
const NEXT_POWER_OF_TWO = 0n;

/** Weights that several sessions of one model read in one place. */
export interface SharedWeights {
  /** By initialiser. They belong to the caller, and outlive the sessions. */
  readonly values: ReadonlyMap<string, Pointer>;
  /** Where kernels that pack weights put them, and look for what another session has packed already. */
  readonly packed: Pointer;
}

/** `onnxruntime`'s levels of graph optimisation. */
const NO_OPTIMIZATION = 0;

export class Runtime {
  readonly api: OrtApi;
  readonly values: Values;
  readonly #environment: Pointer;
  #shrinkingSession: Pointer | null = null;

  constructor(api = new OrtApi()) {
    this.api = api;
    this.#environment = api.pointer('createEnv', LOG_FATAL_ONLY, 'sponge');
    api.check('disableTelemetryEvents', this.#environment);
    const memoryInfo = api.pointer('createCpuMemoryInfo', ARENA_ALLOCATOR, DEFAULT_MEMORY);
    this.#registerArena(memoryInfo);
    this.values = new Values(api, memoryInfo);
  }

  /** Owned by the caller. @throws OrtError: what ONNX Runtime says of the model */
  createSession(modelPath: string, threadCount: number): Promise<Pointer> {
    return this.#withOptions(threadCount, (options) =>
      this.api.pointerAside('createSession', this.#environment, modelPath, options),
    );
  }

  /** The same; it also writes its graph, optimised for this machine, to `path`, and the large weights to a file beside it. */
  createOptimizingSession(
    modelPath: string,
    path: string,
    weightsFile: string,
    leastWeightsBytes: number,
  ): Promise<Pointer> {
    const { api } = this;
    return this.#withOptions(1, (options) => {
      const configure = (key: string, value: string): void => api.check('addSessionConfigEntry', options, key, value);
      api.check('setOptimizedModelFilePath', options, path);
      configure('session.optimized_model_external_initializers_file_name', weightsFile);
      configure('session.optimized_model_external_initializers_min_size_in_bytes', String(leastWeightsBytes));
      return api.pointerAside('createSession', this.#environment, modelPath, options);
    });
  }

  /** A session of a graph that was optimised on this machine. */
  createOptimizedSession(path: string, threadCount: number, { values, packed }: SharedWeights): Promise<Pointer> {
    const { api } = this;
    return this.#withOptions(threadCount, (options) => {
      api.check('setSessionGraphOptimizationLevel', options, NO_OPTIMIZATION);
      for (const [name, value] of values) api.check('addInitializer', options, name, value);
      return api.pointerAside('createSessionWithPrepackedWeightsContainer', this.#environment, path, options, packed);
    });
  }

  releaseSession(session: Pointer): void {
    this.api.call('releaseSession', session);
  }

  /**
   * Gives unused memory back: that of the arena, then that of the C library, which keeps what loading a model took. The next
   * run has to ask for it again (5 ms for a run of 20).
   *
   * On this thread, which is in no CPU group: one that was throttled in the middle of it would keep others waiting for its locks.
   */
  async releaseMemory(): Promise<void> {
    await this.#shrinkArena();
    trimHeap?.();
  }

  #registerArena(memoryInfo: Pointer): void {
    const { api } = this;
    const key = cString('arena_extend_strategy');
    const keys = BigUint64Array.of(addressOf(key));
    const config = api.pointer('createArenaCfgV2', keys, BigUint64Array.of(NEXT_POWER_OF_TWO), keys.length);
    api.check('createAndRegisterAllocator', this.#environment, memoryInfo, config);
    api.call('releaseArenaCfg', config);
  }

  async #withOptions(threadCount: number, create: (options: Pointer) => Promise<Pointer>): Promise<Pointer> {
    const { api } = this;
    const options = api.pointer('createSessionOptions');
    const configure = (key: string, value: string): void => api.check('addSessionConfigEntry', options, key, value);
    try {
      api.check('setIntraOpNumThreads', options, threadCount);
      api.check('setInterOpNumThreads', options, 1);
      api.check('setSessionLogSeverityLevel', options, LOG_FATAL_ONLY);
      // It remembers where activations lay for each shape that ever came, and clients choose shapes.
      api.check('disableMemPattern', options);
      // A pool whose threads spin while idle burns quota that the computing thread needs: two spinning threads on one CPU
      // doubled latency.
      configure('session.intra_op.allow_spinning', '0');
      configure('session.inter_op.allow_spinning', '0');
      configure('session.use_env_allocators', '1');
      return await create(options);
    } finally {
      api.call('releaseSessionOptions', options);
    }
  }

  /** Only the end of a run shrinks the arena: so a model that does nothing is run. */
  async #shrinkArena(): Promise<void> {
    const { api, values } = this;
    this.#shrinkingSession ??= await this.#createFromBytes(doNothing());
    const { value: input } = values.fromTensor({ name: 'x', datatype: 'FP32', shape: [1], data: ONE_FLOAT });
    const runOptions = api.pointer('createRunOptions');
    const outputs = new BigUint64Array(1);
    try {
      api.check('addRunConfigEntry', runOptions, 'memory.enable_memory_arena_shrinkage', 'cpu:0');
      const [x, y] = [X, Y].map((name) => BigUint64Array.of(addressOf(name)));
      const inputs = BigUint64Array.of(input);
      api.check('run', this.#shrinkingSession, runOptions, x!, inputs, 1, y!, 1, outputs);
      values.release(outputs[0]!);
    } finally {
      api.call('releaseRunOptions', runOptions);
      values.release(input);
    }
  }

  #createFromBytes(model: Uint8Array): Promise<Pointer> {
    return this.#withOptions(1, (options) =>
      this.api.pointerAside('createSessionFromArray', this.#environment, model, model.byteLength, options),
    );
  }
}

/** Text as the C API reads it, in memory that does not move. */
export function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`);
}

/** Its names and its input, at one address for all its runs. */
const X = cString('x');
const Y = cString('y');
const ONE_FLOAT = new Uint8Array(4);

function doNothing(): Uint8Array {
  const graph = new OnnxGraph('do_nothing');
  graph.output(graph.add('Identity', [graph.input('x', 'FP32', [1])], {}, 'y'), 'FP32', [1]);
  return graph.toModel();
}

/** glibc's; other C libraries give memory back by themselves. */
const trimHeap = findTrimHeap();

function findTrimHeap(): (() => unknown) | null {
  if (process.platform !== 'linux') return null;
  try {
    const trim = koffi.load('libc.so.6').func('int malloc_trim(size_t pad)');
    return () => trim(0) as unknown;
  } catch {
    return null;
  }
}
