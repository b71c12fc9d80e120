import { Socket, type IpcSocketConnectOpts, type SocketConstructorOpts } from 'node:net';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { encodeFrame, FrameDecoder, FrameError, type Frame } from './frames.js';

/** Opens a socket whose received bytes go to `onChunk`, which does not keep them. */
export type SocketSource = (onChunk: (chunk: Uint8Array) => void) => Socket;

/**
 * Four times what a stream reads at once by itself: 600 KB through a socket pair took 0.20 instead of 0.31 ms (p50,
 * two-core Xeon VM).
 */
const READ_BUFFER_BYTES = 256 * 1024;

/** `onread` works for a given descriptor as it does for `net.connect`; Node 20's types only know the latter. */
type DescriptorOptions = SocketConstructorOpts & Pick<IpcSocketConnectOpts, 'onread'>;

/** An inherited descriptor, read in large steps. */
export function descriptor(fd: number): SocketSource {
  return (onChunk) => {
    const options: DescriptorOptions = {
      fd,
      onread: {
        buffer: new Uint8Array(READ_BUFFER_BYTES),
        callback: (byteCount, buffer) => {
          onChunk(buffer.subarray(0, byteCount));
          return true;
        },
      },
    };
    return new Socket(options);
  };
}

/** A socket that somebody else made. */
export function existing(socket: Socket): SocketSource {
  return (onChunk) => socket.on('data', onChunk);
}

/** One of the two connections between router and worker, at either end. */
export class FramedConnection {
  readonly #socket: Socket;

  /**
   * @param onFrame each frame, in order; a `FrameError` that it throws counts as a broken frame
   * @param onClosed once, when the peer is gone or the connection failed (null), or a frame was broken (why); nothing
   *   more is received or sent
   */
  constructor(source: SocketSource, onFrame: (frame: Frame) => void, onClosed: (problem: string | null) => void) {
    const decoder = new FrameDecoder(onFrame);
    let problem: string | null = null;
    const socket = source((chunk) => {
      if (problem !== null) return;
      try {
        decoder.push(chunk);
      } catch (error) {
        if (!(error instanceof FrameError)) throw error;
        // A byte stream that lost its frame boundaries cannot be picked up again.
        problem = error.message;
        socket.destroy();
      }
    });
    // A reset or broken pipe is how a killed peer shows; 'close' always follows and says all that matters.
    socket.on('error', () => undefined);
    socket.on('close', () => onClosed(problem));
    this.#socket = socket;
  }

  /**
   * Sends one frame, tensors from where they lie: they must not change afterwards. The frames of one callback of the event
   * loop leave together in one gathering write at its end: a write for each took a quarter of the router's CPU at
   * thousands of small requests a second. Not at the end of the loop's turn, which comes when all else is done that has
   * become due in it.
   * @param onSent the kernel has it all, or the connection is gone: the tensors' memory is free again
   */
  send(header: object, tensors?: readonly Tensor[], onSent?: () => void): void {
    if (!this.#socket.writable) return;
    const chunks = encodeFrame(header, tensors);
    if (this.#socket.writableCorked === 0) {
      this.#socket.cork();
      process.nextTick(() => this.#socket.uncork());
    }
    const last = chunks.length - 1;
    for (const [i, chunk] of chunks.entries()) {
      if (i === last && onSent !== undefined) this.#socket.write(chunk, onSent);
      else this.#socket.write(chunk);
    }
  }

  /** Sends what is still buffered, then closes. */
  end(onSent: () => void): void {
    this.#socket.end(onSent);
  }
}
