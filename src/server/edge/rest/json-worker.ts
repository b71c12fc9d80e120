/*
 * The thread that decodes and writes large JSON, so that the router's thread does not stall for it (10 MB of JSON take
 * 15 ms where they are floats, and hundreds where they are short strings). One job at a time; `json-offload.ts` is the other end.
 */
import { parentPort } from 'node:worker_threads';
import type { Transferable } from 'node:worker_threads';
import { OipFailure } from '../../../protocol/service.js';
import type { OipError } from '../../../protocol/service.js';
import { readTextCall } from '../../../protocol/text/read-call.js';
import type { TextAnswer, TextCall, TextRoute } from '../../../protocol/text/text-call.js';
import { writeTextAnswer } from '../../../protocol/text/write-answer.js';
import { decodeInferBody, parseJson } from './infer-request.js';
import type { DecodedInfer } from './infer-request.js';
import { encodeInferResponse } from './infer-response.js';
import type { EncodedResponse, InferResponse } from './infer-response.js';
import { loadParametersIn } from './load-body.js';
import type { LoadParameter } from './load-body.js';
import { outlineJson } from './json-outline.js';

export type JsonJob =
  | { readonly kind: 'decode'; readonly body: Uint8Array; readonly headerBytes: number | null }
  | { readonly kind: 'decode-load'; readonly body: Uint8Array }
  | { readonly kind: 'encode'; readonly response: InferResponse }
  | { readonly kind: 'decode-text'; readonly body: Uint8Array; readonly route: TextRoute }
  | { readonly kind: 'encode-text'; readonly answer: TextAnswer };

export type JsonJobResult =
  | { readonly kind: 'decoded'; readonly decoded: DecodedInfer }
  | { readonly kind: 'load-decoded'; readonly parameters: readonly LoadParameter[] }
  | { readonly kind: 'encoded'; readonly encoded: EncodedResponse }
  | { readonly kind: 'text-decoded'; readonly call: TextCall }
  | { readonly kind: 'text-encoded'; readonly json: Uint8Array }
  | { readonly kind: 'refused'; readonly error: OipError };

parentPort?.on('message', (job: JsonJob) => {
  const result = run(job);
  parentPort?.postMessage(result, buffersOf(result));
});
// All modules are loaded: jobs, whose bodies are moved here, are only sent to a thread that is there to take them.
parentPort?.postMessage('up');

function run(job: JsonJob): JsonJobResult {
  try {
    switch (job.kind) {
      case 'decode': {
        const { body, headerBytes } = job;
        const outline = outlineJson(body.subarray(0, headerBytes ?? body.length));
        return { kind: 'decoded', decoded: decodeInferBody(body, headerBytes, outline) };
      }
      case 'decode-load':
        return { kind: 'load-decoded', parameters: loadParametersIn(job.body) };
      case 'encode':
        return { kind: 'encoded', encoded: encodeInferResponse(job.response) };
      case 'decode-text':
        return { kind: 'text-decoded', call: readTextCall(job.route, parseJson(job.body)) };
      case 'encode-text':
        return { kind: 'text-encoded', json: writeTextAnswer(job.answer) };
    }
  } catch (error) {
    // Anything else ends this thread, and the other end starts a new one.
    if (!(error instanceof OipFailure)) throw error;
    return { kind: 'refused', error: error.error };
  }
}

/** Results are moved, not copied; several tensors may be views of one buffer. */
function buffersOf(result: JsonJobResult): Transferable[] {
  const buffers = new Set(bytesOf(result).map(ownBuffer));
  return [...buffers].filter((buffer) => buffer !== null);
}

function bytesOf(result: JsonJobResult): readonly Uint8Array[] {
  switch (result.kind) {
    case 'decoded':
      return result.decoded.inputs.map((tensor) => tensor.data);
    case 'load-decoded':
      return result.parameters.flatMap(([, value]) => (value instanceof Uint8Array ? [value] : []));
    case 'encoded':
      return [result.encoded.json, ...result.encoded.tails];
    case 'text-decoded':
      return result.call.inputs.map((tensor) => tensor.data);
    case 'text-encoded':
      return [result.json];
    case 'refused':
      return [];
  }
}

/** Node hands out small Buffers from a shared pool, which cannot be moved. */
function ownBuffer(bytes: Uint8Array): ArrayBuffer | null {
  const isPooled = bytes instanceof Buffer && bytes.length < Buffer.poolSize;
  return isPooled || !(bytes.buffer instanceof ArrayBuffer) ? null : bytes.buffer;
}
