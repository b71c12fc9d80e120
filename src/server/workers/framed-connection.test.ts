import { Socket } from 'node:net';
import { describe, expect, it } from 'vitest';
import { existing, FramedConnection } from './framed-connection.js';
import { FrameDecoder } from './frames.js';

/** A socket that is connected to nothing, and tells in which write each frame would have left. */
class RecordingSocket extends Socket {
  readonly writes: unknown[][] = [];
  #leaving: unknown[] = [];
  readonly #decoder = new FrameDecoder(({ header }) => this.#leaving.push(header));

  override _write(chunk: Uint8Array, _encoding: BufferEncoding, done: () => void): void {
    this._writev([{ chunk }], done);
  }

  override _final(done: () => void): void {
    done();
  }

  override _writev(chunks: { chunk: Uint8Array }[], done: () => void): void {
    for (const { chunk } of chunks) this.#decoder.push(chunk);
    this.writes.push(this.#leaving);
    this.#leaving = [];
    done();
  }
}

function openConnection() {
  const socket = new RecordingSocket();
  const closed: (string | null)[] = [];
  const connection = new FramedConnection(
    existing(socket),
    () => undefined,
    (problem) => closed.push(problem),
  );
  return { connection, socket, writes: socket.writes, closed };
}

const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

describe('a framed connection', () => {
  it('sends the frames of a turn in one write, before the next turn begins', async () => {
    const { connection, writes } = openConnection();
    connection.send({ n: 1 });
    connection.send({ n: 2 });
    await Promise.resolve();
    connection.send({ n: 3 });
    expect(writes).toEqual([]);
    await nextTurn();
    expect(writes).toEqual([[{ n: 1 }, { n: 2 }, { n: 3 }]]);
    connection.send({ n: 4 });
    await nextTurn();
    expect(writes.slice(1)).toEqual([[{ n: 4 }]]);
  });

  it('sends what waits for the end of the turn when it is ended, and nothing after', async () => {
    const { connection, writes, closed } = openConnection();
    connection.send({ n: 1 });
    const ended = new Promise<void>((resolve) => connection.end(resolve));
    connection.send({ n: 2 });
    await ended;
    await nextTurn();
    expect(writes).toEqual([[{ n: 1 }]]);
    expect(closed).toEqual([]);
  });

  it.each([null, new Error('EPIPE')])(
    'says once that it is closed when it breaks with frames waiting: %s',
    async (error) => {
      const { connection, socket, writes, closed } = openConnection();
      connection.send({ n: 1 });
      socket.destroy(error ?? undefined);
      connection.send({ n: 2 });
      await nextTurn();
      await nextTurn();
      expect(writes).toEqual([]);
      expect(closed).toEqual([null]);
    },
  );
});
