import { parentPort, workerData } from 'node:worker_threads';
import type * as Ort from 'onnxruntime-node';
import type { ModelSignature, Tensor, TensorSpec } from '../../domain/tensor.js';
import { joinGroup } from '../scalers/join.js';
import { buffersOf } from './batch-tensors.js';
import { describeLoadFailure, oneLine, UnsupportedModelError } from './load-failure.js';
import type { LoadInstruction, SessionMemory, WorkerFacts } from './messages.js';
import { datatypeOf, fromOrtTensor, toOrtTensor } from './ort-tensors.js';

/*
 * The thread that owns ONNX Runtime: `run()` and session creation block the thread they are called on. It joins its CPU
 * group before ONNX Runtime is even imported, so that every thread ONNX Runtime makes is born inside the group.
 */

export interface RunMessage {
  readonly batchId: number;
  readonly inputs: readonly Tensor[];
  /** Empty for all. */
  readonly outputNames: readonly string[];
  readonly threadCount: number;
}

export type ThreadMessage =
  | { readonly kind: 'joined'; readonly inferenceTid: number }
  | { readonly kind: 'ready'; readonly facts: WorkerFacts }
  | { readonly kind: 'load-failed'; readonly message: string }
  | { readonly kind: 'ran'; readonly batchId: number; readonly outputs: readonly Tensor[]; readonly computeMs: number }
  | { readonly kind: 'failed'; readonly batchId: number; readonly message: string };

/**
 * A pool whose threads spin while idle burns quota that the computing thread needs: two spinning threads on one CPU
 * doubled latency. `extra` is how the Node binding takes ONNX Runtime's configuration keys; values are strings.
 */
const NO_SPINNING = { session: { intra_op: { allow_spinning: '0' }, inter_op: { allow_spinning: '0' } } };

class InferenceThread {
  readonly #ort: typeof Ort;
  readonly #sessions = new Map<number, Ort.InferenceSession>();

  constructor(ort: typeof Ort) {
    this.#ort = ort;
  }

  async load({ modelPath, threadCounts }: LoadInstruction): Promise<Omit<WorkerFacts, 'loadMs'>> {
    const sessionMemory: SessionMemory[] = [];
    for (const threadCount of threadCounts) {
      const residentBefore = process.memoryUsage.rss();
      const session = await this.#ort.InferenceSession.create(modelPath, {
        intraOpNumThreads: threadCount,
        interOpNumThreads: 1,
        executionMode: 'sequential',
        extra: NO_SPINNING,
      });
      this.#sessions.set(threadCount, session);
      sessionMemory.push({ threadCount, residentBytes: Math.max(0, process.memoryUsage.rss() - residentBefore) });
    }
    const [session] = this.#sessions.values();
    if (session === undefined) throw new UnsupportedModelError('no thread count was given to load it for');
    return {
      ...describeModel(session),
      onnxRuntimeVersion: this.#ort.env.versions.common,
      residentBytes: process.memoryUsage.rss(),
      sessionMemory,
    };
  }

  async run({ inputs, outputNames, threadCount }: RunMessage): Promise<{ outputs: Tensor[]; computeMs: number }> {
    const session = this.#sessions.get(threadCount);
    if (session === undefined) throw new Error(`there is no session for ${threadCount} threads`);
    const feeds = Object.fromEntries(inputs.map((input) => [input.name, toOrtTensor(this.#ort, input)]));
    const fetches = outputNames.length === 0 ? session.outputNames : outputNames;
    const startedAtMs = performance.now();
    const results = await session.run(feeds, fetches);
    const computeMs = performance.now() - startedAtMs;
    const outputs = fetches.map((name) => {
      const result = results[name];
      if (result === undefined) throw new Error(`the model gave no output '${name}'`);
      return fromOrtTensor(name, result);
    });
    return { outputs, computeMs };
  }
}

function describeModel(session: Ort.InferenceSession): Pick<WorkerFacts, 'signature' | 'symbolicDimensions'> {
  const symbolicDimensions: Record<string, (string | null)[]> = {};
  const specOf = (metadata: Ort.InferenceSession.ValueMetadata): TensorSpec => {
    const { name } = metadata;
    if (!metadata.isTensor) {
      throw new UnsupportedModelError(
        `'${name}' is a sequence or map; export the model with tensor inputs and outputs`,
      );
    }
    const datatype = datatypeOf(metadata.type);
    if (datatype === null) {
      throw new UnsupportedModelError(`'${name}' has element type ${metadata.type}, which cannot be served; cast it`);
    }
    symbolicDimensions[name] = metadata.shape.map((size) => (typeof size === 'string' ? size : null));
    return { name, datatype, shape: metadata.shape.map((size) => (typeof size === 'string' ? -1 : size)) };
  };
  const signature: ModelSignature = {
    inputs: session.inputMetadata.map(specOf),
    outputs: session.outputMetadata.map(specOf),
  };
  return { signature, symbolicDimensions };
}

async function serve(port: NonNullable<typeof parentPort>, load: LoadInstruction): Promise<void> {
  const post = (message: ThreadMessage, moved: ArrayBuffer[] = []): void => port.postMessage(message, moved);
  try {
    post({ kind: 'joined', inferenceTid: joinGroup(load.join).tid });
  } catch (error) {
    post({ kind: 'load-failed', message: oneLine(error) });
    return;
  }
  try {
    const startedAtMs = performance.now();
    const thread = new InferenceThread(await import('onnxruntime-node'));
    const facts = await thread.load(load);
    let last = Promise.resolve();
    port.on('message', (message: RunMessage) => {
      last = last.then(async () => {
        const { batchId } = message;
        try {
          const { outputs, computeMs } = await thread.run(message);
          post({ kind: 'ran', batchId, outputs, computeMs }, buffersOf(outputs));
        } catch (error) {
          post({ kind: 'failed', batchId, message: oneLine(error) });
        }
      });
    });
    post({ kind: 'ready', facts: { ...facts, loadMs: performance.now() - startedAtMs } });
  } catch (error) {
    post({ kind: 'load-failed', message: describeLoadFailure(load.modelPath, error) });
  }
}

if (parentPort !== null) await serve(parentPort, workerData as LoadInstruction);
