import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/* One connection of a flood: it writes as fast as the server takes it, and notices when it is shut out. */

/** The attacker's own address: what one client may have at most is a matter of addresses where there are no tokens. */
const ELSEWHERE = '127.0.0.66';

export class FloodConnection {
  readonly #socket: Socket;
  sentBytes = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
  }

  /** @param reads whether what the server says is read (and thrown away); else it piles up */
  static async open(port: number, reads: boolean): Promise<FloodConnection | null> {
    const socket = connect({ port, host: '127.0.0.1', localAddress: ELSEWHERE });
    socket.on('error', () => undefined);
    if (reads) socket.resume();
    else socket.pause();
    try {
      await once(socket, 'connect');
      return new FloodConnection(socket);
    } catch {
      return null;
    }
  }

  get isOpen(): boolean {
    return this.#socket.writable && !this.#socket.destroyed;
  }

  /** Resolves when there is room for more; within a second, also where there is none. */
  async send(bytes: Uint8Array): Promise<void> {
    if (!this.isOpen) return;
    this.sentBytes += bytes.length;
    if (this.#socket.write(bytes)) {
      // Writes that are taken at once would keep this process from noticing anything else.
      await new Promise((resolve) => setImmediate(resolve));
      return;
    }
    const waiting = new AbortController();
    const timer = setTimeout(() => waiting.abort(), 1000);
    await Promise.race([
      once(this.#socket, 'drain', { signal: waiting.signal }),
      once(this.#socket, 'close', { signal: waiting.signal }),
    ]).catch(() => undefined);
    clearTimeout(timer);
    waiting.abort();
  }

  close(): void {
    this.#socket.destroy();
  }
}
