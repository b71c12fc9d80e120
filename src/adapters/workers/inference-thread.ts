import { ModelSessions, type RunRequest, type RunResult } from '../onnx-runtime/model-sessions.js';
import type { DescribedModel } from '../onnx-runtime/signature.js';
import type { Runtime } from '../onnx-runtime/runtime.js';
import { joinGroup, poolThreadId, type JoinInstruction } from '../scalers/join.js';
import { ONE_POOL_THREAD, type LoadInstruction } from './messages.js';

/*
 * The thread that runs the model: creating a session and running it block the thread they are called on. It is the one thread
 * of this process's libuv pool, so what is asked of it is done in turn. It joins its CPU group before there is any session,
 * so that every thread ONNX Runtime makes is born inside the group; and nothing else of the worker may use the pool, which
 * serves Node's asynchronous file calls.
 *
 * Rejected: a `worker_threads` thread, which is a second JavaScript engine: 10 MB more, and 40 µs instead of 16 to hand over to and
 * back. What this costs: texts are put into ONNX Runtime's form on the main thread, outside the CPU group.
 */

export class InferenceThread {
  /** Kernel thread id; 0 where the platform does not tell. */
  readonly tid: number;
  readonly #runtime: Runtime;
  #sessions: ModelSessions | null = null;

  private constructor(runtime: Runtime, tid: number) {
    this.#runtime = runtime;
    this.tid = tid;
  }

  /** In its CPU group. @throws Error, one line, where the kernel refuses */
  static async start(runtime: Runtime, join: JoinInstruction): Promise<InferenceThread> {
    for (const [name, value] of Object.entries(ONE_POOL_THREAD)) {
      if (process.env[name] !== value)
        throw new Error(`a worker has one inference thread; start it with ${name}=${value}`);
    }
    return new InferenceThread(runtime, joinGroup(join, await poolThreadId()).tid);
  }

  /**
   * Makes the sessions.
   * @param onTrouble one line, for the operator
   * @throws OrtError, UnsupportedModelError
   */
  async load({ modelPath, threadCounts }: LoadInstruction, onTrouble: (line: string) => void): Promise<DescribedModel> {
    this.#sessions = await ModelSessions.load(this.#runtime, modelPath, threadCounts, onTrouble);
    return this.#sessions.description;
  }

  /** After what was asked before. @throws OrtError, also where the run was ended */
  async run(request: RunRequest): Promise<RunResult> {
    return this.#sessions!.run(request);
  }
}
