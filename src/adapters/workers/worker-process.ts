import { constants } from 'node:fs';
import { access } from 'node:fs/promises';
import { basename } from 'node:path';
import { Worker } from 'node:worker_threads';
import type { Tensor } from '../../domain/tensor.js';
import { BatchError, buffersOf, concatenateInputs, rowCounts, splitOutput } from './batch-tensors.js';
import { descriptor, FramedConnection } from './framed-connection.js';
import { MAX_PAYLOAD_BYTES, payloadBytes, readTensors, type Frame } from './frames.js';
import type { RunMessage, ThreadMessage } from './inference-thread.js';
import { describeLoadFailure, oneLine } from './load-failure.js';
import type {
  ControlToRouter,
  ControlToWorker,
  LoadInstruction,
  OutputHeader,
  StageHeader,
  WithTensors,
} from './messages.js';
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
}

/**
 * Ends the process without waiting for the model. `process.exit` would join the inner thread, and ONNX Runtime cannot
 * be interrupted: a run of 7 s held the exit up for 7 s.
 */
function endAtOnce(): void {
  process.kill(process.pid, 'SIGKILL');
}

class WorkerProcess {
  readonly #staged = new Map<number, StagedRequest>();
  readonly #batches = new Map<number, RunningBatch>();
  readonly #control: FramedConnection;
  readonly #data: FramedConnection;
  #thread: Worker | null = null;

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
    } catch (error) {
      this.#failLoad(describeLoadFailure(modelPath, error));
      return;
    }
    const thread = new Worker(new URL('./inference-thread.js', import.meta.url), { workerData: instruction });
    thread.on('message', (message: ThreadMessage) => this.#onThread(message));
    thread.on('error', (error) => this.#failLoad(`the inference thread failed: ${oneLine(error)}`));
    this.#thread = thread;
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
      this.#batches.set(batchId, { sequences: [...sequences], outputNames, rows });
      const message: RunMessage = { batchId, inputs, outputNames: unionOf(outputNames), threadCount };
      const mayMove = !isKept || members.length > 1;
      this.#thread?.postMessage(message, mayMove ? buffersOf(inputs) : []);
    } catch (error) {
      this.#reply({ kind: 'failed', batchId, message: oneLine(error) });
    } finally {
      if (!isKept) for (const sequence of sequences) this.#staged.delete(sequence);
    }
  }

  #onThread(message: ThreadMessage): void {
    switch (message.kind) {
      case 'joined':
      case 'ready':
        this.#reply(message);
        return;
      case 'load-failed':
        this.#failLoad(message.message);
        return;
      case 'failed':
        this.#batches.delete(message.batchId);
        this.#reply(message);
        return;
      case 'ran':
        this.#sendOutputs(message);
        return;
    }
  }

  #sendOutputs({ batchId, outputs, computeMs }: Extract<ThreadMessage, { kind: 'ran' }>): void {
    const batch = this.#batches.get(batchId);
    if (batch === undefined) throw new Error(`batch ${batchId} is not running`);
    this.#batches.delete(batchId);
    let memberOutputs: readonly { slot: number; tensors: Tensor[] }[];
    try {
      memberOutputs = takeApart(batch, outputs);
    } catch (error) {
      this.#reply({ kind: 'failed', batchId, message: oneLine(error) });
      return;
    }
    this.#reply({ kind: 'done', batchId, slots: memberOutputs.map(({ slot }) => slot), computeMs });
    for (const { slot, tensors } of memberOutputs) {
      const header: OutputHeader = { batchId, slot };
      this.#data.send(header, tensors);
    }
  }
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
