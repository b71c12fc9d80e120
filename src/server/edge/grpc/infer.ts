/*
 * ModelInfer and ModelStreamInfer: an encoded request becomes an `InferCall`, the reply a response with raw tensors
 * (always raw, as Triton does). The call is their client's departure: it is over when the client leaves, or at its gRPC deadline.
 *
 * A stream is not decoupled: each request gets one response, in the order of the requests, so that clients that send no
 * ids can match them. Requests run side by side and each by its own deadline, from its parameters: `grpc-timeout`, and what else its
 * headers say, bounds the stream as a whole and says nothing about one request. An error goes into `error_message` and the stream goes on.
 */
import { keptTensors } from '../../arena/lent-tensors.js';
import { reached } from '../../path-points.js';
import type { Arrivals } from '../arrivals.js';
import { classifierOf, type Classify } from '../../../protocol/classification.js';
import {
  headerBudgetsMs,
  refuseSequence,
  responseParameters,
  withHeaderParameters,
} from '../../../protocol/parameters.js';
import type { CallTrace, InferCall, InferenceService, InferReply } from '../../../protocol/service.js';
import { describeError, describeRefusal, errorTrailers, GRPC_CODE } from '../../../protocol/status.js';
import type { ErrorReply } from '../../../protocol/status.js';
import { checkInputs, checkOutputNames } from '../../../protocol/validate.js';
import { PICK_HEADER } from '../../../protocol/reports.js';
import { framed, plainStatus, replyToError, statusOf } from './answers.js';
import type { AnswerContext, Frame, UnaryHandler } from './answers.js';
import type { Call, StreamHandler } from './call.js';
import { ModelStreamInferResponse } from '../../../protocol/grpc/generated/open_inference.js';
import { decodeInferRequest } from './infer-decoder.js';
import { encodeInferResponse } from './infer-encoder.js';
import type { InferResponse } from './infer-encoder.js';
import { inferParameters } from '../../../protocol/grpc/parameters.js';
import { tracedCall } from './traced-call.js';
import { versionOf } from './versions.js';

/** Requests of one stream in progress; reading stops at this many, so that a stream holds bounded memory. */
const MAX_PENDING_PER_STREAM = 16;

export interface InferContext extends AnswerContext {
  readonly service: InferenceService;
  readonly arrivals: Arrivals;
  readonly maxTypedBytes: number;
  /** Aborted when the server begins to close: streams take no further requests. */
  readonly closing: AbortSignal;
}

interface Received {
  readonly call: Call;
  readonly frame: Frame;
  readonly firstByteAtMs: number;
  readonly trace: CallTrace | null;
  /** Of several on one call, which its headers are not about. */
  readonly isInStream?: boolean;
  /** Serves as the id of a request that has none; empty for none. */
  readonly requestId: string;
}

type Answer =
  | { readonly kind: 'ok'; readonly response: InferResponse }
  | { readonly kind: 'error'; readonly reply: ErrorReply; readonly id: string };

/** What a request says about its answer. */
interface ReplyOptions {
  readonly isFinalAsked: boolean;
  readonly classify: Classify | null;
}

/** Of a request: its client wants to be told which response is the last. Every one is here, as there is one each. */
const FINAL_ASKED = 'triton_enable_empty_final_response';
/** Of a response to such a request. */
const FINAL = 'triton_final_response';

export function modelInfer(context: InferContext): UnaryHandler {
  return (call, frame) => {
    const { firstByteAtMs } = call.head;
    // Before they are handed over, perhaps to another thread.
    const byteCount = frame.bytes.length;
    call.trace = traceOf(context, call, firstByteAtMs, frame);
    const answering = answerInfer(context, {
      call,
      trace: call.trace,
      frame,
      firstByteAtMs,
      requestId: call.header('x-request-id') ?? '',
    });
    // `answerInfer` goes as far as the service at once: from here on the queue counts the bytes.
    call.handOver(byteCount);
    void answering.then((answer) => {
      frame.place?.release();
      if (call.isAnswered) return;
      if (answer.kind === 'ok') {
        const parts = encodeInferResponse(answer.response, false);
        reached('encoded');
        call.reply(parts);
      } else call.fail(statusOf(answer.reply, context.intake));
    });
  };
}

export function modelStreamInfer(context: InferContext): (call: Call) => StreamHandler {
  return (call) => {
    let pendingCount = 0;
    let isClosing = false;
    let lastWritten = Promise.resolve();

    const respond = async (frame: Frame): Promise<void> => {
      const byteCount = frame.bytes.length;
      // When the first byte of a message within a stream came is not known.
      const firstByteAtMs = Math.min(frame.receivedAtMs, context.arrivals.arrivedAtMs(call.head.socket));
      const trace = traceOf(context, call, firstByteAtMs, frame);
      const answering = answerInfer(context, {
        ...{ call, trace, frame, firstByteAtMs },
        isInStream: true,
        requestId: '',
      });
      call.handOver(byteCount);
      const earlier = lastWritten;
      const answer = await answering;
      frame.place?.release();
      await earlier;
      trace?.answered(call.isAnswered ? null : answer.kind === 'ok' ? 0 : answer.reply.status.grpc);
      if (call.isAnswered) return;
      if (answer.kind === 'error' && answer.reply.edgeCause !== null)
        context.intake.count('grpc', answer.reply.edgeCause);
      // Called once the client's flow control has let it go: one that does not read is not read from either.
      call.send(streamResponse(answer), () => {
        pendingCount -= 1;
        if (!isClosing) call.release();
      });
    };
    const refuseFurther = (): void => {
      isClosing = true;
      call.hold();
      void lastWritten.then(() => call.fail(plainStatus(GRPC_CODE.UNAVAILABLE, 'the server is shutting down')));
    };
    context.closing.addEventListener('abort', refuseFurther);
    call.onceOver(() => context.closing.removeEventListener('abort', refuseFurther));
    return {
      onMessage(frame) {
        pendingCount += 1;
        if (pendingCount >= MAX_PENDING_PER_STREAM) call.hold();
        lastWritten = respond(frame);
      },
      onHalfClose() {
        void lastWritten.then(() => call.succeed());
      },
    };
  };
}

/** Never rejects. */
async function answerInfer(
  context: InferContext,
  { call, frame, firstByteAtMs, trace, isInStream = false, requestId }: Received,
): Promise<Answer> {
  const { peer, tokenName } = call.head;
  let id = requestId;
  try {
    const request = decodeInferRequest(frame.bytes, context.maxTypedBytes);
    reached('parsed');
    if (request.id !== '') id = request.id;
    const modelVersion = versionOf(request.modelVersion);
    const model = context.service.model(request.modelName, modelVersion);
    refuseSequence(request.parameters);
    checkInputs(model, request.inputs);
    const outputNames = request.outputs.map((output) => output.name);
    checkOutputNames(model, outputNames);
    const classify = classifierOf(model, request.outputs);
    const pick = isInStream ? undefined : call.header(PICK_HEADER);
    const inferCall: InferCall = {
      modelName: request.modelName,
      inputs: request.inputs,
      outputNames,
      parameters: withHeaderParameters(request.parameters, (name) => call.header(name)),
      statedBudgetsMs: isInStream ? [] : budgetsMs(call),
      arrival: {
        firstByteAtMs,
        receivedAtMs: frame.receivedAtMs,
        routerDelayMs: context.arrivals.routerDelayMs(firstByteAtMs),
        bodyBytes: frame.bytes.length,
        peer,
        ...(tokenName === null ? {} : { tokenName }),
      },
      ...(modelVersion === undefined ? {} : { modelVersion }),
      ...(id === '' ? {} : { id }),
      ...(pick === undefined ? {} : { pick }),
      ...(trace === null ? {} : { trace }),
    };
    const isFinalAsked = isInStream && request.parameters[FINAL_ASKED] === true;
    return answerOf(await context.service.infer(inferCall, call), id, context, { isFinalAsked, classify });
  } catch (error) {
    return { kind: 'error', reply: replyToError(error, context), id };
  }
}

/** Null where nobody traces. */
function traceOf(
  { service: { traces } }: InferContext,
  { head: { headers, peer } }: Call,
  firstByteAtMs: number,
  { receivedAtMs }: Frame,
): CallTrace | null {
  return traces?.begin(tracedCall(headers, peer, { firstByteAtMs, receivedAtMs })) ?? null;
}

function budgetsMs(call: Call): readonly number[] {
  const stated = headerBudgetsMs((name) => call.header(name));
  const { timeoutMs } = call.head;
  return timeoutMs === null ? stated : [...stated, timeoutMs];
}

function answerOf(reply: InferReply, id: string, context: InferContext, options: ReplyOptions): Answer {
  switch (reply.kind) {
    case 'ok':
      return { kind: 'ok', response: inferResponse(reply, id, options) };
    case 'refused':
      return { kind: 'error', reply: describeRefusal(reply.outcome, reply.explanation, context.compat), id };
    case 'error':
      return { kind: 'error', reply: describeError(reply.error, context.compat), id };
  }
}

function inferResponse(
  reply: Extract<InferReply, { kind: 'ok' }>,
  id: string,
  { isFinalAsked, classify }: ReplyOptions,
): InferResponse {
  const { modelName, modelVersion } = reply;
  // Not from where they are lent: what a stream that was reset had still to send is in its session, and nobody says when it has gone.
  const outputs = keptTensors(reply.outputs);
  const parameters = responseParameters(reply.outcome, reply.explanation);
  return {
    modelName,
    modelVersion,
    id,
    parameters: isFinalAsked ? { ...parameters, [FINAL]: true } : parameters,
    outputs: classify === null ? outputs : outputs.map(classify),
  };
}

/** An error names its request by id, and carries what the trailers of a unary call would. */
function streamResponse(answer: Answer): readonly Uint8Array[] {
  if (answer.kind === 'ok') return encodeInferResponse(answer.response, true);
  const message: ModelStreamInferResponse = {
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
  return [framed(ModelStreamInferResponse, message)];
}
