/*
 * One inference call over HTTP: decompress → decode → check against the model → the service → encode → compress. The
 * client may leave at any point; its signal is then aborted and nothing is sent.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { OutgoingHttpHeaders } from 'node:http';
import { parseRequestTimeoutMs, responseParameters, withHeaderParameters } from '../parameters.js';
import { OipFailure } from '../service.js';
import type { InferCall, InferReply, ModelEntry } from '../service.js';
import { describeError, describeRefusal } from '../status.js';
import { checkInputs, checkOutputNames } from '../validate.js';
import { acceptedCoding, compress, decompress } from './body.js';
import { onModelPaths, sendError, takeBytes } from './context.js';
import type { ModelParams, ReceivedBody, RestContext } from './context.js';
import { tokenNameOf } from './doorway.js';
import { decodeInferBody, decodeRawBody } from './infer-request.js';
import type { DecodedInfer } from './infer-request.js';
import { encodeInferResponse, writingCost } from './infer-response.js';
import type { EncodedResponse, InferResponse } from './infer-response.js';
import { outlineJson } from './json-outline.js';

/** Header and body of Triton's binary tensor data extension. */
const HEADER_LENGTH = 'inference-header-content-length';

/** JSON from here on is read on another thread, without a look at what it consists of. */
const OFFLOAD_JSON_BYTES = 1 << 20;

/**
 * So is what costs more, in the units of `outlineJson`, and written what costs more in those of `writingCost`: about 1 ms of floats
 * each way, and 4 ms of what takes longest (what is refused at its end; subnormal floats take 7).
 */
const OFFLOAD_JSON_COST = 20_000;

/** Below this a reply fits into one packet and compressing it saves nothing. */
const MIN_COMPRESSED_BYTES = 1024;

type InferRoute = FastifyRequest<{ Params: ModelParams }>;

export function registerInfer(app: FastifyInstance, context: RestContext): void {
  const handle = async (request: InferRoute, reply: FastifyReply): Promise<FastifyReply> => {
    const departure = new AbortController();
    reply.raw.once('close', () => {
      if (!reply.raw.writableFinished) departure.abort();
    });
    try {
      return await infer(context, request, reply, departure.signal);
    } catch (error) {
      if (!departure.signal.aborted) throw error;
      return reply.hijack();
    }
  };
  onModelPaths(app, 'POST', '/infer', handle, (request, reply) => {
    const requestId = header(request, 'x-request-id');
    if (requestId !== undefined) reply.header('x-request-id', requestId);
    context.service.model(request.params.model, request.params.version);
  });
}

async function infer(
  context: RestContext,
  request: InferRoute,
  reply: FastifyReply,
  signal: AbortSignal,
): Promise<FastifyReply> {
  const { model: modelName, version } = request.params;
  const model = context.service.model(modelName, version);
  const received = request.body as ReceivedBody | undefined;
  if (received === undefined) throw new OipFailure('invalid', 'request body is empty');
  const bodyBytes = received.bytes?.length ?? 0;
  const decoded = await decode(context, request, received, model, signal);
  checkInputs(model, decoded.inputs);
  const outputNames = decoded.outputs.map((output) => output.name);
  checkOutputNames(model, outputNames);
  checkJsonOutputs(model, decoded);

  const tokenName = tokenNameOf(request);
  const id = decoded.id ?? header(request, 'x-request-id');
  const call: InferCall = {
    modelName,
    ...(version === undefined ? {} : { modelVersion: version }),
    ...(id === undefined ? {} : { id }),
    inputs: decoded.inputs,
    outputNames,
    parameters: withHeaderParameters(decoded.parameters, (name) => header(request, name)),
    statedBudgetsMs: statedBudgetsMs(request),
    arrival: {
      firstByteAtMs: received.firstByteAtMs,
      receivedAtMs: received.receivedAtMs,
      routerDelayMs: received.routerDelayMs,
      bodyBytes,
      peer: request.raw.socket.remoteAddress ?? '',
      ...(tokenName === undefined ? {} : { tokenName }),
    },
  };
  signal.throwIfAborted();
  const inferring = context.service.infer(call, signal);
  // From here on the queue counts the bytes.
  received.receipt.release();
  const result = await inferring;
  signal.throwIfAborted();
  switch (result.kind) {
    case 'error':
      return sendError(reply, describeError(result.error, context.compat), context.intake);
    case 'refused':
      return sendError(reply, describeRefusal(result.outcome, result.explanation, context.compat), context.intake);
    case 'ok':
      return sendResult(context, request, reply, toResponse(result, id, decoded), signal);
  }
}

async function decode(
  context: RestContext,
  request: InferRoute,
  received: ReceivedBody,
  model: ModelEntry,
  signal: AbortSignal,
): Promise<DecodedInfer> {
  const headerBytes = headerLength(request);
  const { maxJsonBytes, maxBinaryBytes } = context.limits;
  const coding = header(request, 'content-encoding');
  const bytes = takeBytes(received);
  const body =
    coding === undefined
      ? bytes
      : await decompress(bytes, coding, headerBytes === null ? maxJsonBytes : maxBinaryBytes, received.receipt);
  if (headerBytes === 0) return decodeRawBody(model, body);
  const jsonBytes = headerBytes ?? body.length;
  if (jsonBytes > maxJsonBytes) {
    throw new OipFailure('too_large', `JSON header is larger than ${maxJsonBytes} bytes, which is the limit`);
  }
  if (jsonBytes >= OFFLOAD_JSON_BYTES) return context.offload.decode(body, headerBytes, signal);
  const outline = outlineJson(body.subarray(0, jsonBytes));
  return outline.cost < OFFLOAD_JSON_COST
    ? decodeInferBody(body, headerBytes, outline)
    : context.offload.decode(body, headerBytes, signal);
}

/** Null without the header: the body is all JSON. */
export function headerLength(request: FastifyRequest): number | null {
  const text = header(request, HEADER_LENGTH);
  if (text === undefined) return null;
  if (!/^\d{1,10}$/.test(text)) {
    throw new OipFailure('invalid', 'header Inference-Header-Content-Length: expected an integer ≥ 0');
  }
  return Number(text);
}

/** Refuses before it runs what could not be sent after. */
function checkJsonOutputs(model: ModelEntry, decoded: DecodedInfer): void {
  for (const spec of model.signature?.outputs ?? []) {
    if ((spec.datatype !== 'FP16' && spec.datatype !== 'BF16') || isBinaryOutput(decoded, spec.name)) continue;
    if (decoded.outputs.length > 0 && decoded.outputs.every((output) => output.name !== spec.name)) continue;
    throw new OipFailure(
      'invalid',
      `output '${spec.name}' is ${spec.datatype}, which JSON cannot carry: ask for binary data`,
    );
  }
}

function isBinaryOutput(decoded: DecodedInfer, name: string): boolean {
  return decoded.outputs.find((output) => output.name === name)?.isBinary ?? decoded.isBinaryByDefault;
}

function statedBudgetsMs(request: InferRoute): readonly number[] {
  const timeout = header(request, 'request-timeout-ms');
  return timeout === undefined ? [] : [parseRequestTimeoutMs(timeout)];
}

function toResponse(
  result: Extract<InferReply, { kind: 'ok' }>,
  id: string | undefined,
  decoded: DecodedInfer,
): InferResponse {
  return {
    modelName: result.modelName,
    modelVersion: result.modelVersion,
    ...(id === undefined ? {} : { id }),
    parameters: responseParameters(result.outcome, result.explanation),
    outputs: result.outputs.map((tensor) => ({ tensor, isBinary: isBinaryOutput(decoded, tensor.name) })),
  };
}

async function sendResult(
  context: RestContext,
  request: InferRoute,
  reply: FastifyReply,
  response: InferResponse,
  signal: AbortSignal,
): Promise<FastifyReply> {
  const { json, tails } = await encode(context, response, signal);
  const byteCount = tails.reduce((sum, tail) => sum + tail.length, json.length);
  const coding = byteCount < MIN_COMPRESSED_BYTES ? null : acceptedCoding(header(request, 'accept-encoding'));
  const compressed = coding === null ? null : await compress(Buffer.concat([json, ...tails], byteCount), coding);
  signal.throwIfAborted();

  // A client that stops reading would keep its answer in memory, and its call in progress, for ever.
  reply.raw.setTimeout(context.limits.bodyTimeoutMs);
  reply.header('content-type', tails.length === 0 ? 'application/json' : 'application/octet-stream');
  if (tails.length > 0) reply.header(HEADER_LENGTH, json.length);
  if (compressed !== null) {
    const isCrossOrigin = reply.hasHeader('access-control-allow-origin');
    const varied = isCrossOrigin ? 'origin, accept-encoding' : 'accept-encoding';
    return reply.header('content-encoding', coding).header('vary', varied).send(compressed);
  }
  return tails.length === 0 ? reply.send(json) : sendParts(reply, [json, ...tails], byteCount, context.isDraining());
}

/** Writes a body that lies in several places without making one of it first. */
function sendParts(
  reply: FastifyReply,
  parts: readonly Uint8Array[],
  byteCount: number,
  isLast: boolean,
): FastifyReply {
  reply.header('content-length', byteCount);
  if (isLast) reply.header('connection', 'close');
  const { raw } = reply.hijack();
  raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders);
  raw.cork();
  for (const part of parts) raw.write(part);
  raw.end();
  return reply;
}

function encode(
  context: RestContext,
  response: InferResponse,
  signal: AbortSignal,
): EncodedResponse | Promise<EncodedResponse> {
  return writingCost(response) < OFFLOAD_JSON_COST
    ? encodeInferResponse(response)
    : context.offload.encode(response, signal);
}

function header(request: FastifyRequest, name: string): string | undefined {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(', ') : value;
}
