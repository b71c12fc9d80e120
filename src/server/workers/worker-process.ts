import { accessSync, constants } from 'node:fs';
import { basename } from 'node:path';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { reached } from '../path-points.js';
import { BatchError, concatenateInputs, rowCounts, splitOutput } from './batch-tensors.js';
import { descriptor, FramedConnection } from './framed-connection.js';
import { MAX_PAYLOAD_BYTES, payloadBytes, readTensors, type Frame } from './frames.js';
import type { Pointer } from '../onnx-runtime/c-api.js';
import { Runtime } from '../onnx-runtime/runtime.js';
import { bytesOfHeld, isHeld, type OutputTensor } from '../onnx-runtime/values.js';
import type { RunRequest, RunResult } from '../onnx-runtime/model-sessions.js';
import { InstanceThreads, type MoveThreads } from './instance-threads.js';
import type { DescribedModel } from '../onnx-runtime/signature.js';
import { GraphFile } from '../onnx/model-file.js';
import { withTables } from '../onnx/table-inputs.js';
import { describeLoadFailure, oneLine } from './load-failure.js';
import type {
  ControlToRouter,
  ControlToWorker,
  EnclosedInputs,
  OutputHeader,
  SharedAreas,
  StagedPlaces,
  StageHeader,
  WithTensors,
  WorkerFacts,
} from './messages.js';
import { ModelBytes } from './model-bytes.js';
import { OutputPlaces, tensorsAt, type PlacedOutputs } from './placed-tensors.js';
import { withPrivateWeights } from './private-weights.js';
import { CONTROL_FD, DATA_FD, INPUTS_FD, MAX_ENCLOSED_BYTES, OUTPUTS_FD } from './messages.js';
import { mapHandedOver } from '../arena/shared-memory.js';

/*
 * The worker process: owns one model. This main thread keeps the connections and the staged inputs, puts batches
 * together and takes their outputs apart; the inference thread of each instance computes. It lives exactly as long as its router: when a
 * connection closes, it is gone at once, whatever the model is doing.
 */

interface StagedRequest {
  readonly inputs: readonly Tensor[];
  readonly outputNames: readonly string[];
}

interface RunningBatch {
  /** In slot order; null once dropped. */
  readonly sequences: (number | null)[];
  readonly outputNames: readonly (readonly string[])[];
  readonly rows: readonly number[];
  /** Of this run: by it another thread can end it. Released when it has ended. */
  readonly runOptions: Pointer;
  isAborted: boolean;
}

/** A worker that runs nothing for so long gives back the memory that runs have left unused. */
const IDLE_MS = 5000;

/**
 * Ends the process without waiting for the model: `process.exit` would wait for the inference threads, and a run ends only
 * between operators.
 */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL');
}

class WorkerProcess {
  readonly #staged = new Map<number, StagedRequest>();
  readonly #batches = new Map<number, RunningBatch>();
  /** Asked for and not answered, in order. */
  readonly #moves: ((problem: string | null) => void)[] = [];
  readonly #control: FramedConnection;
  readonly #data: FramedConnection;
  /** What it shares with the router; null where that is nothing. */
  #shared: { readonly inputs: Uint8Array<ArrayBuffer>; readonly outputs: OutputPlaces } | null = null;
  #runtime!: Runtime;
  #threads!: InstanceThreads;
  #idleTimer: NodeJS.Timeout | undefined;

  constructor() {
    this.#control = new FramedConnection(
      descriptor(CONTROL_FD),
      ({ header, payload }) => this.#onControl(header as WithTensors<ControlToWorker>, payload),
      endAtOnce,
    );
    this.#data = new FramedConnection(descriptor(DATA_FD), (frame) => this.#onStage(frame), endAtOnce);
  }

  #reply(message: ControlToRouter): void {
    this.#control.send(message);
  }

  #onControl(message: WithTensors<ControlToWorker>, payload: Uint8Array<ArrayBuffer>): void {
    switch (message.kind) {
      case 'load':
        void this.#load(message);
        return;
      case 'run':
        this.#shared?.outputs.free(message.freed);
        this.#unwrap(message.enclosed, readTensors(message.tensors ?? [], payload));
        this.#find(message.placed);
        this.#run(message);
        return;
      case 'abort':
        this.#abort(message.batchId);
        return;
      case 'release-memory':
        void this.#releaseMemory();
        return;
      case 'unstage':
        this.#unstage(message.sequence);
        return;
      case 'ping':
        this.#reply({ kind: 'pong' });
        return;
      case 'moved':
        this.#moves.shift()?.(message.problem);
        return;
    }
  }

  readonly #move: MoveThreads = (instance, threadIds) =>
    new Promise((fulfil, reject) => {
      this.#moves.push((problem) => (problem === null ? fulfil() : reject(new Error(problem))));
      this.#reply({ kind: 'move', instance, threadIds });
    });

  async #load({ shared, ...instruction }: Extract<ControlToWorker, { kind: 'load' }>): Promise<void> {
    const { modelPath, joins, expectedFiles } = instruction;
    process.title = `sponge-worker ${basename(modelPath)}`;
    if (shared !== null) this.#share(shared);
    try {
      accessSync(modelPath, constants.R_OK);
      this.#runtime = new Runtime();
    } catch (error) {
      this.#failLoad(describeLoadFailure(modelPath, error));
      return;
    }
    try {
      this.#threads = await InstanceThreads.start(this.#runtime, joins, this.#move, (message) => this.#fail(message));
      this.#reply({ kind: 'joined', inferenceTids: this.#threads.tids });
    } catch (error) {
      this.#failLoad(oneLine(error));
      return;
    }
    const startedAtMs = performance.now();
    const onTrouble = (message: string): void => this.#reply({ kind: 'notice', message });
    const file = new GraphFile(modelPath);
    const bytes = new ModelBytes([modelPath, ...file.weightsPaths]);
    const loadFrom = (path: string): Promise<DescribedModel> =>
      this.#threads.load({ ...instruction, modelPath: path }, onTrouble);
    const loaded = withPrivateWeights(modelPath, file.weightsPaths, loadFrom, onTrouble);
    // Meanwhile the first instance's thread makes a session.
    const { batching, hints, tables } = file.report();
    let facts: WorkerFacts;
    try {
      const description = await loaded;
      const loadMs = performance.now() - startedAtMs;
      const onnxRuntimeVersion = this.#runtime.api.version;
      const signature = withTables(description.signature, tables);
      facts = { ...description, signature, batching, hints, files: [], onnxRuntimeVersion, loadMs, residentBytes: 0 };
    } catch (error) {
      this.#failLoad(describeLoadFailure(modelPath, error));
      return;
    }
    try {
      // Only now it is known whether the sessions are of the right model.
      const files = await bytes.verify(expectedFiles);
      await this.#releaseMemory();
      const residentBytes = process.memoryUsage.rss();
      const isSharing = this.#shared !== null;
      const { threadIds } = this.#threads;
      this.#reply({ kind: 'ready', facts: { ...facts, files, residentBytes }, threadIds, isSharing });
    } catch (error) {
      this.#failLoad(oneLine(error));
    }
  }

  /** Where it cannot, all goes over the connections. */
  #share({ inputBytes, outputBytes }: SharedAreas): void {
    try {
      const inputs = mapHandedOver(INPUTS_FD, inputBytes, false);
      this.#shared = { inputs, outputs: new OutputPlaces(mapHandedOver(OUTPUTS_FD, outputBytes, true)) };
    } catch (error) {
      this.#reply({ kind: 'notice', message: `tensors are sent instead of shared: ${oneLine(error)}` });
    }
  }

  /** What loading or runs have left, in JavaScript's heap, ONNX Runtime's arena and the C library. */
  async #releaseMemory(): Promise<void> {
    globalThis.gc?.();
    this.#shared?.outputs.forgetUnused();
    try {
      await this.#runtime.releaseMemory();
    } catch (error) {
      this.#reply({ kind: 'notice', message: `unused memory is kept: ${oneLine(error)}` });
    }
  }

  #failLoad(message: string): void {
    this.#reply({ kind: 'load-failed', message });
    this.#control.end(() => process.exit(1));
  }

  #onStage({ header, payload }: Frame): void {
    const { sequence, outputNames, tensors = [] } = header as WithTensors<StageHeader>;
    this.#staged.set(sequence, { inputs: readTensors(tensors, payload), outputNames });
    this.#reply({ kind: 'staged', sequence });
  }

  /** As if they had been staged. */
  #unwrap(enclosed: readonly EnclosedInputs[], tensors: Tensor[]): void {
    for (const { sequence, outputNames, tensorCount } of enclosed)
      this.#staged.set(sequence, { inputs: tensors.splice(0, tensorCount), outputNames });
  }

  /** The same, of inputs that the router keeps where they are until it is answered. */
  #find(placed: readonly StagedPlaces[]): void {
    for (const { sequence, outputNames, tensors } of placed)
      this.#staged.set(sequence, { inputs: tensorsAt(this.#shared!.inputs, tensors), outputNames });
  }

  #unstage(sequence: number): void {
    if (this.#staged.delete(sequence)) return;
    for (const { sequences } of this.#batches.values()) {
      const slot = sequences.indexOf(sequence);
      if (slot >= 0) sequences[slot] = null;
    }
  }

  /** With an instance that cannot run any more the others are of no use: the router starts all of them again. */
  #fail(message: string): void {
    process.stderr.write(`${message}\n`, endAtOnce);
  }

  #run({ batchId, instance, sequences, threadCount, isKept }: Extract<ControlToWorker, { kind: 'run' }>): void {
    try {
      const members = sequences.map((sequence) => {
        const member = this.#staged.get(sequence);
        if (member === undefined) throw new BatchError(`request ${sequence} is not staged`);
        return member;
      });
      const memberInputs = members.map((member) => member.inputs);
      const inputs = concatenateInputs(memberInputs);
      const rows = members.length === 1 ? [1] : rowCounts(memberInputs);
      const outputNames = members.map((member) => member.outputNames);
      const runOptions = this.#runtime.api.pointer('createRunOptions');
      this.#batches.set(batchId, { sequences: [...sequences], outputNames, rows, runOptions, isAborted: false });
      const asked = unionOf(outputNames);
      void this.#compute(batchId, instance, { inputs, outputNames: asked, threadCount, runOptions });
    } catch (error) {
      this.#reply({ kind: 'failed', batchId, message: oneLine(error) });
    } finally {
      if (!isKept) for (const sequence of sequences) this.#staged.delete(sequence);
    }
  }

  async #compute(batchId: number, instance: number, request: RunRequest): Promise<void> {
    clearTimeout(this.#idleTimer);
    let result: RunResult;
    try {
      reached('begun');
      result = await this.#threads.run(instance, request);
    } catch (error) {
      const { isAborted } = this.#end(batchId);
      this.#reply(isAborted ? { kind: 'aborted', batchId } : { kind: 'failed', batchId, message: oneLine(error) });
      return;
    } finally {
      this.#releaseWhenIdle();
    }
    reached('ran');
    this.#sendOutputs(batchId, result);
  }

  #releaseWhenIdle(): void {
    clearTimeout(this.#idleTimer);
    this.#idleTimer = setTimeout(() => {
      if (this.#batches.size === 0) void this.#releaseMemory();
    }, IDLE_MS);
    this.#idleTimer.unref();
  }

  #abort(batchId: number): void {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) return;
    batch.isAborted = true;
    this.#runtime.api.check('runOptionsSetTerminate', batch.runOptions);
  }

  #end(batchId: number): RunningBatch {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) throw new Error(`batch ${batchId} is not running`);
    this.#batches.delete(batchId);
    this.#runtime.api.call('releaseRunOptions', batch.runOptions);
    return batch;
  }

  #sendOutputs(batchId: number, { outputs, computeMs }: RunResult): void {
    const { values } = this.#runtime;
    const batch = this.#end(batchId);
    // What is released has been sent, or will not be.
    const release = (): void => {
      for (const output of outputs) if (isHeld(output)) values.release(output.value);
    };
    let memberOutputs: readonly { slot: number; tensors: Tensor[] }[];
    try {
      memberOutputs = takeApart(batch, outputs.map(asTensor));
    } catch (error) {
      release();
      this.#reply({ kind: 'failed', batchId, message: oneLine(error) });
      return;
    }
    const [small, large] = partition(memberOutputs, ({ tensors }) => payloadBytes(tensors) <= MAX_ENCLOSED_BYTES);
    const enclosed = small.map(({ slot, tensors }) => ({ slot, tensorCount: tensors.length }));
    const placed: PlacedOutputs[] = [];
    const following = large.filter(({ slot, tensors }) => {
      const outputs = this.#shared?.outputs.put(slot, tensors) ?? null;
      if (outputs !== null) placed.push(outputs);
      return outputs === null;
    });
    const last = following.at(-1);
    let unsent = last === undefined ? 1 : 2;
    const onSent = (): void => {
      if (--unsent > 0) return;
      reached('sent');
      release();
    };
    this.#control.send(
      { kind: 'done', batchId, computeMs, enclosed, placed, following: following.length } satisfies ControlToRouter,
      small.flatMap(({ tensors }) => tensors),
      onSent,
    );
    for (const member of following) {
      const header: OutputHeader = { batchId, slot: member.slot };
      this.#data.send(header, member.tensors, member === last ? onSent : undefined);
    }
  }
}

function partition<T>(items: readonly T[], isFirst: (item: T) => boolean): [T[], T[]] {
  const parts: [T[], T[]] = [[], []];
  for (const item of items) parts[isFirst(item) ? 0 : 1].push(item);
  return parts;
}

/** Where ONNX Runtime wrote it; sent from there. */
function asTensor(output: OutputTensor): Tensor {
  return isHeld(output)
    ? { name: output.name, datatype: output.datatype, shape: output.shape, data: bytesOfHeld(output) }
    : output;
}

/** Every output that some member asked for; empty (all) as soon as one asked for all. */
function unionOf(outputNames: readonly (readonly string[])[]): readonly string[] {
  return outputNames.some((names) => names.length === 0) ? [] : [...new Set(outputNames.flat())];
}

/** Each remaining member's rows of the outputs it asked for, in the order it asked. */
function takeApart(batch: RunningBatch, outputs: readonly Tensor[]): { slot: number; tensors: Tensor[] }[] {
  const parts = new Map(outputs.map((output) => [output.name, splitOutput(output, batch.rows)]));
  return [...batch.sequences.entries()]
    .filter(([, sequence]) => sequence !== null)
    .map(([slot]) => {
      const asked = batch.outputNames[slot] ?? [];
      const names = asked.length === 0 ? [...parts.keys()] : asked;
      const tensors = names.flatMap((name) => parts.get(name)?.[slot] ?? []);
      if (payloadBytes(tensors) > MAX_PAYLOAD_BYTES) {
        throw new BatchError(`the outputs of one request exceed ${MAX_PAYLOAD_BYTES} bytes`);
      }
      return { slot, tensors };
    });
}

// The router decides when a worker ends. Signals for the whole process group or cgroup (Ctrl-C, a service manager's
// stop) must not take it away while the router still drains.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => undefined);
new WorkerProcess();
