/*
 * How a handler answers: a result, or an error as gRPC status, one-line message and trailers. Everything a handler throws
 * becomes an answer here; nothing of an unexpected error reaches the client.
 */
import { Metadata, status } from '@grpc/grpc-js';
import type { handleUnaryCall, StatusObject } from '@grpc/grpc-js';
import type { Intake } from '../intake.js';
import { OipFailure } from '../service.js';
import { describeError, errorTrailers, GRPC_CODE } from '../status.js';
import type { Compat, ErrorReply, GrpcCode } from '../status.js';

/** Bytes of a message without tensors. One of names and flags has some hundreds at most. */
const MAX_PLAIN_MESSAGE_BYTES = 1 << 20;

/** A complete encoded message as it came, after decompression, and when that was. */
export interface Frame {
  readonly bytes: Buffer;
  readonly receivedAtMs: number;
}

interface Decoder<Request> {
  decode(bytes: Uint8Array): Request;
}

export interface GrpcLogger {
  /** An answer that should not have been necessary: what a client is only told as "internal error". */
  error(details: object, message: string): void;
}

/** What handlers of calls without tensors share. */
export interface AnswerContext {
  readonly compat: Compat;
  readonly intake: Intake;
  readonly logger?: GrpcLogger;
}

/** A unary method that is answered at once from what the service knows. */
export function unary<Request, Response>(
  context: AnswerContext,
  requestType: Decoder<Request>,
  answer: (request: Request) => Response,
): handleUnaryCall<Frame, Response> {
  return (call, callback) => {
    try {
      callback(null, answer(decodeMessage(requestType, call.request.bytes)));
    } catch (error) {
      callback(statusOf(replyToError(error, context), context.intake));
    }
  };
}

/**
 * A message without tensors.
 * @throws OipFailure `invalid` when `bytes` are not an encoded message of that type; `too_large`
 */
export function decodeMessage<Request>(requestType: Decoder<Request>, bytes: Buffer): Request {
  if (bytes.length > MAX_PLAIN_MESSAGE_BYTES) {
    throw new OipFailure(
      'too_large',
      `message is larger than ${MAX_PLAIN_MESSAGE_BYTES} bytes, the limit of this method`,
    );
  }
  try {
    return requestType.decode(bytes);
  } catch {
    throw new OipFailure('invalid', 'malformed message: not an encoded request of this method');
  }
}

/** The answer to whatever a handler threw. */
export function replyToError(error: unknown, context: AnswerContext): ErrorReply {
  if (error instanceof OipFailure) return describeError(error.error, context.compat);
  context.logger?.error({ err: error }, 'call failed');
  return describeError({ kind: 'internal', message: 'internal error' }, context.compat);
}

/** Status, message and trailers as grpc-js takes them. Counted where it is no outcome of a request. */
export function statusOf(reply: ErrorReply, intake: Intake): StatusObject {
  if (reply.edgeCause !== null) intake.count('grpc', reply.edgeCause);
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(errorTrailers(reply))) metadata.set(name, value);
  return {
    code: STATUS_OF_CODE.get(reply.status.grpc) ?? status.UNKNOWN,
    details: messageText(reply.message),
    metadata,
  };
}

const CODE_NAMES = Object.keys(GRPC_CODE) as (keyof typeof GRPC_CODE)[];

const STATUS_OF_CODE: ReadonlyMap<GrpcCode, status> = new Map(
  CODE_NAMES.map((name) => [GRPC_CODE[name], status[name]]),
);

/**
 * A lone surrogate, such as clipping can leave behind, cannot be percent-encoded: grpc-js would throw. (The length needs
 * no care: 300 characters are 2.7 KiB at most in a trailer, and clients on gRPC's C core take 8 KiB.)
 */
function messageText(message: string): string {
  return message.replace(/\p{Surrogate}/gu, '�');
}
