/*
 * HTTP/2 on connections that are accepted elsewhere: a busy port is an error value there, TLS ends there and connections are counted
 * there. Here they are told how much they may send, looked after while nothing comes, and let go when the server closes.
 */
import { performServerHandshake } from 'node:http2';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream, ServerOptions } from 'node:http2';
import type { Socket } from 'node:net';

/** Covers the bandwidth-delay product of 100 Mbit/s at 80 ms. What is received is read at once, so it is not held. */
const STREAM_WINDOW_BYTES = 1 << 20;
const CONNECTION_WINDOW_BYTES = 4 << 20;
/** Each frame of data is an event; the default of 16 KiB makes four of what one read from the socket holds. */
const FRAME_BYTES = 1 << 20;

/** A vanished client is noticed within 30 + 20 s; gRFC A9 is the same for other gRPC servers. */
const KEEPALIVE_TIME_MS = 30_000;
const KEEPALIVE_TIMEOUT_MS = 20_000;

/**
 * MB that Node lets a session hold before it refuses streams. What answers hold is bounded by the limit on calls, and by the time in
 * which each must be read; two answers of the largest size are beyond Node's default of 10.
 */
const SESSION_MB = 1_000_000;

export type StreamListener = (stream: ServerHttp2Stream, headers: IncomingHttpHeaders, socket: Socket) => void;

export class Connections {
  readonly #options: ServerOptions;
  readonly #onStream: StreamListener;
  readonly #open = new Map<ServerHttp2Session, Socket>();
  #isClosing = false;
  #onDrained: () => void = () => undefined;

  /** @param maxStreams that a connection may have open at a time */
  constructor(maxStreams: number, onStream: StreamListener) {
    this.#options = {
      maxSessionMemory: SESSION_MB,
      settings: {
        initialWindowSize: STREAM_WINDOW_BYTES,
        maxConcurrentStreams: maxStreams,
        maxFrameSize: FRAME_BYTES,
      },
    };
    this.#onStream = onStream;
  }

  /** @param socket whose TLS handshake is complete, where it has one */
  readonly accept = (socket: Socket): void => {
    if (!socket.writable || this.#isClosing) {
      socket.destroy();
      return;
    }
    const session = performServerHandshake(socket, this.#options);
    this.#open.set(session, socket);
    session.on('stream', (stream, headers) => this.#onStream(stream, headers, socket));
    session.once('connect', () => session.setLocalWindowSize(CONNECTION_WINDOW_BYTES));
    // Whatever the client did wrong, its connection is closed for it.
    session.on('error', () => undefined);
    const stopAsking = keepAlive(session);
    session.once('close', () => {
      stopAsking();
      this.#open.delete(session);
      if (this.#isClosing && this.#open.size === 0) this.#onDrained();
    });
  };

  /** Takes no new calls, and resolves when those in progress are over, or cut off after `graceMs`. */
  close(graceMs: number): Promise<void> {
    this.#isClosing = true;
    const graceTimer = setTimeout(() => {
      for (const socket of this.#open.values()) socket.destroy();
    }, graceMs);
    return new Promise((resolve) => {
      this.#onDrained = () => {
        clearTimeout(graceTimer);
        resolve();
      };
      if (this.#open.size === 0) this.#onDrained();
      for (const session of this.#open.keys()) session.close();
    });
  }
}

/** @returns what ends it */
function keepAlive(session: ServerHttp2Session): () => void {
  let timeout: NodeJS.Timeout | undefined;
  const timer = setInterval(() => {
    if (session.destroyed) return;
    timeout ??= setTimeout(() => session.destroy(), KEEPALIVE_TIMEOUT_MS).unref();
    session.ping(() => {
      clearTimeout(timeout);
      timeout = undefined;
    });
  }, KEEPALIVE_TIME_MS).unref();
  return () => {
    clearInterval(timer);
    clearTimeout(timeout);
  };
}
