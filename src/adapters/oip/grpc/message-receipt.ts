/*
 * What one call is receiving: its bytes are charged to the receive budget and it has a time limit. grpc-js gathers a
 * message by itself and tells nobody before it is whole, so this listens to the HTTP/2 stream beside it. The model's name
 * is within the message: unlike REST, a call on an unknown model is only known for one when all of it has been received.
 *
 * Not seen here: up to a flow-control window per stream (`transport.ts`) that the HTTP/2 session holds while a stream of
 * messages is paused because its client does not read the answers.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import type { ServerInterceptingCallInterface } from '@grpc/grpc-js';
import { inflate } from '../inflate.js';
import type { Intake } from '../intake.js';
import { CHUNK_OVERHEAD_BYTES, ReceiveBudgetSpent } from '../receive-budget.js';
import type { Receipt } from '../receive-budget.js';
import { OipFailure } from '../service.js';
import { describeBusy, describeError } from '../status.js';
import type { Compat, ErrorReply } from '../status.js';
import { statusOf } from './answers.js';
import { replaceInflation } from './transport.js';

/** Compressed flag and length before every message (grpc/doc/PROTOCOL-HTTP2.md). */
const PREFIX_BYTES = 5;

export interface MessageReceiptOptions {
  readonly call: ServerInterceptingCallInterface;
  readonly stream: ServerHttp2Stream;
  readonly receipt: Receipt;
  /** A stream of messages has no end to wait for: its time limit is on each message. */
  readonly isStream: boolean;
  readonly maxMessageBytes: number;
  readonly timeoutMs: number;
  readonly compat: Compat;
  readonly intake: Intake;
}

type Answer = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

export class MessageReceipt {
  readonly #options: MessageReceiptOptions;
  /** Received of a message that is not whole yet, and in how many chunks. */
  #partialBytes = 0;
  #partialChunks = 0;
  #timer: NodeJS.Timeout | undefined;
  #isHalfClosed = false;

  constructor(options: MessageReceiptOptions) {
    this.#options = options;
    // Before grpc-js, which is listening already: a chunk is charged before it completes its message.
    options.stream.prependListener('data', this.#onChunk);
    replaceInflation(options.call, (message, encoding) => this.#onMessage(message, encoding));
    if (!options.isStream) this.#startTimer();
  }

  /** The service has taken over a message of that size. */
  handOver(messageBytes: number): void {
    this.#options.receipt.give(messageBytes);
  }

  /** The client has sent all it will. */
  halfClose(): void {
    this.#isHalfClosed = true;
    clearTimeout(this.#timer);
  }

  /** The call has been answered or is gone. */
  end(): void {
    const { stream, receipt } = this.#options;
    clearTimeout(this.#timer);
    stream.off('data', this.#onChunk);
    receipt.release();
    // grpc-js would keep what it has of a message for as long as the client keeps the stream open. A reset after the
    // answer says that the rest is not needed (RFC 9113, section 8.1). In a turn of its own: trailers are only on their way
    // then, and Node 20 never returns from a reset without error that is sent while it handles what was received.
    if (!this.#isHalfClosed) setImmediate(() => stream.close());
  }

  readonly #onChunk = (chunk: Buffer): void => {
    this.#partialBytes += chunk.length;
    this.#partialChunks += 1;
    if (!this.#options.receipt.take(chunk.length + CHUNK_OVERHEAD_BYTES)) {
      const { receipt, compat, intake } = this.#options;
      this.#refuse(statusOf(spentReply(new ReceiveBudgetSpent(receipt), compat), intake));
    } else if (this.#options.isStream && this.#timer === undefined) {
      this.#startTimer();
    }
  };

  #onMessage(message: Buffer, encoding: string): Buffer | Promise<Buffer> {
    const { receipt, isStream } = this.#options;
    this.#partialBytes -= message.length;
    receipt.give(PREFIX_BYTES + this.#partialChunks * CHUNK_OVERHEAD_BYTES);
    this.#partialChunks = 0;
    if (isStream) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
      if (this.#partialBytes > 0) this.#startTimer();
    }
    const contents = message.subarray(PREFIX_BYTES);
    return encoding === 'identity' ? contents : this.#inflate(contents, encoding);
  }

  /** Rejects with the status to answer. Codes as in grpc/doc/compression.md. */
  async #inflate(contents: Buffer, encoding: string): Promise<Buffer> {
    const { receipt, maxMessageBytes, compat, intake } = this.#options;
    if (encoding !== 'gzip' && encoding !== 'deflate') {
      intake.count('grpc', 'unsupported');
      throw asError(plainStatus(status.UNIMPLEMENTED, 'grpc-encoding must be gzip, deflate or identity'));
    }
    try {
      const message = await inflate(contents, encoding, maxMessageBytes, receipt);
      receipt.give(contents.length);
      return message;
    } catch (error) {
      throw asError(inflationStatus(error, compat, intake));
    }
  }

  #startTimer(): void {
    const { timeoutMs, isStream, stream } = this.#options;
    this.#timer = setTimeout(() => {
      if (isStream && stream.isPaused()) {
        // It is the server that does not read on.
        this.#startTimer();
        return;
      }
      this.#options.intake.count('grpc', 'body_timeout');
      const since = isStream ? 'it began' : 'the call began';
      this.#refuse(
        plainStatus(status.DEADLINE_EXCEEDED, `the message was not complete ${timeoutMs} ms after ${since}`),
      );
    }, timeoutMs);
  }

  #refuse(answer: Answer): void {
    this.#options.call.sendStatus(answer);
  }
}

function plainStatus(code: status, details: string): Answer {
  return { code, details };
}

function inflationStatus(error: unknown, compat: Compat, intake: Intake): Answer {
  if (error instanceof ReceiveBudgetSpent) return statusOf(spentReply(error, compat), intake);
  if (error instanceof OipFailure && error.error.kind === 'too_large')
    return statusOf(describeError(error.error, compat), intake);
  intake.count('grpc', 'invalid');
  return plainStatus(status.INTERNAL, 'message is not what its grpc-encoding says');
}

function spentReply(error: ReceiveBudgetSpent, compat: Compat): ErrorReply {
  return describeBusy(error.reason, error.message, compat);
}

/** grpc-js sends as status what an inflation rejects with. */
function asError(answer: Answer): Error {
  return Object.assign(new Error(), answer);
}
