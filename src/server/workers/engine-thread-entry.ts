import { parentPort, workerData } from 'node:worker_threads';
import { runAt, type PlainArgument } from '../onnx-runtime/c-api.js';
import { callingThreadId } from '../scalers/join.js';
import type { EngineAnswer, EngineStarted, EngineTask } from './engine-thread.js';

/* The inside of an `EngineThread`. */

const { runAddress } = workerData as EngineTask;
const run = runAt(runAddress);

function answerTo(values: readonly PlainArgument[]): EngineAnswer {
  try {
    return { status: run(values) };
  } catch (error) {
    return { problem: String(error) };
  }
}

parentPort!.on('message', (values: readonly PlainArgument[]) => parentPort!.postMessage(answerTo(values)));
parentPort!.postMessage({ tid: callingThreadId() } satisfies EngineStarted);
