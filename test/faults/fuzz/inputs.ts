import fc from 'fast-check';
import { ModelInferRequest } from '../../../src/protocol/grpc/generated/open_inference.js';
import { Prng } from '../../../src/scheduler/random/prng.js';
import { encodeRequest, type RestForm } from '../ask-rest.js';
import { encode } from '../ask-grpc.js';
import { makeQuestion, type QuestionKind } from '../questions.js';
import type { ClientRequest } from '../client-request.js';
import {
  byteMutation,
  headerMutation,
  jsonMutation,
  mutateBytes,
  mutateJson,
  mutateWire,
  wireMutation,
  type ByteMutation,
  type HeaderMutation,
  type JsonMutation,
  type WireMutation,
} from './mutations.js';

/* Valid requests that have been changed: what the server is sent, and the recipe, which is what a failure prints. */

/** None of these models dies of its inputs: a lost worker is a finding. */
const KINDS: readonly QuestionKind[] = ['affine', 'affine_alone', 'slow', 'strings', 'any_length'];
const FORMS: readonly RestForm[] = ['json', 'binary', 'gzip'];
const GRPC_METHODS = [
  ...Array.from({ length: 6 }, () => 'inference.GRPCInferenceService/ModelInfer'),
  'inference.GRPCInferenceService/ModelStreamInfer',
  'inference.GRPCInferenceService/ModelMetadata',
  'inference.GRPCInferenceService/ModelReady',
  'inference.GRPCInferenceService/RepositoryModelLoad',
  'grpc.health.v1.Health/Check',
] as const;

const seedNumber = fc.nat({ max: 1_000_000 });

export type RestRecipe = {
  readonly n: number;
  readonly kind: QuestionKind;
  readonly form: RestForm;
  readonly json: readonly JsonMutation[];
  readonly headers: readonly HeaderMutation[];
  readonly body: readonly ByteMutation[];
  /** Of the whole request, its head included. */
  readonly bytes: readonly ByteMutation[];
};

const few = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T[]> => fc.array(arbitrary, { maxLength: 2 });

export const restRecipe: fc.Arbitrary<RestRecipe> = fc.record({
  n: seedNumber,
  kind: fc.constantFrom(...KINDS),
  form: fc.constantFrom(...FORMS),
  json: few(jsonMutation),
  headers: few(headerMutation),
  body: few(byteMutation),
  bytes: few(byteMutation),
});

/** Of a head and a body, as they go over the wire. The body's length is told as it is, if no header says otherwise. */
export function restBytes({ n, kind, form, json, headers, body: bodyMutations, bytes }: RestRecipe): Buffer {
  const request = encodeRequest(clientRequestOf(n, kind), form);
  let body: Buffer = request.body;
  const own: Record<string, string> = { ...request.headers };
  if (form !== 'gzip') {
    const headLength = Number(own['inference-header-content-length'] ?? body.length);
    const document: unknown = JSON.parse(body.toString('utf8', 0, headLength));
    const text = Buffer.from(
      json.reduce<string>((now, each) => mutateJson(parsed(now, document), each), JSON.stringify(document)),
    );
    body = Buffer.concat([text, body.subarray(headLength)]);
    if (form === 'binary') own['inference-header-content-length'] = String(text.length);
  }
  for (const mutation of bodyMutations) body = mutateBytes(body, mutation);
  const all = {
    host: 'fuzz',
    connection: 'close',
    'content-length': String(body.length),
    ...own,
    ...Object.fromEntries(headers),
  };
  const lines = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  let message: Buffer = Buffer.concat([Buffer.from(`POST ${request.path} HTTP/1.1\r\n${lines.join('')}\r\n`), body]);
  for (const mutation of bytes) message = mutateBytes(message, mutation);
  return message;
}

function parsed(text: string, otherwise: unknown): unknown {
  return text === '' ? otherwise : (JSON.parse(text) as unknown);
}

export type GrpcRecipe = {
  readonly n: number;
  readonly kind: QuestionKind;
  readonly isTyped: boolean;
  readonly method: (typeof GRPC_METHODS)[number];
  readonly wire: readonly WireMutation[];
  readonly headers: readonly HeaderMutation[];
  /** Of the message with its prefix: flag and length. */
  readonly bytes: readonly ByteMutation[];
};

export const grpcRecipe: fc.Arbitrary<GrpcRecipe> = fc.record({
  n: seedNumber,
  kind: fc.constantFrom(...KINDS),
  isTyped: fc.boolean(),
  method: fc.constantFrom(...GRPC_METHODS),
  wire: few(wireMutation),
  headers: few(headerMutation.filter(([name]) => !HTTP_1_ONLY.includes(name))),
  bytes: few(byteMutation),
});

/** HTTP/2 clients cannot send these; the floods do. */
const HTTP_1_ONLY: readonly string[] = ['connection', 'transfer-encoding', 'host', 'upgrade', 'te', 'expect'];

export function grpcBytes({ n, kind, isTyped, wire, bytes }: GrpcRecipe): Buffer {
  let message: Buffer = Buffer.from(ModelInferRequest.encode(encode(clientRequestOf(n, kind), isTyped)).finish());
  for (const mutation of wire) message = mutateWire(message, mutation);
  const prefix = Buffer.alloc(5);
  prefix.writeUInt32BE(message.length, 1);
  let framed: Buffer = Buffer.concat([prefix, message]);
  for (const mutation of bytes) framed = mutateBytes(framed, mutation);
  return framed;
}

function clientRequestOf(n: number, kind: QuestionKind): ClientRequest {
  return {
    question: makeQuestion(kind, n, new Prng(n)),
    id: String(n),
    sloMs: 2000,
    isBestEffort: false,
    clockOffsetMs: null,
    client: 'fuzz',
    leaveAfterMs: null,
  };
}
