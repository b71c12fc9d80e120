import { parentPort, workerData } from 'node:worker_threads';
import type { Tensor } from '../../domain/tensor.js';
import type { Pointer } from '../onnx-runtime/c-api.js';
import type { OutputTensor } from '../onnx-runtime/values.js';
import { joinGroup } from '../scalers/join.js';
import { buffersOf } from './batch-tensors.js';
import { describeLoadFailure, oneLine } from './load-failure.js';
import type { LoadInstruction, WorkerFacts } from './messages.js';

/*
 * The thread that runs the model: `run` and session creation block the thread they are called on. It joins its CPU group
 * before ONNX Runtime is even imported, so that every thread ONNX Runtime makes is born inside the group.
 */

export type ThreadInstruction =
  | {
      readonly kind: 'run';
      readonly batchId: number;
      readonly inputs: readonly Tensor[];
      /** Empty for all. */
      readonly outputNames: readonly string[];
      readonly threadCount: number;
      /** The sender's, who may end the run by it and releases it after the answer. */
      readonly runOptions: Pointer;
    }
  | { readonly kind: 'release-memory' };

/** What the graph and the files say is found out beside this thread. */
export type SessionFacts = Omit<WorkerFacts, 'batching' | 'hints' | 'files'>;

export type ThreadMessage =
  | { readonly kind: 'joined'; readonly inferenceTid: number }
  | { readonly kind: 'ready'; readonly facts: SessionFacts }
  | { readonly kind: 'load-failed'; readonly message: string }
  | { readonly kind: 'notice'; readonly message: string }
  /** Held outputs now belong to the receiver. */
  | {
      readonly kind: 'ran';
      readonly batchId: number;
      readonly outputs: readonly OutputTensor[];
      readonly computeMs: number;
    }
  | { readonly kind: 'failed'; readonly batchId: number; readonly message: string };

async function serve(port: NonNullable<typeof parentPort>, instruction: LoadInstruction): Promise<void> {
  const post = (message: ThreadMessage, moved: ArrayBuffer[] = []): void => port.postMessage(message, moved);
  const { modelPath, threadCounts } = instruction;
  try {
    post({ kind: 'joined', inferenceTid: joinGroup(instruction.join).tid });
  } catch (error) {
    post({ kind: 'load-failed', message: oneLine(error) });
    return;
  }
  try {
    const startedAtMs = performance.now();
    const { Runtime } = await import('../onnx-runtime/runtime.js');
    const { ModelSessions } = await import('../onnx-runtime/model-sessions.js');
    const runtime = new Runtime();
    const sessions = await ModelSessions.load(runtime, modelPath, threadCounts, (message) =>
      post({ kind: 'notice', message }),
    );
    runtime.releaseMemory();
    port.on('message', (message: ThreadInstruction) => {
      if (message.kind === 'release-memory') {
        runtime.releaseMemory();
        return;
      }
      const { batchId } = message;
      try {
        const { outputs, computeMs } = sessions.run(message);
        const copied = outputs.filter((output) => 'data' in output);
        post({ kind: 'ran', batchId, outputs, computeMs }, buffersOf(copied));
      } catch (error) {
        post({ kind: 'failed', batchId, message: oneLine(error) });
      }
    });
    const facts = {
      ...sessions.description,
      onnxRuntimeVersion: runtime.api.version,
      loadMs: performance.now() - startedAtMs,
      residentBytes: process.memoryUsage.rss(),
    };
    post({ kind: 'ready', facts });
  } catch (error) {
    post({ kind: 'load-failed', message: describeLoadFailure(modelPath, error) });
  }
}

if (parentPort !== null) await serve(parentPort, workerData as LoadInstruction);
