/*
 * Hands large JSON to one worker thread, started at first need. Waiting jobs are bounded by count; a job whose client
 * left is not begun. A job that breaks the thread (memory) fails alone, and the next one gets a new thread.
 */
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';
import { Worker } from 'node:worker_threads';
import { OipFailure } from '../service.js';
import type { DecodedInfer } from './infer-request.js';
import type { EncodedResponse, InferResponse } from './infer-response.js';
import type { JsonJob, JsonJobResult } from './json-worker.js';

/** 16 waiting bodies at the default limit of 16 MiB are 256 MiB, and about two seconds of work for the thread. */
const MAX_WAITING_JOBS = 16;

/** Parsed JSON takes up to ~25 × its text (an array of empty arrays); 16 MiB of text fit. */
const MAX_HEAP_MIB = 512;

const TOO_COMPLEX = 'JSON takes more memory than it may: send and ask for tensors as binary data';

export interface JsonOffload {
  /** Takes over the body. Rejects with `OipFailure`, or with what `tooMany` made when too many jobs wait. */
  decode(body: Uint8Array, headerBytes: number | null, signal: AbortSignal): Promise<DecodedInfer>;
  encode(response: InferResponse, signal: AbortSignal): Promise<EncodedResponse>;
  close(): Promise<void>;
}

interface WaitingJob {
  readonly job: JsonJob;
  readonly signal: AbortSignal;
  readonly resolve: (result: JsonJobResult) => void;
  readonly reject: (error: Error) => void;
}

/**
 * @param tooMany makes the error of a job that is one too many, from a message
 * @param maxHeapMib of the thread
 */
export function createJsonOffload(tooMany: (message: string) => Error, maxHeapMib = MAX_HEAP_MIB): JsonOffload {
  const waiting: WaitingJob[] = [];
  let running: WaitingJob | null = null;
  let worker: Worker | null = null;

  function submit(job: JsonJob, signal: AbortSignal): Promise<JsonJobResult> {
    if (waiting.length >= MAX_WAITING_JOBS)
      return Promise.reject(tooMany(`${waiting.length} large JSON bodies are waiting, which is the limit`));
    return new Promise((resolve, reject) => {
      waiting.push({ job, signal, resolve, reject });
      runNext();
    });
  }

  function runNext(): void {
    if (running !== null) return;
    const next = waiting.shift();
    if (next === undefined) return;
    if (next.signal.aborted) {
      next.reject(new Error('the client left'));
      runNext();
      return;
    }
    running = next;
    worker ??= startWorker();
    const message = ownCopies(next.job);
    worker.postMessage(message.job, message.buffers);
  }

  function startWorker(): Worker {
    const started = startJsonThread(maxHeapMib);
    let cause: Error = new Error('the JSON thread ended');
    started.unref();
    started.on('message', (result: JsonJobResult) => {
      const done = running;
      running = null;
      done?.resolve(result);
      runNext();
    });
    started.on('error', (error: unknown) => {
      if (error instanceof Error) cause = error;
    });
    started.on('exit', () => {
      if (worker === started) worker = null;
      const broken = running;
      running = null;
      broken?.reject(isOutOfMemory(cause) ? new OipFailure('too_large', TOO_COMPLEX) : cause);
      runNext();
    });
    return started;
  }

  return {
    async decode(body, headerBytes, signal) {
      const result = await submit({ kind: 'decode', body, headerBytes }, signal);
      if (result.kind === 'decoded') return result.decoded;
      throw failureOf(result);
    },
    async encode(response, signal) {
      const result = await submit({ kind: 'encode', response }, signal);
      if (result.kind === 'encoded') return result.encoded;
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

function startJsonThread(maxHeapMib: number): Worker {
  const options = { resourceLimits: { maxOldGenerationSizeMb: maxHeapMib } };
  if (!import.meta.url.endsWith('.ts')) return new Worker(new URL('./json-worker.js', import.meta.url), options);
  // From a checkout the file is TypeScript. `--import tsx` does not reach worker threads; registering it inside does.
  const loader = createRequire(import.meta.url).resolve('tsx/cjs/api');
  const file = fileURLToPath(new URL('./json-worker.ts', import.meta.url));
  const script = `require(${JSON.stringify(loader)}).register(); require(${JSON.stringify(file)});`;
  return new Worker(script, { ...options, eval: true });
}

/** Posting a view would copy all of the buffer behind it; moving one would take it from its other holders. */
function ownCopies(job: JsonJob): { job: JsonJob; buffers: ArrayBuffer[] } {
  switch (job.kind) {
    case 'decode': {
      // A received body has one holder, this job; it is copied only where it shares its buffer.
      const { body } = job;
      const isWhole = body.buffer instanceof ArrayBuffer && body.length === body.buffer.byteLength;
      const own = isWhole ? new Uint8Array(body.buffer) : new Uint8Array(body);
      return { job: { ...job, body: own }, buffers: [own.buffer] };
    }
    case 'encode': {
      const outputs = job.response.outputs.map((output) => {
        const data = new Uint8Array(output.tensor.data);
        return { tensor: { ...output.tensor, data }, isBinary: output.isBinary, buffer: data.buffer };
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
