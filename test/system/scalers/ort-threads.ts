import { readFileSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { Worker, isMainThread, parentPort, workerData } from 'node:worker_threads';
import type { JoinInstruction } from '../../../src/server/scalers/join.js';
import { joinGroup } from '../../../src/server/scalers/join.js';

/*
 * A process with the threads of a real worker: `<join> <package.json to resolve from> <model> <threads>`. Its inner
 * thread joins and makes an ONNX Runtime session; then it prints every thread of the process.
 */

export interface ThreadReport {
  readonly tid: number;
  readonly name: string;
  readonly cgroup: string;
}

interface Task {
  readonly join: JoinInstruction;
  readonly resolveFrom: string;
  readonly modelPath: string;
  readonly threadCount: number;
}

interface OnnxRuntime {
  readonly InferenceSession: {
    create(path: string, options: { intraOpNumThreads: number; interOpNumThreads: number }): Promise<unknown>;
  };
}

async function makeSession({ join, resolveFrom, modelPath, threadCount }: Task): Promise<void> {
  joinGroup(join);
  const { InferenceSession } = createRequire(resolveFrom)('onnxruntime-node') as OnnxRuntime;
  const session = await InferenceSession.create(modelPath, { intraOpNumThreads: threadCount, interOpNumThreads: 1 });
  parentPort!.on('message', () => session); // keeps the session, and so its threads
  parentPort!.postMessage('ready');
}

function listThreads(): ThreadReport[] {
  return readdirSync('/proc/self/task').map((tid) => ({
    tid: Number(tid),
    name: readFileSync(`/proc/self/task/${tid}/comm`, 'utf8').trim(),
    cgroup: readFileSync(`/proc/self/task/${tid}/cgroup`, 'utf8'),
  }));
}

if (isMainThread) {
  const [join, resolveFrom, modelPath, threads] = process.argv.slice(2);
  const task = { join: JSON.parse(join!) as JoinInstruction, resolveFrom, modelPath, threadCount: Number(threads) };
  new Worker(new URL(import.meta.url), { workerData: task }).on('message', () => {
    console.log(JSON.stringify(listThreads()));
    process.exit();
  });
} else {
  await makeSession(workerData as Task);
}
