/*
 * One inference call over HTTP: decompress → decode → check against the model → the service → encode → compress. The
 * client may leave at any point; nothing is sent then.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { OutgoingHttpHeaders } from 'node:http';
import { reached } from '../../path-points.js';
import { classifierOf, type Classify } from '../../../protocol/classification.js';
import { refuseSequence, responseParameters } from '../../../protocol/parameters.js';
import { OipFailure } from '../../../protocol/service.js';
import type { BodyPlace, Departure, InferCall, InferReply, ModelEntry } from '../../../protocol/service.js';
import { describeError, describeRefusal } from '../../../protocol/status.js';
import { checkInputs, checkOutputNames, checkStill } from '../../../protocol/validate.js';
import type { Coding } from '../inflate.js';
import { ClientGone, acceptedCoding, compress, decompress } from './body.js';
import { beginTrace, callBase, header } from './call-base.js';
import { onModelPaths, sendError, takeBody } from './context.js';
import type { ModelParams, ReceivedBody, RestContext } from './context.js';
import { decodeInferBody, decodeRawBody } from './infer-request.js';
import type { DecodedInfer, RequestedOutput } from './infer-request.js';
import { encodeInferResponse, writingCost } from './infer-response.js';
import type { EncodedResponse, InferResponse } from './infer-response.js';
import { outlineJson } from './json-outline.js';

/** Header and body of Triton's binary tensor data extension. */
const HEADER_LENGTH = 'inference-header-content-length';

/** JSON from here on is read on another thread, without a look at what it consists of. */
export const OFFLOAD_JSON_BYTES = 1 << 20;

/**
 * So is what costs more, in the units of `outlineJson`, and written what costs more in those of `writingCost`: about 1 ms of floats
 * each way, and 4 ms of what takes longest (what is refused at its end; subnormal floats take 7).
 */
export const OFFLOAD_JSON_COST = 20_000;

/** Below this a reply fits into one packet and compressing it saves nothing. */
const MIN_COMPRESSED_BYTES = 1024;
/**
 * Of text, for clients that only say what they can read: it becomes half as long. Numbers as they are in memory hardly do: 4 KB of floats
 * cost 2 ms of CPU and save 7 %, and `fetch`, aiohttp and requests name gzip with everything they send.
 */
const WORTH_COMPRESSING_BYTES = 8 * 1024;

/** One for all requests that name no output. */
const NONE_NAMED: readonly never[] = [];

type InferRoute = FastifyRequest<{ Params: ModelParams }>;

export function registerInfer(app: FastifyInstance, context: RestContext): void {
  const handle = (request: InferRoute, reply: FastifyReply): undefined => {
    new Exchange(context, request, reply).begin();
  };
  onModelPaths(app, 'POST', '/infer', handle, (request, reply) => {
    const requestId = header(request, 'x-request-id');
    if (requestId !== undefined) reply.header('x-request-id', requestId);
    context.service.model(request.params.model, request.params.version);
  });
}

/**
 * One call. It keeps what its answer is made with, and no more: an async function would keep all that it has a name for while the
 * request waits. Each of its steps ends in the next one or in `#fail`.
 */
class Exchange {
  readonly #context: RestContext;
  readonly #request: InferRoute;
  readonly #reply: FastifyReply;
  #id: string | undefined;
  #outputs: readonly RequestedOutput[] = NONE_NAMED;
  #isBinaryByDefault = false;
  /** Where its inputs lie until it is known what becomes of them; null where that is memory of their own. */
  #place: BodyPlace | null = null;
  #classify: Classify | null = null;

  constructor(context: RestContext, request: InferRoute, reply: FastifyReply) {
    this.#context = context;
    this.#request = request;
    this.#reply = reply;
  }

  begin(): void {
    try {
      const model = this.#modelNow();
      const received = takeBody(this.#request);
      if (received === undefined) throw new OipFailure('invalid', 'request body is empty');
      beginTrace(this.#context.service, this.#request, received);
      this.#place = this.#request.callInProgress.takePlace();
      const decoded = this.#decode(received, model);
      if (decoded instanceof Promise) {
        decoded
          .then((late) => this.#ask(received, model, late, this.#modelNow()))
          .catch((error: unknown) => {
            this.#fail(error);
          });
      } else this.#ask(received, model, decoded, model);
    } catch (error) {
      this.#fail(error);
    }
  }

  #modelNow(): ModelEntry {
    const { model: name, version } = this.#request.params;
    return this.#context.service.model(name, version);
  }

  #decode(received: ReceivedBody, model: ModelEntry): DecodedInfer | Promise<DecodedInfer> {
    const coding = header(this.#request, 'content-encoding');
    if (coding === undefined) return this.#decodeBody(received.bytes, model);
    const { maxJsonBytes, maxBinaryBytes } = this.#context.limits;
    const maxBytes = headerLength(this.#request) === null ? maxJsonBytes : maxBinaryBytes;
    return decompress(received.bytes, coding, maxBytes, received.receipt).then((body) => this.#decodeBody(body, model));
  }

  #decodeBody(body: Buffer, model: ModelEntry): DecodedInfer | Promise<DecodedInfer> {
    const headerBytes = headerLength(this.#request);
    const { maxJsonBytes } = this.#context.limits;
    if (headerBytes === 0) return decodeRawBody(model, body);
    const jsonBytes = headerBytes ?? body.length;
    if (jsonBytes > maxJsonBytes) {
      throw new OipFailure('too_large', `JSON header is larger than ${maxJsonBytes} bytes, which is the limit`);
    }
    const outline = jsonBytes < OFFLOAD_JSON_BYTES ? outlineJson(body.subarray(0, jsonBytes)) : null;
    if (outline !== null && outline.cost < OFFLOAD_JSON_COST) return decodeInferBody(body, headerBytes, outline);
    return this.#context.offload.decode(body, headerBytes, this.#request.callInProgress);
  }

  /**
   * Hands the request on; from here on the queue counts its bytes. Checked against the model that gets it: nothing comes between.
   * @param before what was served when the body had come; by now another may have taken its place
   */
  #ask(received: ReceivedBody, before: ModelEntry, decoded: DecodedInfer, model: ModelEntry): void {
    reached('parsed');
    const { callInProgress } = this.#request;
    refuseSequence(decoded.parameters);
    const outputNames = decoded.outputs.length === 0 ? NONE_NAMED : decoded.outputs.map((output) => output.name);
    checkStill(before, model, () => {
      checkInputs(model, decoded.inputs);
      checkOutputNames(model, outputNames);
      checkJsonOutputs(model, decoded);
    });
    this.#classify = classifierOf(model, decoded.outputs);
    if (callInProgress.aborted) throw new ClientGone();
    this.#id = decoded.id ?? header(this.#request, 'x-request-id');
    if (decoded.outputs.length > 0) this.#outputs = decoded.outputs;
    this.#isBinaryByDefault = decoded.isBinaryByDefault;
    const replying = this.#context.service.infer(this.#callOf(received, decoded, outputNames), callInProgress);
    callInProgress.releaseReceipt();
    replying.then(
      (result) => this.#answer(result),
      (error: unknown) => {
        this.#fail(error);
      },
    );
  }

  #callOf(received: ReceivedBody, { inputs, parameters }: DecodedInfer, outputNames: readonly string[]): InferCall {
    const request = this.#request;
    const { model: modelName, version } = request.params;
    return {
      ...callBase(request, received, parameters),
      ...{ modelName, inputs, outputNames },
      ...(version === undefined ? {} : { modelVersion: version }),
      ...(this.#id === undefined ? {} : { id: this.#id }),
    };
  }

  #answer(result: InferReply): void {
    const { compat, intake } = this.#context;
    this.#releasePlace();
    if (result.kind === 'ok') this.#request.callInProgress.holdOutputs(result.outputs);
    try {
      if (this.#request.callInProgress.aborted) throw new ClientGone();
      switch (result.kind) {
        case 'error':
          sendError(this.#reply, describeError(result.error, compat), intake);
          return;
        case 'refused':
          sendError(this.#reply, describeRefusal(result.outcome, result.explanation, compat), intake);
          return;
        case 'ok':
          if (result.outcome.service.variant !== undefined)
            this.#reply.header('sponge-variant', result.outcome.service.variant);
          sendResult(this.#context, this.#request, this.#reply, this.#responseOf(result)).catch((error: unknown) => {
            this.#fail(error);
          });
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  #responseOf(result: Extract<InferReply, { kind: 'ok' }>): InferResponse {
    return {
      modelName: result.modelName,
      modelVersion: result.modelVersion,
      parameters: responseParameters(result.outcome, result.explanation),
      outputs: result.outputs.map((tensor) => ({
        tensor: this.#classify?.(tensor) ?? tensor,
        isBinary: isBinaryOutput(this.#outputs, this.#isBinaryByDefault, tensor.name),
      })),
      ...(this.#id === undefined ? {} : { id: this.#id }),
    };
  }

  /** Nobody is told whose client has left. */
  #fail(error: unknown): void {
    this.#releasePlace();
    if (this.#request.callInProgress.aborted) this.#reply.hijack();
    else this.#reply.send(error);
  }

  #releasePlace(): void {
    this.#place?.release();
    this.#place = null;
  }
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
function checkJsonOutputs(model: ModelEntry, { outputs, isBinaryByDefault }: DecodedInfer): void {
  for (const spec of model.signature?.outputs ?? []) {
    const isBinary = isBinaryOutput(outputs, isBinaryByDefault, spec.name);
    if ((spec.datatype !== 'FP16' && spec.datatype !== 'BF16') || isBinary) continue;
    if (outputs.length > 0 && outputs.every((output) => output.name !== spec.name)) continue;
    throw new OipFailure(
      'invalid',
      `output '${spec.name}' is ${spec.datatype}, which JSON cannot carry: ask for binary data`,
    );
  }
}

function isBinaryOutput(outputs: readonly RequestedOutput[], isBinaryByDefault: boolean, name: string): boolean {
  return outputs.find((output) => output.name === name)?.isBinary ?? isBinaryByDefault;
}

async function sendResult(
  context: RestContext,
  request: InferRoute,
  reply: FastifyReply,
  response: InferResponse,
): Promise<void> {
  const { callInProgress } = request;
  const { json, tails } = await encode(context, response, callInProgress);
  reached('encoded');
  const byteCount = tails.reduce((sum, tail) => sum + tail.length, json.length);
  const coding = codingOf(request, json.length, byteCount);
  const compressed = coding === null ? null : await compress(Buffer.concat([json, ...tails], byteCount), coding);
  if (callInProgress.aborted) throw new ClientGone();

  // A client that stops reading would keep its answer in memory, and its call in progress, for ever.
  reply.raw.setTimeout(context.limits.bodyTimeoutMs);
  reply.header('content-type', tails.length === 0 ? 'application/json' : 'application/octet-stream');
  if (tails.length > 0) reply.header(HEADER_LENGTH, json.length);
  if (compressed !== null) {
    const isCrossOrigin = reply.hasHeader('access-control-allow-origin');
    const varied = isCrossOrigin ? 'origin, accept-encoding' : 'accept-encoding';
    reply.header('content-encoding', coding).header('vary', varied).send(compressed);
  } else if (tails.length === 0) reply.send(json);
  else sendParts(reply, [json, ...tails], byteCount, context.isDraining());
}

/** What to compress a reply with; null where it is not asked for, or does not pay. */
function codingOf(request: InferRoute, jsonByteCount: number, byteCount: number): Coding | null {
  const accepted = byteCount < MIN_COMPRESSED_BYTES ? null : acceptedCoding(header(request, 'accept-encoding'));
  if (accepted === null) return null;
  const pays = jsonByteCount >= WORTH_COMPRESSING_BYTES && 2 * jsonByteCount >= byteCount;
  return accepted.isAskedFor || pays ? accepted.coding : null;
}

/** Writes a body that lies in several places without making one of it first. */
function sendParts(reply: FastifyReply, parts: readonly Uint8Array[], byteCount: number, isLast: boolean): void {
  reply.header('content-length', byteCount);
  if (isLast) reply.header('connection', 'close');
  const { raw } = reply.hijack();
  raw.writeHead(200, reply.getHeaders() as OutgoingHttpHeaders);
  raw.cork();
  for (const part of parts) raw.write(part);
  raw.end();
}

function encode(
  context: RestContext,
  response: InferResponse,
  departure: Departure,
): EncodedResponse | Promise<EncodedResponse> {
  return writingCost(response) < OFFLOAD_JSON_COST
    ? encodeInferResponse(response)
    : context.offload.encode(response, departure);
}
