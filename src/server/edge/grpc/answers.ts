/*
 * How a handler answers: a result, or an error as gRPC status, one-line message and trailers. Everything a handler throws
 * becomes an answer here; nothing of an unexpected error reaches the client.
 */
import type { BinaryWriter } from '@bufbuild/protobuf/wire';
import type { Intake } from '../intake.js';
import { framedMessage } from '../../../protocol/grpc/framing.js';
import { OipFailure } from '../../../protocol/service.js';
import type { BodyPlace } from '../../../protocol/service.js';
import { describeError, errorTrailers } from '../../../protocol/status.js';
import type { Compat, ErrorReply, GrpcCode } from '../../../protocol/status.js';
import type { Call } from './call.js';

/** Bytes of a message without tensors. One of names and flags has some hundreds at most. */
const MAX_PLAIN_MESSAGE_BYTES = 1 << 20;

/** A complete encoded message as it came, after decompression, and when that was. */
export interface Frame {
  readonly bytes: Buffer;
  readonly receivedAtMs: number;
  /** What the bytes lie in, to be released by whoever is given the frame; null where that is memory of their own. Only of requests with inputs. */
  readonly place: BodyPlace | null;
}

/** What ends a call that has no result. */
export interface CallStatus {
  readonly code: GrpcCode;
  /** One line. */
  readonly message: string;
  /** Beside the two: names and values, ASCII. */
  readonly trailers: Readonly<Record<string, string>>;
}

interface Decoder<Request> {
  decode(bytes: Uint8Array): Request;
}

interface Encoder<Response> {
  encode(message: Response): BinaryWriter;
}

/** Of a method, as generated code has it. */
export interface MessageTypes<Request, Response> {
  readonly requestType: Decoder<Request>;
  readonly responseType: Encoder<Response>;
}

/** Takes a call whose one message is complete, and answers it. */
export type UnaryHandler = (call: Call, frame: Frame) => void;

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

/**
 * A unary method that is answered from what the service knows, at once or when that is done which was asked for.
 * @param maxMessageBytes of a request
 */
export function unary<Request, Response>(
  context: AnswerContext,
  { requestType, responseType }: MessageTypes<Request, Response>,
  answer: (request: Request) => Response | Promise<Response>,
  maxMessageBytes = MAX_PLAIN_MESSAGE_BYTES,
): UnaryHandler {
  return (call, frame) => {
    const reply = (response: Response): void => call.reply([framed(responseType, response)]);
    const fail = (error: unknown): void => call.fail(statusOf(replyToError(error, context), context.intake));
    try {
      const response = answer(decodeMessage(requestType, frame.bytes, maxMessageBytes));
      if (response instanceof Promise) response.then(reply).catch(fail);
      else reply(response);
    } catch (error) {
      fail(error);
    }
  };
}

/** A message and its prefix, as they are sent. */
export function framed<Response>(responseType: Encoder<Response>, response: Response): Buffer {
  return framedMessage(responseType.encode(response).finish());
}

/**
 * A message without tensors.
 * @throws OipFailure `invalid` when `bytes` are not an encoded message of that type; `too_large`
 */
export function decodeMessage<Request>(
  requestType: Decoder<Request>,
  bytes: Buffer,
  maxBytes = MAX_PLAIN_MESSAGE_BYTES,
): Request {
  if (bytes.length > maxBytes) {
    throw new OipFailure('too_large', `message is larger than ${maxBytes} bytes, the limit of this method`);
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

/** Counted where it is no outcome of a request. */
export function statusOf(reply: ErrorReply, intake: Intake): CallStatus {
  if (reply.edgeCause !== null) intake.count('grpc', reply.edgeCause);
  return { code: reply.status.grpc, message: reply.message, trailers: errorTrailers(reply) };
}

/** Of what no reason and no error kind stands for. */
export function plainStatus(code: GrpcCode, message: string): CallStatus {
  return { code, message, trailers: {} };
}

/** As headers of HTTP/2. */
export function trailersOf({ code, message, trailers }: CallStatus): Record<string, string> {
  return { 'grpc-status': String(code), 'grpc-message': encodedMessage(message), ...trailers };
}

/**
 * Percent-encoded. A lone surrogate, such as clipping can leave behind, cannot be. (The length needs no care: 300 characters are
 * 2.7 KiB at most in a trailer, and clients on gRPC's C core take 8 KiB.)
 */
function encodedMessage(message: string): string {
  return encodeURI(message.replace(/\p{Surrogate}/gu, '�'));
}
