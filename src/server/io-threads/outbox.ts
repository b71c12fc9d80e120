import type { MessagePort } from 'node:worker_threads';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { Envelope, Where, WireTensor } from './wire.js';

/*
 * What one thread has to say to another, gathered until the turn of its event loop is over: whatever sockets or batches had to say within
 * it goes as one message.
 */

/** Up to here a tensor goes along with others in one buffer: larger ones would keep it for those that are done with. */
const MOST_INLINE_BYTES = 4096;
/** Of the buffer for small ones, at first. */
const FIRST_BYTES = 4096;

/** Where it does not go at once: a thread's `MessagePort`, or the worker it is. */
type Port = Pick<MessagePort, 'postMessage'>;

export class Outbox<Entry> {
  readonly #port: Port;
  #entries: Entry[] = [];
  #bytes = new Uint8Array(FIRST_BYTES);
  #byteCount = 0;
  #buffers: ArrayBuffer[] = [];
  #isDue = false;
  #isClosed = false;

  constructor(port: Port) {
    this.#port = port;
  }

  push(entry: Entry): void {
    if (this.#isClosed) return;
    this.#entries.push(entry);
    if (this.#isDue) return;
    this.#isDue = true;
    setImmediate(() => this.flush());
  }

  /** A copy of it goes along. To be named in what is pushed next. */
  copied({ name, datatype, shape, data }: Tensor): WireTensor {
    return [name, datatype, shape, data.byteLength, this.#copy(data)];
  }

  /** All of the buffer goes along, and is not there any more once this has been flushed. @returns its number */
  handOver(buffer: ArrayBuffer): number {
    return this.#buffers.push(buffer) - 1;
  }

  flush(): void {
    this.#isDue = false;
    if (this.#entries.length === 0 || this.#isClosed) return;
    const bytes = this.#byteCount === 0 ? null : this.#bytes.slice(0, this.#byteCount).buffer;
    const envelope: Envelope<Entry> = { entries: this.#entries, bytes, buffers: this.#buffers };
    this.#port.postMessage(envelope, bytes === null ? this.#buffers : [bytes, ...this.#buffers]);
    this.#entries = [];
    this.#byteCount = 0;
    this.#buffers = [];
  }

  /** Nobody hears it any more. */
  close(): void {
    this.#isClosed = true;
    this.#entries = [];
    this.#buffers = [];
  }

  #copy(data: Uint8Array): Where {
    if (data.byteLength > MOST_INLINE_BYTES) {
      const copy = new Uint8Array(new ArrayBuffer(data.byteLength));
      copy.set(data);
      return ['buffer', this.handOver(copy.buffer), 0];
    }
    const offset = this.#byteCount;
    this.#byteCount += data.byteLength;
    if (this.#byteCount > this.#bytes.length) {
      const larger = new Uint8Array(2 ** Math.ceil(Math.log2(this.#byteCount)));
      larger.set(this.#bytes.subarray(0, offset));
      this.#bytes = larger;
    }
    this.#bytes.set(data, offset);
    return ['inline', offset];
  }
}
