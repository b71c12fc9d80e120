/*
 * One call, on one stream of HTTP/2: messages in, messages out, and one status that ends it (grpc/doc/PROTOCOL-HTTP2.md). Its
 * deadline ends it here at that instant; its client leaving ends it too. Either is a departure: nobody is there to be answered.
 *
 * An answer is in memory until its client has read it: one that is not read within the time that a request may take is thrown away,
 * and the stream with it.
 */
import { constants } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';
import { GRPC_CODE } from '../../../protocol/status.js';
import type { CallTrace, Departure } from '../../../protocol/service.js';
import { reached } from '../../path-points.js';
import { plainStatus, trailersOf } from './answers.js';
import type { CallStatus, Frame } from './answers.js';
import { MessageReceipt } from './message-receipt.js';
import type { MessageReceiptOptions, MessageSink } from './message-receipt.js';

/** What can be said of a call by its head alone. */
export interface CallHead {
  readonly firstByteAtMs: number;
  readonly socket: Socket;
  /** Address without port. */
  readonly peer: string;
  /** Whose token it came with; null where it came without. */
  readonly tokenName: string | null;
  /** `grpc-timeout`; null when there was none. */
  readonly timeoutMs: number | null;
  readonly headers: IncomingHttpHeaders;
}

/** What a stream of messages is given to. */
export interface StreamHandler {
  onMessage(frame: Frame): void;
  /** The client sends no more. */
  onHalfClose(): void;
}

/** Takes the one message of a call, or opens a stream of them. */
export type Method =
  | { readonly kind: 'unary'; readonly answer: (call: Call, frame: Frame) => void }
  | { readonly kind: 'stream'; readonly open: (call: Call) => StreamHandler };

export interface CallOptions extends MessageReceiptOptions {
  readonly head: CallHead;
  readonly method: Method;
  /** Once, when it has been answered or is gone. */
  readonly onOver: () => void;
}

const RESPONSE_HEADERS = {
  ':status': 200,
  'content-type': 'application/grpc+proto',
  'grpc-encoding': 'identity',
  'grpc-accept-encoding': 'identity,deflate,gzip',
};
const OK_TRAILERS = { 'grpc-status': '0' };

/** Node fires later ones at once. Nobody waits for a call that long. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

const ignore = (): void => undefined;
const NOBODY: readonly (() => void)[] = [];

export class Call implements MessageSink, Departure {
  readonly head: CallHead;
  readonly #options: CallOptions;
  readonly #stream: ServerHttp2Stream;
  readonly #receipt: MessageReceipt;
  #handler: StreamHandler | null = null;
  /** The one message of a unary call. */
  #frame: Frame | null = null;
  #isAborted = false;
  /** Of the requests that are worked on; several of a stream. */
  #onAbort: readonly (() => void)[] = NOBODY;
  #deadlineTimer: NodeJS.Timeout | undefined;
  /** Runs while the client has something to read. */
  #unreadTimer: NodeJS.Timeout | undefined;
  #unreadCount = 0;
  /** What its stream ends with; null until that is known. */
  #trailers: Record<string, string> | null = null;
  #isOver = false;
  #overListener = ignore;
  /** Of a unary call: told when it is over; null where nobody traces. */
  trace: CallTrace | null = null;

  constructor(options: CallOptions) {
    const { head, method, stream } = options;
    this.head = head;
    this.#options = options;
    this.#stream = stream;
    // A reset is told by `close` as well.
    stream.on('error', ignore);
    stream.on('close', this.#onClose);
    this.#receipt = new MessageReceipt(options, this);
    if (head.timeoutMs !== null && head.timeoutMs <= LONGEST_TIMER_MS) {
      const leftMs = head.firstByteAtMs + head.timeoutMs - options.nowMs();
      this.#deadlineTimer = setTimeout(this.#onDeadline, Math.max(0, Math.ceil(leftMs)));
    }
    if (method.kind === 'stream') this.#handler = method.open(this);
  }

  /** The call has ended, and what is still worked on has no answer. */
  get aborted(): boolean {
    return this.#isAborted;
  }

  addEventListener(_kind: 'abort', listener: () => void): void {
    this.#onAbort = [...this.#onAbort, listener];
  }

  removeEventListener(_kind: 'abort', listener: () => void): void {
    this.#onAbort = this.#onAbort.filter((each) => each !== listener);
  }

  /** Whether there is nobody to answer any more, or an answer already. */
  get isAnswered(): boolean {
    return this.#trailers !== null || this.#isOver || this.#stream.destroyed || this.#stream.closed;
  }

  /** The first value of a header. */
  header(name: string): string | undefined {
    const value = this.head.headers[name];
    return Array.isArray(value) ? value[0] : value;
  }

  /** No more messages until `release`. */
  hold(): void {
    this.#receipt.hold();
  }

  release(): void {
    this.#receipt.release();
  }

  /** The service has taken over a message of that size. */
  handOver(messageBytes: number): void {
    this.#receipt.handOver(messageBytes);
  }

  /** @param listener called once when the call is over, whatever ended it; in place of one before */
  onceOver(listener: () => void): void {
    this.#overListener = listener;
  }

  /**
   * One of several messages.
   * @param parts of a message with its prefix, one behind the other
   * @param onRead called when the client's flow control has let all of it go
   */
  send(parts: readonly Uint8Array[], onRead: () => void = ignore): void {
    if (this.isAnswered) return;
    if (!this.#stream.headersSent) this.#respond();
    this.#unreadCount += 1;
    this.#startUnreadTimer();
    const onWritten = (): void => {
      this.#unreadCount -= 1;
      if (this.#unreadCount === 0) this.#stopUnreadTimer();
      else this.#unreadTimer?.refresh();
      onRead();
    };
    const last = this.#writeAllButLast(parts);
    this.#stream.write(last, onWritten);
    if (this.#stream.writableCorked > 0) this.#stream.uncork();
  }

  /** The only message, and the end. @param parts as for `send` */
  reply(parts: readonly Uint8Array[]): void {
    if (this.isAnswered) return;
    this.#respond();
    this.#endWith(OK_TRAILERS, parts);
  }

  /** The end of a call that went well. */
  succeed(): void {
    if (this.isAnswered) return;
    if (!this.#stream.headersSent) this.#respond();
    this.#endWith(OK_TRAILERS);
  }

  /** The end of one that did not. */
  fail(status: CallStatus): void {
    if (this.isAnswered) return;
    const trailers = trailersOf(status);
    if (this.#stream.headersSent) {
      this.#endWith(trailers);
      return;
    }
    this.#trailers = trailers;
    this.#stream.respond({ ...RESPONSE_HEADERS, ...trailers }, { endStream: true });
    this.#end();
  }

  onMessage(frame: Frame): void {
    if (this.#handler !== null) this.#handler.onMessage(frame);
    else if (this.#frame === null) this.#frame = frame;
    else {
      frame.place?.release();
      this.fail(plainStatus(GRPC_CODE.UNIMPLEMENTED, 'this method takes one message'));
    }
  }

  onHalfClose(): void {
    const { method } = this.#options;
    if (method.kind === 'stream') this.#handler?.onHalfClose();
    else if (this.#frame === null) this.fail(plainStatus(GRPC_CODE.UNIMPLEMENTED, 'this method takes one message'));
    else {
      reached('received');
      const frame = this.#frame;
      // Held by whoever needs it, and no longer.
      this.#frame = null;
      method.answer(this, frame);
    }
  }

  onRefused(status: CallStatus): void {
    // Whatever of a stream is being worked on has nobody to be answered to.
    this.#abort();
    this.fail(status);
  }

  #respond(): void {
    this.#stream.respond(RESPONSE_HEADERS, { waitForTrailers: true });
  }

  #endWith(trailers: Record<string, string>, parts: readonly Uint8Array[] = []): void {
    this.#trailers = trailers;
    this.#receipt.end();
    this.#startUnreadTimer();
    this.#stream.on('wantTrailers', this.#onWantTrailers);
    this.#stream.end(this.#writeAllButLast(parts));
  }

  /** Corked, so that all are one write. @returns the last one; undefined without any */
  #writeAllButLast(parts: readonly Uint8Array[]): Uint8Array | undefined {
    if (parts.length > 1) this.#stream.cork();
    for (let i = 0; i < parts.length - 1; i++) this.#stream.write(parts[i]);
    return parts.at(-1);
  }

  /** All messages have been read. */
  readonly #onWantTrailers = (): void => {
    if (this.#stream.destroyed || this.#stream.closed) return;
    this.#stream.sendTrailers(this.#trailers!);
    reached('written');
    this.#end();
  };

  #startUnreadTimer(): void {
    this.#unreadTimer ??= setTimeout(() => this.#stream.close(constants.NGHTTP2_CANCEL), this.#options.timeoutMs);
  }

  #stopUnreadTimer(): void {
    clearTimeout(this.#unreadTimer);
    this.#unreadTimer = undefined;
  }

  readonly #onDeadline = (): void => {
    if (this.isAnswered) return;
    this.#abort();
    this.fail(plainStatus(GRPC_CODE.DEADLINE_EXCEEDED, 'the gRPC deadline passed'));
  };

  readonly #onClose = (): void => {
    if (this.#trailers === null) this.#abort();
    this.#end();
  };

  #abort(): void {
    if (this.#isAborted) return;
    this.#isAborted = true;
    for (const listener of this.#onAbort) listener();
  }

  #end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    clearTimeout(this.#deadlineTimer);
    this.#stopUnreadTimer();
    this.#receipt.end();
    this.#frame?.place?.release();
    this.#frame = null;
    // A reset after the answer says that the rest of the request is not needed (RFC 9113, section 8.1). In a turn of its own: trailers
    // are only on their way then, and Node 20 never returns from a reset without error that is sent while it handles what was received.
    if (!this.#receipt.isHalfClosed && !this.#stream.destroyed) setImmediate(() => this.#stream.close());
    this.trace?.answered(this.#trailers === null ? null : Number(this.#trailers['grpc-status']));
    this.#overListener();
    this.#options.onOver();
  }
}
