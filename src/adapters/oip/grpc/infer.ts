/*
 * ModelInfer and ModelStreamInfer: an encoded request becomes an `InferCall`, the reply a response with raw tensors
 * (always raw, as Triton does). The client leaving aborts the call's signal; so does its gRPC deadline, with a reason of
 * name `TimeoutError` in place of `AbortError`.
 *
 * A stream is not decoupled: each request gets one response, in the order of the requests, so that clients that send no
 * ids can match them. Requests run side by side and each by its own deadline, from its parameters: `grpc-timeout` bounds
 * the stream as a whole and says nothing about one request. An error goes into `error_message` and the stream goes on.
 */
import { status } from '@grpc/grpc-js';
import type { handleBidiStreamingCall, handleUnaryCall, Metadata } from '@grpc/grpc-js';
import type { Tensor } from '../../../domain/tensor.js';
import type { Arrivals } from '../arrivals.js';
import { responseParameters, withHeaderParameters } from '../parameters.js';
import type { InferCall, InferenceService, InferReply } from '../service.js';
import { describeError, describeRefusal, errorTrailers } from '../status.js';
import type { ErrorReply } from '../status.js';
import { checkInputs, checkOutputNames } from '../validate.js';
import { replyToError, statusOf } from './answers.js';
import type { AnswerContext, Frame } from './answers.js';
import type { Calls } from './calls.js';
import type { ModelInferResponse, ModelStreamInferResponse } from './generated/open_inference.js';
import { decodeInferRequest } from './infer-decoder.js';
import { inferParameters } from './parameters.js';
import { versionOf } from './versions.js';

/** Requests of one stream in progress; reading stops at this many, so that a stream holds bounded memory. */
const MAX_PENDING_PER_STREAM = 16;

export interface InferContext extends AnswerContext {
  readonly service: InferenceService;
  readonly calls: Calls;
  readonly arrivals: Arrivals;
  readonly maxTypedBytes: number;
  /** Aborted when the server begins to close: streams take no further requests. */
  readonly closing: AbortSignal;
}

interface Received {
  readonly frame: Frame;
  readonly metadata: Metadata;
  readonly firstByteAtMs: number;
  readonly peer: string;
  readonly tokenName: string | null;
  readonly statedBudgetsMs: readonly number[];
  /** Serves as the id of a request that has none; empty for none. */
  readonly requestId: string;
}

type Answer =
  | { readonly kind: 'ok'; readonly response: ModelInferResponse }
  | { readonly kind: 'error'; readonly reply: ErrorReply; readonly id: string };

export function modelInfer(context: InferContext): handleUnaryCall<Frame, ModelInferResponse> {
  return (call, callback) => {
    const record = context.calls.recordOf(call.metadata);
    const departure = new AbortController();
    const onCancelled = (): void => departure.abort(departureReason(context.calls.endCause(record)));
    call.on('cancelled', onCancelled);
    const { metadata, request: frame } = call;
    const received: Received = {
      frame,
      metadata,
      firstByteAtMs: record.firstByteAtMs,
      peer: record.peer,
      tokenName: record.tokenName,
      statedBudgetsMs: record.timeoutMs === null ? [] : [record.timeoutMs],
      requestId: firstValue(metadata, 'x-request-id') ?? '',
    };
    const answering = answerInfer(context, received, departure.signal);
    // `answerInfer` goes as far as the service at once: from here on the queue counts the bytes.
    record.receipt.handOver(frame.bytes.length);
    void answering.then((answer) => {
      if (departure.signal.aborted) return;
      // grpc-js reports the end of an answered call as cancelled too.
      call.off('cancelled', onCancelled);
      if (answer.kind === 'ok') callback(null, answer.response);
      else callback(statusOf(answer.reply, context.intake));
    });
  };
}

export function modelStreamInfer(context: InferContext): handleBidiStreamingCall<Frame, ModelStreamInferResponse> {
  return (stream) => {
    const record = context.calls.recordOf(stream.metadata);
    const departure = new AbortController();
    let pendingCount = 0;
    let lastWritten = Promise.resolve();

    const respond = async (frame: Frame): Promise<void> => {
      const received: Received = {
        frame,
        metadata: stream.metadata,
        // When the first byte of a message within a stream came is not known.
        firstByteAtMs: Math.min(frame.receivedAtMs, context.arrivals.arrivedAtMs(record.socket)),
        peer: record.peer,
        tokenName: record.tokenName,
        statedBudgetsMs: [],
        requestId: '',
      };
      const answering = answerInfer(context, received, departure.signal);
      record.receipt.handOver(frame.bytes.length);
      const earlier = lastWritten;
      const answer = await answering;
      await earlier;
      if (departure.signal.aborted) return;
      // Called once the client's flow control has let it go: one that does not read is not read from either.
      if (answer.kind === 'error' && answer.reply.edgeCause !== null)
        context.intake.count('grpc', answer.reply.edgeCause);
      stream.write(streamResponse(answer), () => {
        pendingCount -= 1;
        if (stream.isPaused()) stream.resume();
      });
    };
    const finish = (): void => {
      void lastWritten.then(() => stream.end());
    };
    const refuseFurther = (): void => {
      stream.pause();
      stream.removeAllListeners('data');
      void lastWritten.then(() =>
        stream.emit('error', { code: status.UNAVAILABLE, details: 'the server is shutting down' }),
      );
    };

    stream.on('data', (frame: Frame) => {
      pendingCount += 1;
      if (pendingCount >= MAX_PENDING_PER_STREAM) stream.pause();
      lastWritten = respond(frame);
    });
    stream.on('end', finish);
    stream.on('cancelled', () => {
      context.closing.removeEventListener('abort', refuseFurther);
      departure.abort(departureReason(context.calls.endCause(record)));
    });
    context.closing.addEventListener('abort', refuseFurther);
  };
}

/** Never rejects. */
async function answerInfer(
  context: InferContext,
  { frame, metadata, firstByteAtMs, peer, tokenName, statedBudgetsMs, requestId }: Received,
  signal: AbortSignal,
): Promise<Answer> {
  let id = requestId;
  try {
    const request = decodeInferRequest(frame.bytes, context.maxTypedBytes);
    if (request.id !== '') id = request.id;
    const modelVersion = versionOf(request.modelVersion);
    const model = context.service.model(request.modelName, modelVersion);
    checkInputs(model, request.inputs);
    checkOutputNames(model, request.outputNames);
    const call: InferCall = {
      modelName: request.modelName,
      ...(modelVersion === undefined ? {} : { modelVersion }),
      ...(id === '' ? {} : { id }),
      inputs: request.inputs,
      outputNames: request.outputNames,
      parameters: withHeaderParameters(request.parameters, (name) => firstValue(metadata, name)),
      statedBudgetsMs,
      arrival: {
        firstByteAtMs,
        receivedAtMs: frame.receivedAtMs,
        routerDelayMs: context.arrivals.routerDelayMs(firstByteAtMs),
        bodyBytes: frame.bytes.length,
        peer,
        ...(tokenName === null ? {} : { tokenName }),
      },
    };
    return answerOf(await context.service.infer(call, signal), id, context);
  } catch (error) {
    return { kind: 'error', reply: replyToError(error, context), id };
  }
}

function answerOf(reply: InferReply, id: string, context: InferContext): Answer {
  switch (reply.kind) {
    case 'ok':
      return { kind: 'ok', response: inferResponse(reply, id) };
    case 'refused':
      return { kind: 'error', reply: describeRefusal(reply.outcome, reply.explanation, context.compat), id };
    case 'error':
      return { kind: 'error', reply: describeError(reply.error, context.compat), id };
  }
}

function inferResponse(reply: Extract<InferReply, { kind: 'ok' }>, id: string): ModelInferResponse {
  return {
    modelName: reply.modelName,
    modelVersion: reply.modelVersion,
    id,
    parameters: inferParameters(responseParameters(reply.outcome, reply.explanation)),
    outputs: reply.outputs.map(({ name, datatype, shape }) => ({
      name,
      datatype,
      shape: [...shape],
      parameters: {},
      contents: undefined,
    })),
    rawOutputContents: reply.outputs.map(dataBuffer),
  };
}

/** The tensor's bytes as the Buffer that generated code asks for, without a copy. */
function dataBuffer({ data }: Tensor): Buffer {
  return Buffer.from(data.buffer, data.byteOffset, data.byteLength);
}

/** An error names its request by id, and carries what the trailers of a unary call would. */
function streamResponse(answer: Answer): ModelStreamInferResponse {
  if (answer.kind === 'ok') return { errorMessage: '', inferResponse: answer.response };
  return {
    errorMessage: answer.reply.message,
    inferResponse: {
      modelName: '',
      modelVersion: '',
      id: answer.id,
      parameters: inferParameters(errorTrailers(answer.reply)),
      outputs: [],
      rawOutputContents: [],
    },
  };
}

function firstValue(metadata: Metadata, name: string): string | undefined {
  return metadata.get(name)[0]?.toString();
}

function departureReason(cause: 'deadline' | 'client'): DOMException {
  return cause === 'deadline'
    ? new DOMException('the gRPC deadline passed', 'TimeoutError')
    : new DOMException('the client left', 'AbortError');
}
