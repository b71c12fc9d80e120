import { spawn, type ChildProcess } from 'node:child_process';
import { closeSync } from 'node:fs';
import { Socket } from 'node:net';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { InputArena } from '../arena/input-arena.js';
import { createToRead } from '../arena/shared-memory.js';
import { reached } from '../path-points.js';
import { confined, type Confinement } from './confinement.js';
import { existing, FramedConnection } from './framed-connection.js';
import { FrameError, readTensors } from './frames.js';
import type {
  ControlToRouter,
  ControlToWorker,
  LoadInstruction,
  OutputHeader,
  StageHeader,
  WithTensors,
} from './messages.js';
import { CONTROL_FD, DATA_FD, ONE_POOL_THREAD } from './messages.js';
import { oneLine } from './load-failure.js';
import { explained, isRefusal } from './memory-limit.js';
import { isList, OutputReader } from './output-reader.js';

/*
 * The router's end of one worker process, from spawn to death. The connections are socket pairs that the child
 * inherits: nobody else can reach them, and the kernel closes them when either end dies, so that nothing is left to
 * clean up. Rejected: socket paths in a private directory, which a router that is killed would leave behind.
 */

/**
 * All of the router's environment that a worker gets. Options for Node or ONNX Runtime (a debugger port, thread counts)
 * are meant for the router or would contradict the load instruction.
 */
const INHERITED_VARIABLES = ['PATH', 'LD_LIBRARY_PATH', 'LANG', 'LC_ALL', 'TZ', 'TMPDIR'] as const;

/**
 * ONNX Runtime reports its use to Microsoft since its POSIX telemetry (onnxruntime pull request 27379), and leaves a log
 * in the temporary folder for every process and a device id and a database in the home folder. This is its full opt-out.
 */
const OWN_VARIABLES = { ORT_DISABLE_TELEMETRY: '1', ...ONE_POOL_THREAD } as const;

/**
 * Of Node, all known to 20, 22 and 24. `--expose-gc`: a worker collects garbage when it has loaded its model, and when it is
 * idle. The young generation stays at 1 MiB: what a worker's JavaScript makes dies young, and left to grow it cost 7 MB
 * after 5,000 runs (two starts each), without runs that were seen to be faster.
 */
const NODE_FLAGS = ['--expose-gc', '--max-semi-space-size=1'] as const;

/** What a process sends itself by what it computes. SIGKILL is an operator's, or the kernel's for memory: it says nothing of inputs. */
const CRASH_SIGNALS: ReadonlySet<NodeJS.Signals> = new Set(['SIGFPE', 'SIGSEGV', 'SIGABRT', 'SIGILL', 'SIGBUS']);

export interface WorkerCallbacks {
  /** `load-failed` becomes the reason of `onGone`. */
  onMessage(message: Exclude<ControlToRouter, { kind: 'load-failed' }>): void;
  onOutput(batchId: number, slot: number, tensors: readonly Tensor[]): void;
  /** One line of the process's stderr. */
  onLog(line: string): void;
  /** Once, when the process has ended and all it sent was delivered. @param isCrash of a signal that an input can cause */
  onGone(reason: string, isCrash: boolean): void;
}

export class WorkerLink {
  readonly #child: ChildProcess;
  readonly #control: FramedConnection;
  readonly #data: FramedConnection;
  /** Null where all comes over the connections. */
  readonly #outputs: OutputReader | null;
  /** The process has mapped what it shares with this one: it can be told where inputs lie. */
  #isSharing = false;
  #endReason: string | null = null;

  /**
   * Starts a process and tells it what to load; callbacks come later, never from inside this call.
   * @param inputs that the process is to read; null where all goes over the connections
   * @throws Error when there are not even descriptors for the connections
   */
  constructor(
    entryUrl: URL,
    instruction: LoadInstruction,
    confinement: Confinement,
    inputs: InputArena | null,
    callbacks: WorkerCallbacks,
  ) {
    // `detached` makes it the leader of its own session: the terminal's Ctrl-C goes to the router alone, which drains.
    const [program, ...args] = confined([process.execPath, ...NODE_FLAGS, fileURLToPath(entryUrl)], confinement);
    const outputs =
      inputs === null
        ? null
        : whereShared(
            () => createToRead(inputs.byteCount),
            (line) => callbacks.onLog(line),
          );
    const isShared = inputs !== null && outputs !== null;
    try {
      this.#child = spawn(program, args, {
        detached: true,
        env: { ...Object.fromEntries(INHERITED_VARIABLES.map((name) => [name, process.env[name]])), ...OWN_VARIABLES },
        stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe', ...(isShared ? [inputs.fd, outputs.fd] : [])],
      });
    } finally {
      // The process has its own by now.
      if (outputs !== null) closeSync(outputs.fd);
    }
    this.#outputs = isShared ? new OutputReader(outputs.bytes) : null;
    const { memoryBytes } = confinement;
    let spawnError: Error | null = null;
    let refusal = '';
    this.#child.on('error', (error) => (spawnError = error));
    const onClosed = (problem: string | null): void => {
      // Without a problem it closed because the process is ending, which 'close' below will tell.
      if (problem !== null) this.kill(`the connection to the worker broke: ${problem}`);
    };
    this.#control = new FramedConnection(
      existing(socketAt(this.#child, CONTROL_FD)),
      ({ header, payload }) => {
        const message = header as WithTensors<ControlToRouter>;
        if (message.kind === 'load-failed') this.#endReason = explained(message.message, memoryBytes);
        else {
          if (message.kind === 'ready') this.#isSharing = isShared && message.isSharing;
          if (message.kind === 'done') {
            reached('returned');
            deliverEnclosed(message, payload, callbacks);
            this.#deliverPlaced(message, callbacks);
          }
          callbacks.onMessage(message);
        }
      },
      onClosed,
    );
    this.#data = new FramedConnection(
      existing(socketAt(this.#child, DATA_FD)),
      ({ header, payload }) => {
        reached('returned');
        const { batchId, slot, tensors = [] } = header as WithTensors<OutputHeader>;
        callbacks.onOutput(batchId, slot, readTensors(tensors, payload));
      },
      onClosed,
    );
    if (this.#child.stderr !== null) {
      createInterface({ input: this.#child.stderr }).on('line', (line) => {
        // ONNX Runtime colours its warnings.
        const plain = stripVTControlCharacters(line);
        if (isRefusal(plain)) refusal = `${oneLine(plain)}; `;
        callbacks.onLog(plain);
      });
    }
    // 'close' rather than 'exit': by then everything the process wrote has been read.
    this.#child.on('close', (code, signal) => {
      const ending = signal === null ? `exited with code ${String(code)}` : `was killed by ${signal}`;
      const isCrash = this.#endReason === null && signal !== null && CRASH_SIGNALS.has(signal);
      const reason = explained(`${refusal}the worker process ${spawnError?.message ?? ending}`, memoryBytes);
      callbacks.onGone(this.#endReason ?? reason, isCrash);
    });
    const shared = isShared ? { inputBytes: inputs.byteCount, outputBytes: outputs.bytes.byteLength } : null;
    this.sendControl({ kind: 'load', shared, ...instruction });
  }

  get isSharing(): boolean {
    return this.#isSharing;
  }

  /** 0 when the process could not be started. */
  get pid(): number {
    return this.#child.pid ?? 0;
  }

  sendControl(message: Exclude<ControlToWorker, { kind: 'run' }>): void {
    this.#control.send(message);
  }

  /** @param enclosed tensors */
  run(batch: Omit<RunMessage, 'kind' | 'freed'>, enclosed: readonly Tensor[]): void {
    reached('planned');
    const freed = this.#outputs?.takeFreed() ?? [];
    this.#control.send({ kind: 'run', ...batch, freed } satisfies RunMessage, enclosed);
  }

  sendInputs(header: StageHeader, inputs: readonly Tensor[]): void {
    this.#data.send(header, inputs);
  }

  /** Ends the process at once, even inside the model. @param reason what `onGone` will say, unless it died by itself */
  kill(reason: string): void {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#endReason ??= reason;
    this.#child.kill('SIGKILL');
  }

  #deliverPlaced({ batchId, placed }: Extract<ControlToRouter, { kind: 'done' }>, callbacks: WorkerCallbacks): void {
    if (!isList(placed)) throw new FrameError('the worker says of no outputs where they lie');
    for (const outputs of placed) {
      if (this.#outputs === null) throw new FrameError('the worker shares no memory for outputs');
      callbacks.onOutput(batchId, outputs.slot, this.#outputs.read(outputs));
    }
  }
}

type RunMessage = Extract<ControlToWorker, { kind: 'run' }>;

/** Null, and one line for the operator, where memory cannot be shared. */
export function whereShared<Memory>(share: () => Memory, onLog: (line: string) => void): Memory | null {
  try {
    return share();
  } catch (error) {
    onLog(`tensors are sent to workers, and not shared with them, which takes more CPU: ${oneLine(error)}`);
    return null;
  }
}

/** As if they had come on the data connection, before `done`. */
function deliverEnclosed(
  { batchId, enclosed, tensors: layouts = [] }: WithTensors<Extract<ControlToRouter, { kind: 'done' }>>,
  payload: Uint8Array<ArrayBuffer>,
  callbacks: WorkerCallbacks,
): void {
  const tensors = readTensors(layouts, payload);
  for (const { slot, tensorCount } of enclosed) callbacks.onOutput(batchId, slot, tensors.splice(0, tensorCount));
}

function socketAt(child: ChildProcess, fd: typeof CONTROL_FD | typeof DATA_FD): Socket {
  // Node leaves `stdio` undefined when the process could not be started for want of descriptors.
  const socket = (child.stdio as ChildProcess['stdio'] | undefined)?.[fd];
  if (!(socket instanceof Socket))
    throw new Error('the worker process could not be started; raise the limit of open files');
  return socket;
}
