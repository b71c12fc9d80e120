/*
 * What one call is receiving, message by message: each is charged to the receive budget as it comes, within the limit on one, inflated
 * where it is compressed, and in time. The model's name is within the message: unlike REST, a call on an unknown model is only known
 * for one when all of it has been received.
 *
 * Reading can be held. What a chunk holds beyond that stays here, and the stream is not read on, so that its client's flow control
 * holds the rest back.
 *
 * Not charged: up to a flow-control window per stream (`connections.ts`) that the HTTP/2 session holds while a stream is held.
 */
import type { ServerHttp2Stream } from 'node:http2';
import { inflate } from '../inflate.js';
import type { Intake } from '../intake.js';
import { CHUNK_OVERHEAD_BYTES, isCrumbled, ReceiveBudgetSpent, TINY_CHUNKS } from '../receive-budget.js';
import type { Receipt } from '../receive-budget.js';
import { PREFIX_BYTES } from '../../../protocol/grpc/framing.js';
import { OipFailure } from '../../../protocol/service.js';
import { describeBusy, describeError, GRPC_CODE } from '../../../protocol/status.js';
import type { Compat } from '../../../protocol/status.js';
import { plainStatus, statusOf } from './answers.js';
import type { CallStatus, Frame } from './answers.js';
import { MessageReader } from './message-reader.js';
import type { FindPlace, Message } from './message-reader.js';

export interface MessageReceiptOptions {
  readonly stream: ServerHttp2Stream;
  readonly receipt: Receipt;
  /** A stream of messages has no end to wait for: its time limit is on each message. */
  readonly isStream: boolean;
  /** `grpc-encoding`; undefined without. */
  readonly encoding: string | undefined;
  readonly maxMessageBytes: number;
  readonly timeoutMs: number;
  readonly compat: Compat;
  readonly intake: Intake;
  readonly nowMs: () => number;
  /** Absent: messages are read into memory of their own. */
  readonly findPlace?: FindPlace | undefined;
}

/** What becomes of it; nothing is called after `end`. */
export interface MessageSink {
  onMessage(frame: Frame): void;
  /** The client has sent all it will, and all of it was given to `onMessage`. */
  onHalfClose(): void;
  /** What came cannot be taken: to be answered so. */
  onRefused(status: CallStatus): void;
}

export class MessageReceipt {
  readonly #options: MessageReceiptOptions;
  readonly #sink: MessageSink;
  readonly #reader: MessageReader;
  /** Since the last message was complete. */
  #chunkCount = 0;
  #chunkBytes = 0;
  #timer: NodeJS.Timeout | undefined;
  /** By `hold`, and while a message is inflated. */
  #isHeld = false;
  #isInflating = false;
  #isHalfClosed = false;
  #isOver = false;

  constructor(options: MessageReceiptOptions, sink: MessageSink) {
    this.#options = options;
    this.#sink = sink;
    this.#reader = new MessageReader(options.maxMessageBytes, options.findPlace);
    options.stream.on('data', this.#onChunk);
    options.stream.on('end', this.#onEnd);
    if (!options.isStream) this.#startTimer();
  }

  /** Whether the client has sent all it will. */
  get isHalfClosed(): boolean {
    return this.#isHalfClosed;
  }

  /** No more messages until `release`. */
  hold(): void {
    this.#isHeld = true;
  }

  release(): void {
    if (!this.#isHeld) return;
    this.#isHeld = false;
    this.#readOn();
  }

  /** The service has taken over a message of that size. */
  handOver(messageBytes: number): void {
    this.#options.receipt.give(messageBytes);
  }

  /** The call is being answered or is gone: what still comes is dropped. */
  end(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const { stream, receipt } = this.#options;
    clearTimeout(this.#timer);
    receipt.release();
    this.#reader.clear();
    stream.off('data', this.#onChunk);
    // Without a reader a stream would never be closed.
    if (!this.#isHalfClosed) stream.resume();
  }

  readonly #onChunk = (chunk: Buffer): void => {
    if (!this.#options.receipt.take(chunk.length + CHUNK_OVERHEAD_BYTES)) {
      this.#refuse(this.#spentStatus(new ReceiveBudgetSpent(this.#options.receipt)));
      return;
    }
    this.#chunkCount += 1;
    this.#chunkBytes += chunk.length;
    if (isCrumbled(this.#chunkBytes, this.#chunkCount)) {
      this.#refuse(this.#errorStatus('invalid', TINY_CHUNKS));
      return;
    }
    this.#reader.push(chunk);
    this.#readOn();
  };

  readonly #onEnd = (): void => {
    this.#isHalfClosed = true;
    if (!this.#options.isStream) clearTimeout(this.#timer);
    this.#readOn();
  };

  #readOn(): void {
    const { stream, isStream, maxMessageBytes } = this.#options;
    while (!this.#isOver) {
      if (this.#isHeld || this.#isInflating) {
        stream.pause();
        return;
      }
      const result = this.#reader.read();
      switch (result.kind) {
        case 'message':
          this.#onMessage(result.message);
          break;
        case 'incomplete':
          if (isStream && this.#timer === undefined && this.#reader.isWithinMessage) this.#startTimer();
          if (this.#isHalfClosed) this.#onAllRead();
          else if (stream.isPaused()) stream.resume();
          return;
        case 'too-large':
          this.#refuse(
            this.#errorStatus(
              'too_large',
              `message is larger than max: ${result.announcedBytes} bytes, where ${maxMessageBytes} is the limit`,
            ),
          );
          return;
        case 'malformed':
          this.#refuse(this.#errorStatus('invalid', 'not a gRPC message: its first byte is neither 0 nor 1'));
          return;
      }
    }
  }

  #onMessage({ bytes, isCompressed, place }: Message): void {
    const { receipt, isStream } = this.#options;
    receipt.give(PREFIX_BYTES + this.#chunkCount * CHUNK_OVERHEAD_BYTES);
    this.#chunkCount = 0;
    this.#chunkBytes = 0;
    if (isStream) {
      clearTimeout(this.#timer);
      this.#timer = undefined;
    }
    if (isCompressed) void this.#inflate(bytes);
    else this.#sink.onMessage({ bytes, receivedAtMs: this.#options.nowMs(), place });
  }

  #onAllRead(): void {
    if (!this.#reader.isWithinMessage) {
      this.#sink.onHalfClose();
      return;
    }
    this.#options.intake.count('grpc', 'invalid');
    this.#refuse(plainStatus(GRPC_CODE.UNIMPLEMENTED, 'the call ended within a message'));
  }

  /** Codes as in grpc/doc/compression.md. */
  async #inflate(bytes: Buffer): Promise<void> {
    const { encoding, receipt, maxMessageBytes, intake, nowMs } = this.#options;
    if (encoding !== 'gzip' && encoding !== 'deflate') {
      const isMissing = encoding === undefined || encoding === 'identity';
      intake.count('grpc', isMissing ? 'invalid' : 'unsupported');
      this.#refuse(
        isMissing
          ? plainStatus(GRPC_CODE.INTERNAL, 'a message is marked as compressed, and no grpc-encoding says how')
          : plainStatus(GRPC_CODE.UNIMPLEMENTED, 'grpc-encoding must be gzip, deflate or identity'),
      );
      return;
    }
    this.#isInflating = true;
    let inflated: Buffer;
    try {
      inflated = await inflate(bytes, encoding, maxMessageBytes, receipt);
    } catch (error) {
      this.#refuse(this.#inflationStatus(error));
      return;
    }
    receipt.give(bytes.length);
    this.#isInflating = false;
    if (this.#isOver) return;
    this.#sink.onMessage({ bytes: inflated, receivedAtMs: nowMs(), place: null });
    this.#readOn();
  }

  #startTimer(): void {
    const { timeoutMs, isStream } = this.#options;
    this.#timer = setTimeout(() => {
      if (isStream && this.#isHeld) {
        // It is the server that does not read on.
        this.#startTimer();
        return;
      }
      this.#options.intake.count('grpc', 'body_timeout');
      const since = isStream ? 'it began' : 'the call began';
      this.#refuse(
        plainStatus(GRPC_CODE.DEADLINE_EXCEEDED, `the message was not complete ${timeoutMs} ms after ${since}`),
      );
    }, timeoutMs);
  }

  #refuse(status: CallStatus): void {
    if (this.#isOver) return;
    this.end();
    this.#sink.onRefused(status);
  }

  #inflationStatus(error: unknown): CallStatus {
    const { compat, intake } = this.#options;
    if (error instanceof ReceiveBudgetSpent) return this.#spentStatus(error);
    if (error instanceof OipFailure && error.error.kind === 'too_large')
      return statusOf(describeError(error.error, compat), intake);
    intake.count('grpc', 'invalid');
    return plainStatus(GRPC_CODE.INTERNAL, 'message is not what its grpc-encoding says');
  }

  #spentStatus(error: ReceiveBudgetSpent): CallStatus {
    const { compat, intake } = this.#options;
    return statusOf(describeBusy(error.reason, error.message, compat), intake);
  }

  #errorStatus(kind: 'invalid' | 'too_large', message: string): CallStatus {
    const { compat, intake } = this.#options;
    return statusOf(describeError({ kind, message }, compat), intake);
  }
}
