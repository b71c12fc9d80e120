import { ModelSessions, type RunRequest, type RunResult } from '../onnx-runtime/model-sessions.js';
import type { DescribedModel } from '../onnx-runtime/signature.js';
import type { Runtime } from '../onnx-runtime/runtime.js';
import { inferenceThreads } from '../scalers/inference-threads.js';
import { filesToJoin, markThread, poolThreadId, type JoinInstruction } from '../scalers/join.js';
import { EngineThread } from './engine-thread.js';
import { ONE_POOL_THREAD, type LoadInstruction } from './messages.js';

/*
 * The threads that run the model, one for each instance: running a session blocks the thread that it is called on. That of the first
 * instance is the one thread of this process's libuv pool, so what is asked of it is done in turn; nothing else of the worker may
 * use the pool, which serves Node's asynchronous file calls. It joins its CPU group before there is any session, and makes the
 * sessions of all, so that a model is loaded on the first instance's CPU while the others rest.
 *
 * libuv does not let anybody choose a thread of its pool, and a CPU group is a thread's; so each further instance has an
 * `EngineThread`. The threads that ONNX Runtime made for its sessions are born in the first one's group, and moved to its
 * own before anything runs.
 *
 * Rejected: an engine thread for the first one too: 8 MB more, and a longer way to it and back. What either costs: texts are put
 * into ONNX Runtime's form on the main thread, outside the CPU groups.
 */

/** Puts threads of this process into an instance's CPU group. Rejects with one line where the kernel refuses. */
export type MoveThreads = (instance: number, threadIds: readonly number[]) => Promise<void>;

export class InstanceThreads {
  /** By instance: kernel id of the thread that runs its batches; 0 where the platform does not tell. */
  readonly tids: readonly number[];
  readonly #runtime: Runtime;
  readonly #joins: readonly JoinInstruction[];
  readonly #move: MoveThreads;
  /** Of all instances but the first. */
  readonly #engines: readonly EngineThread[];
  /** By instance, once its sessions stand. */
  readonly #sessionTids: (readonly number[])[] = [];
  #sessions: ModelSessions | null = null;

  private constructor(
    runtime: Runtime,
    joins: readonly JoinInstruction[],
    move: MoveThreads,
    poolTid: number,
    engines: readonly EngineThread[],
  ) {
    this.#runtime = runtime;
    this.#joins = joins;
    this.#move = move;
    this.#engines = engines;
    this.tids = [poolTid, ...engines.map(({ tid }) => tid)];
  }

  /**
   * Each in its CPU group.
   * @param move asks the router, which may write to the groups
   * @param onLost an instance has lost its thread, which cannot be made again in this process
   * @throws Error, one line, where the kernel refuses
   */
  static async start(
    runtime: Runtime,
    joins: readonly JoinInstruction[],
    move: MoveThreads,
    onLost: (message: string) => void,
  ): Promise<InstanceThreads> {
    for (const [name, value] of Object.entries(ONE_POOL_THREAD)) {
      if (process.env[name] !== value)
        throw new Error(`a worker's pool has one inference thread; start it with ${name}=${value}`);
    }
    const poolTid = await poolThreadId();
    const others = joins.slice(1);
    const engines = await Promise.all(others.map(() => EngineThread.start(runtime.api.runAddress, onLost)));
    const threads = new InstanceThreads(runtime, joins, move, poolTid, engines);
    for (const [instance, tid] of threads.tids.entries()) await threads.#join(instance, [tid]);
    return threads;
  }

  /** By instance: `tids`, and the threads that ONNX Runtime made for it. Empty where the platform does not tell. */
  get threadIds(): readonly (readonly number[])[] {
    if (process.platform !== 'linux') return this.tids.map(() => []);
    return this.tids.map((tid, instance) => [tid, ...(this.#sessionTids[instance] ?? [])]);
  }

  /**
   * Makes the sessions.
   * @param onTrouble one line, for the operator
   * @throws OrtError, UnsupportedModelError
   */
  async load({ modelPath, threadCounts }: LoadInstruction, onTrouble: (line: string) => void): Promise<DescribedModel> {
    this.#sessions = await ModelSessions.load(this.#runtime, modelPath, {
      threadCounts,
      instanceCount: this.#joins.length,
      onInstance: (instance) => this.#adopt(instance),
      onTrouble,
    });
    return this.#sessions.description;
  }

  /** After what was asked of the instance before. @throws OrtError, also where the run was ended */
  async run(instance: number, request: RunRequest): Promise<RunResult> {
    return this.#sessions!.run(request, instance, this.#engines[instance - 1]?.call);
  }

  /** The threads that its sessions have brought; those of an attempt to load that failed are gone. */
  async #adopt(instance: number): Promise<void> {
    const known = new Set([...this.tids, ...this.#sessionTids.slice(0, instance).flat()]);
    const brought = inferenceThreads(process.pid).filter((tid) => !known.has(tid));
    this.#sessionTids[instance] = brought;
    if (instance > 0) await this.#join(instance, brought);
  }

  async #join(instance: number, threadIds: readonly number[]): Promise<void> {
    const instruction = this.#joins[instance]!;
    for (const tid of threadIds) markThread(instruction, tid);
    if (filesToJoin(instruction).length > 0) await this.#move(instance, threadIds);
  }
}
