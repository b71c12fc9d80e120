import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { basename } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Tensor } from '../../domain/tensor.js';
import { BatchError, buffersOf, concatenateInputs, rowCounts, splitOutput } from './batch-tensors.js';
import { descriptor, FramedConnection } from './framed-connection.js';
import { MAX_PAYLOAD_BYTES, payloadBytes, readTensors, type Frame } from './frames.js';
import { OrtApi, type Pointer } from '../onnx-runtime/c-api.js';
import { bytesOfHeld, isHeld, type OutputTensor } from '../onnx-runtime/values.js';
import type { SessionFacts, ThreadInstruction, ThreadMessage } from './inference-thread.js';
import { readModelFile, type ModelFileReport } from '../onnx/model-file.js';
import { describeLoadFailure, oneLine } from './load-failure.js';
import type {
  ControlToRouter,
  ControlToWorker,
  LoadInstruction,
  OutputHeader,
  StageHeader,
  WithTensors,
} from './messages.js';
import { ModelBytes } from './model-bytes.js';
import { CONTROL_FD, DATA_FD } from './messages.js';

/*
 * The worker process: owns one model. This main thread keeps the connections and the staged inputs, puts batches
 * together and takes their outputs apart; the inner thread computes. It lives exactly as long as its router: when a
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
 * Ends the process without waiting for the model: `process.exit` would join the inner thread, and a run ends only between
 * operators.
 */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL');
}

class WorkerProcess {
  readonly #staged = new Map<number, StagedRequest>();
  readonly #batches = new Map<number, RunningBatch>();
  readonly #control: FramedConnection;
  readonly #data: FramedConnection;
  /** Only to end runs, and to release what they gave. */
  #api!: OrtApi;
  #thread: Worker | null = null;
  #idleTimer: NodeJS.Timeout | undefined;
  #loading: {
    readonly report: ModelFileReport;
    readonly bytes: ModelBytes;
    readonly expected: LoadInstruction['expectedFiles'];
  } | null = null;

  constructor() {
    this.#control = new FramedConnection(
      descriptor(CONTROL_FD),
      ({ header }) => this.#onControl(header as ControlToWorker),
      endAtOnce,
    );
    this.#data = new FramedConnection(descriptor(DATA_FD), (frame) => this.#onStage(frame), endAtOnce);
  }

  #reply(message: ControlToRouter): void {
    this.#control.send(message);
  }

  #onControl(message: ControlToWorker): void {
    switch (message.kind) {
      case 'load':
        void this.#load(message);
        return;
      case 'run':
        this.#run(message);
        return;
      case 'abort':
        this.#abort(message.batchId);
        return;
      case 'release-memory':
        this.#instruct({ kind: 'release-memory' });
        return;
      case 'unstage':
        this.#unstage(message.sequence);
        return;
    }
  }

  async #load(instruction: LoadInstruction): Promise<void> {
    const { modelPath } = instruction;
    process.title = `sponge-worker ${basename(modelPath)}`;
    try {
      // Besides its purpose this makes libuv start its thread pool here, so that its threads are not born into the
      // CPU group of the inner thread.
      await access(modelPath, constants.R_OK);
      this.#api = new OrtApi();
    } catch (error) {
      this.#failLoad(describeLoadFailure(modelPath, error));
      return;
    }
    const thread = new Worker(new URL('./inference-thread.js', import.meta.url), { workerData: instruction });
    thread.on('message', (message: ThreadMessage) => this.#onThread(message));
    thread.on('error', (error) => this.#failLoad(`the inference thread failed: ${oneLine(error)}`));
    this.#thread = thread;
    // Meanwhile the inner thread makes its sessions.
    const report = readModelFile(modelPath);
    const bytes = new ModelBytes([modelPath, ...report.weightsPaths]);
    this.#loading = { report, bytes, expected: instruction.expectedFiles };
  }

  /** The sessions stand; now it is known whether they are of the right model. */
  async #ready(facts: SessionFacts): Promise<void> {
    const { report, bytes, expected } = this.#loading!;
    try {
      const files = await bytes.verify(expected);
      this.#reply({ kind: 'ready', facts: { ...facts, batching: report.batching, hints: report.hints, files } });
    } catch (error) {
      this.#failLoad(oneLine(error));
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

  #unstage(sequence: number): void {
    if (this.#staged.delete(sequence)) return;
    for (const { sequences } of this.#batches.values()) {
      const slot = sequences.indexOf(sequence);
      if (slot >= 0) sequences[slot] = null;
    }
  }

  #run({ batchId, sequences, threadCount, isKept }: Extract<ControlToWorker, { kind: 'run' }>): void {
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
      const runOptions = this.#api.pointer('createRunOptions');
      this.#batches.set(batchId, { sequences: [...sequences], outputNames, rows, runOptions, isAborted: false });
      const mayMove = !isKept || members.length > 1;
      const asked = unionOf(outputNames);
      this.#instruct(
        { kind: 'run', batchId, inputs, outputNames: asked, threadCount, runOptions },
        mayMove ? buffersOf(inputs) : [],
      );
    } catch (error) {
      this.#reply({ kind: 'failed', batchId, message: oneLine(error) });
    } finally {
      if (!isKept) for (const sequence of sequences) this.#staged.delete(sequence);
    }
  }

  #onThread(message: ThreadMessage): void {
    switch (message.kind) {
      case 'joined':
      case 'notice':
        this.#reply(message);
        return;
      case 'ready':
        void this.#ready(message.facts);
        return;
      case 'load-failed':
        this.#failLoad(message.message);
        return;
      case 'failed': {
        const { batchId } = message;
        const { isAborted } = this.#end(batchId);
        this.#reply(isAborted ? { kind: 'aborted', batchId } : message);
        return;
      }
      case 'ran':
        this.#sendOutputs(message);
        return;
    }
  }

  #instruct(instruction: ThreadInstruction, moved: ArrayBuffer[] = []): void {
    this.#thread?.postMessage(instruction, moved);
    clearTimeout(this.#idleTimer);
    if (instruction.kind === 'run') {
      this.#idleTimer = setTimeout(() => {
        if (this.#batches.size === 0) this.#instruct({ kind: 'release-memory' });
      }, IDLE_MS);
      this.#idleTimer.unref();
    }
  }

  #abort(batchId: number): void {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) return;
    batch.isAborted = true;
    this.#api.check('runOptionsSetTerminate', batch.runOptions);
  }

  #end(batchId: number): RunningBatch {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) throw new Error(`batch ${batchId} is not running`);
    this.#batches.delete(batchId);
    this.#api.call('releaseRunOptions', batch.runOptions);
    return batch;
  }

  #sendOutputs({ batchId, outputs, computeMs }: Extract<ThreadMessage, { kind: 'ran' }>): void {
    const batch = this.#end(batchId);
    // What is released has been sent, or will not be.
    const release = (): void => {
      for (const output of outputs) if (isHeld(output)) this.#api.call('releaseValue', output.value);
    };
    let memberOutputs: readonly { slot: number; tensors: Tensor[] }[];
    try {
      memberOutputs = takeApart(batch, outputs.map(asTensor));
    } catch (error) {
      release();
      this.#reply({ kind: 'failed', batchId, message: oneLine(error) });
      return;
    }
    this.#reply({ kind: 'done', batchId, slots: memberOutputs.map(({ slot }) => slot), computeMs });
    const last = memberOutputs.at(-1);
    if (last === undefined) release();
    for (const member of memberOutputs) {
      const header: OutputHeader = { batchId, slot: member.slot };
      this.#data.send(header, member.tensors, member === last ? release : undefined);
    }
  }
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
