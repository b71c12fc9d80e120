/*
 * Hands large JSON to one worker thread, started at first need. Waiting jobs are bounded by count; a job whose client
 * left is not begun. A job that breaks the thread (memory) fails alone, and the next one gets a new thread. Where no
 * thread can be had (no descriptors, no memory) the jobs wait until one can, for a while.
 */
import type { Worker } from 'node:worker_threads';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import { OipFailure } from '../../../protocol/service.js';
import type { Departure } from '../../../protocol/service.js';
import type { TextAnswer, TextCall, TextRoute } from '../../../protocol/text/text-call.js';
import { startModuleThread } from '../../../threads/module-thread.js';
import type { DecodedInfer } from './infer-request.js';
import type { EncodedResponse, InferResponse } from './infer-response.js';
import type { LoadParameter } from './load-body.js';
import type { JsonJob, JsonJobResult } from './json-worker.js';

/** About two seconds of work for the thread. */
const MAX_WAITING_BYTES = 256 * 1024 ** 2;
/** Small ones that cost much are some 10 ms each. */
const MAX_WAITING_JOBS = 256;

/** Parsed JSON takes up to ~25 × its text (an array of empty arrays); 16 MiB of text fit. */
const MAX_HEAP_BYTES = 512 * 1024 ** 2;

/** Between two tries to start the thread, and how many in a row may fail before those that wait are told. */
const RESTART_PAUSE_MS = 100;
const MAX_FAILED_STARTS = 20;

const TOO_COMPLEX = 'JSON takes more memory than it may: send and ask for tensors as binary data';

export interface JsonOffload {
  /** Takes over the body. Rejects with `OipFailure`, or with what `tooMany` made when too many jobs wait. */
  decode(body: Uint8Array, headerBytes: number | null, departure: Departure): Promise<DecodedInfer>;
  /** The same for the body of a call to load a model. */
  decodeLoad(body: Uint8Array, departure: Departure): Promise<readonly LoadParameter[]>;
  encode(response: InferResponse, departure: Departure): Promise<EncodedResponse>;
  /** The same of calls of `/v1`, and their answers. */
  decodeText(route: TextRoute, body: Uint8Array, departure: Departure): Promise<TextCall>;
  encodeText(answer: TextAnswer, departure: Departure): Promise<Uint8Array>;
  close(): Promise<void>;
}

interface WaitingJob {
  readonly job: JsonJob;
  readonly byteCount: number;
  readonly departure: Departure;
  readonly resolve: (result: JsonJobResult) => void;
  readonly reject: (error: Error) => void;
}

/**
 * @param tooMany makes the error of a job that is one too many, from a message
 * @param maxHeapBytes of the thread
 * @param startThread a thread that may fail to start; the real one, but in tests
 */
export function createJsonOffload(
  tooMany: (message: string) => Error,
  maxHeapBytes = MAX_HEAP_BYTES,
  startThread: (maxHeapBytes: number) => Worker = startJsonThread,
): JsonOffload {
  const waiting: WaitingJob[] = [];
  let waitingBytes = 0;
  let running: WaitingJob | null = null;
  let worker: Worker | null = null;
  let isWorkerUp = false;
  let failedStarts = 0;

  function submit(job: JsonJob, departure: Departure): Promise<JsonJobResult> {
    const byteCount = bytesOf(job);
    if (waiting.length >= MAX_WAITING_JOBS || (waiting.length > 0 && waitingBytes + byteCount > MAX_WAITING_BYTES))
      return Promise.reject(tooMany(`${waiting.length} large JSON bodies are waiting, which is the limit`));
    return new Promise((resolve, reject) => {
      waiting.push({ job, byteCount, departure, resolve, reject });
      waitingBytes += byteCount;
      runNext();
    });
  }

  function runNext(): void {
    if (running !== null || waiting.length === 0) return;
    worker ??= startWorker();
    if (!isWorkerUp) return;
    const next = waiting.shift()!;
    waitingBytes -= next.byteCount;
    if (next.departure.aborted) {
      next.reject(new Error('the client left'));
      runNext();
      return;
    }
    running = next;
    const message = ownCopies(next.job);
    worker.postMessage(message.job, message.buffers);
  }

  function startWorker(): Worker {
    const started = startThread(maxHeapBytes);
    let cause: Error = new Error('the JSON thread ended');
    started.unref();
    started.once('message', () => {
      isWorkerUp = true;
      failedStarts = 0;
      started.on('message', (result: JsonJobResult) => {
        const done = running;
        running = null;
        done?.resolve(result);
        runNext();
      });
      runNext();
    });
    started.on('error', (error: unknown) => {
      if (error instanceof Error) cause = error;
    });
    started.on('exit', () => {
      const wasUp = isWorkerUp;
      isWorkerUp = false;
      const broken = running;
      running = null;
      broken?.reject(isOutOfMemory(cause) ? new OipFailure('too_large', TOO_COMPLEX) : cause);
      if (!wasUp) {
        startLater(cause);
        return;
      }
      worker = null;
      runNext();
    });
    return started;
  }

  /** Until then the thread that failed keeps its place, so that nobody starts another. */
  function startLater(cause: Error): void {
    failedStarts += 1;
    if (failedStarts === MAX_FAILED_STARTS) {
      failedStarts = 0;
      waitingBytes = 0;
      const error = tooMany(`large JSON cannot be read now: no thread can be started (${cause.message})`);
      for (const { reject } of waiting.splice(0)) reject(error);
    }
    setTimeout(() => {
      worker = null;
      runNext();
    }, RESTART_PAUSE_MS).unref();
  }

  return {
    async decode(body, headerBytes, departure) {
      const result = await submit({ kind: 'decode', body, headerBytes }, departure);
      if (result.kind === 'decoded') return result.decoded;
      throw failureOf(result);
    },
    async decodeLoad(body, departure) {
      const result = await submit({ kind: 'decode-load', body }, departure);
      if (result.kind === 'load-decoded') return result.parameters;
      throw failureOf(result);
    },
    async encode(response, departure) {
      const result = await submit({ kind: 'encode', response }, departure);
      if (result.kind === 'encoded') return result.encoded;
      throw failureOf(result);
    },
    async decodeText(route, body, departure) {
      const result = await submit({ kind: 'decode-text', body, route }, departure);
      if (result.kind === 'text-decoded') return result.call;
      throw failureOf(result);
    },
    async encodeText(answer, departure) {
      const result = await submit({ kind: 'encode-text', answer }, departure);
      if (result.kind === 'text-encoded') return result.json;
      throw failureOf(result);
    },
    async close() {
      await worker?.terminate();
    },
  };
}

function isOutOfMemory(error: Error): boolean {
  return 'code' in error && error.code === 'ERR_WORKER_OUT_OF_MEMORY';
}

function failureOf(result: JsonJobResult): Error {
  if (result.kind === 'refused') return new OipFailure(result.error.kind, result.error.message);
  return new Error(`the JSON thread answered ${result.kind} to another kind of job`);
}

export function startJsonThread(maxHeapBytes: number): Worker {
  const options = { resourceLimits: { maxOldGenerationSizeMb: maxHeapBytes / 1024 ** 2 } };
  return startModuleThread(import.meta.url, './json-worker.js', options);
}

function bytesOf(job: JsonJob): number {
  if (job.kind === 'encode-text') return tensorIn(job.answer).data.length;
  if (job.kind !== 'encode') return job.body.length;
  return job.response.outputs.reduce((sum, { tensor }) => sum + tensor.data.length, 0);
}

/** Posting a view would copy all of the buffer behind it; moving one would take it from its other holders. */
function ownCopies(job: JsonJob): { job: JsonJob; buffers: ArrayBuffer[] } {
  switch (job.kind) {
    case 'decode':
    case 'decode-text':
    case 'decode-load': {
      // A received body has one holder, this job; it is copied only where it shares its buffer.
      const { body } = job;
      const isWhole = body.buffer instanceof ArrayBuffer && body.length === body.buffer.byteLength;
      const own = isWhole ? new Uint8Array(body.buffer) : new Uint8Array(body);
      return { job: { ...job, body: own }, buffers: [own.buffer] };
    }
    case 'encode-text': {
      const { name, datatype, shape, data: held } = tensorIn(job.answer);
      const data = new Uint8Array(held);
      const own = { name, datatype, shape, data };
      const answer =
        job.answer.kind === 'embeddings' ? { ...job.answer, vectors: own } : { ...job.answer, scores: own };
      return { job: { kind: 'encode-text', answer }, buffers: [data.buffer] };
    }
    case 'encode': {
      const outputs = job.response.outputs.map((output) => {
        const { name, datatype, shape } = output.tensor;
        const data = new Uint8Array(output.tensor.data);
        return { tensor: { name, datatype, shape, data }, isBinary: output.isBinary, buffer: data.buffer };
      });
      return {
        job: {
          kind: 'encode',
          response: { ...job.response, outputs: outputs.map(({ tensor, isBinary }) => ({ tensor, isBinary })) },
        },
        buffers: outputs.map((output) => output.buffer),
      };
    }
  }
}

function tensorIn(answer: TextAnswer): Tensor {
  return answer.kind === 'embeddings' ? answer.vectors : answer.scores;
}
