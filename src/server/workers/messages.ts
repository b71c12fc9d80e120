import type { ModelSignature } from '../../scheduler/domain/tensor.js';
import type { BatchVerdict } from '../onnx/batch-analysis.js';
import type { InputHints } from '../onnx/input-hints.js';
import type { JoinInstruction } from '../scalers/join.js';
import type { TensorLayout } from './frames.js';
import type { ModelFile } from './model-bytes.js';
import type { PlacedOutputs, PlacedTensor } from './placed-tensors.js';

/*
 * What router and worker say to each other, as frame headers. Both ends come from the same build, so a header is trusted
 * to be what its `kind` says. Control carries small frames only: a `run` never waits behind large tensors. Small ones are enclosed in the
 * frames of control that are sent anyway, and cost no message of their own.
 */

/** Where a worker process finds its connections: inherited socket pairs, after stdin, stdout and stderr. */
export const CONTROL_FD = 3;
export const DATA_FD = 4;
/** Behind them, where it is told so: the memory that it reads inputs from, and the one that it writes outputs to. */
export const INPUTS_FD = 5;
export const OUTPUTS_FD = 6;

/**
 * Part of a worker's environment: libuv's pool has one thread, the inference thread of the first instance (`instance-threads.ts`). Read when the pool
 * starts.
 */
export const ONE_POOL_THREAD = { UV_THREADPOOL_SIZE: '1' } as const;

/** What a worker process is to load, and how. */
export interface LoadInstruction {
  readonly modelPath: string;
  /** Intra-op thread counts to keep a session for, ascending. */
  readonly threadCounts: readonly number[];
  /** By instance, at least one: how its threads enter their CPU group. */
  readonly joins: readonly JoinInstruction[];
  /** What an earlier worker of this model was loaded from, and so must this one be; null for the first. */
  readonly expectedFiles: readonly ModelFile[] | null;
}

/** What a process has in common with its router. */
export interface SharedAreas {
  readonly inputBytes: number;
  readonly outputBytes: number;
}

/** What the worker knows about itself once its sessions stand. */
export interface WorkerFacts {
  /** Whether requests may share a batch, as far as the graph tells. */
  readonly batching: BatchVerdict;
  /** What its inputs may be, as far as the graph tells. */
  readonly hints: InputHints;
  /** What it was loaded from; the model's file first. */
  readonly files: readonly ModelFile[];
  readonly signature: ModelSignature;
  /** By tensor name: the model's own name of each open axis, '' where it has none, null where the size is fixed. */
  readonly symbolicDimensions: Readonly<Record<string, readonly (string | null)[]>>;
  readonly onnxRuntimeVersion: string;
  /** Making the sessions. */
  readonly loadMs: number;
  /** Whole process, when ready. */
  readonly residentBytes: number;
}

/** Router → worker, control connection. */
export type ControlToWorker =
  /** `shared`: null where all goes over the connections. */
  | ({ readonly kind: 'load'; readonly shared: SharedAreas | null } & LoadInstruction)
  | {
      readonly kind: 'run';
      readonly batchId: number;
      /** Which has no other batch. */
      readonly instance: number;
      readonly sequences: readonly number[];
      readonly threadCount: number;
      /** The members stay staged afterwards (synthetic load); otherwise they are forgotten. */
      readonly isKept: boolean;
      /** Members whose inputs come here, in the order of their tensors; those of the others are staged. */
      readonly enclosed: readonly EnclosedInputs[];
      /** Members whose inputs lie in shared memory. */
      readonly placed: readonly StagedPlaces[];
      /** Places of outputs that the router has read. */
      readonly freed: readonly number[];
    }
  /** Ends the run at the model's next operator; it answers `aborted`, or as it would have where it was too late. */
  | { readonly kind: 'abort'; readonly batchId: number }
  /** Gives back what memory runs have left unused. */
  | { readonly kind: 'release-memory' }
  | { readonly kind: 'unstage'; readonly sequence: number }
  /** Whether it is there: answered by `pong`. */
  | { readonly kind: 'ping' }
  /** The answer to `move`: one line where the kernel refused. */
  | { readonly kind: 'moved'; readonly problem: string | null };

/** Worker → router, control connection. */
export type ControlToRouter =
  /** Threads of the worker for an instance's CPU group: its own user may not move them. Nothing goes on before `moved`. */
  | { readonly kind: 'move'; readonly instance: number; readonly threadIds: readonly number[] }
  /** Every instance's inference thread is in its CPU group; sessions are about to be made. */
  | { readonly kind: 'joined'; readonly inferenceTids: readonly number[] }
  /** `threadIds`, by instance: its inference thread and those that ONNX Runtime made for it; empty where the platform does not tell. */
  | {
      readonly kind: 'ready';
      readonly facts: WorkerFacts;
      readonly threadIds: readonly (readonly number[])[];
      /** It can be told where inputs lie, and tells where outputs lie. */
      readonly isSharing: boolean;
    }
  /** One line: cause and remedy. The process exits after it. */
  | { readonly kind: 'load-failed'; readonly message: string }
  | { readonly kind: 'staged'; readonly sequence: number }
  /** The model is finished. The outputs of some slots (indices of `run.sequences`) come here or lie in shared memory, those of others come on the data connection. */
  | {
      readonly kind: 'done';
      readonly batchId: number;
      readonly computeMs: number;
      /** In the order of their tensors. */
      readonly enclosed: readonly EnclosedOutputs[];
      readonly placed: readonly PlacedOutputs[];
      readonly following: number;
    }
  | { readonly kind: 'failed'; readonly batchId: number; readonly message: string }
  | { readonly kind: 'aborted'; readonly batchId: number }
  | { readonly kind: 'pong' }
  /** One line for the operator. */
  | { readonly kind: 'notice'; readonly message: string };

/** Router → worker, data connection: one request's inputs. */
export interface StageHeader {
  readonly sequence: number;
  /** Empty for all. */
  readonly outputNames: readonly string[];
}

/** Worker → router, data connection: one batch member's outputs. */
export interface OutputHeader {
  readonly batchId: number;
  readonly slot: number;
}

/** Inputs of a request that are in shared memory until its batch has ended. */
export interface StagedPlaces extends StageHeader {
  readonly tensors: readonly PlacedTensor[];
}

/** The next so many tensors of the frame. */
export interface EnclosedInputs extends StageHeader {
  readonly tensorCount: number;
}

export interface EnclosedOutputs {
  readonly slot: number;
  readonly tensorCount: number;
}

/** What a request may have at most to be enclosed, in or out. */
export const MAX_ENCLOSED_BYTES = 8 * 1024;

/** As received: `encodeFrame` added the layouts, except to a frame without tensors. */
export type WithTensors<Header> = Header & { readonly tensors?: readonly TensorLayout[] };
