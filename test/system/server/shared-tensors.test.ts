import { connect } from 'node:net';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import type { Tensor } from '../../../src/scheduler/domain/tensor.js';
import { binaryOutputs, floatTensor, GrpcClient, grpcRequest, inferBinary } from './clients.js';
import { TestBench, type RunningServer } from './harness.js';

/*
 * Large tensors from client to model and back, which lie in memory that router and worker share and are used again and again: each
 * answer is that of its own request, whoever else comes, reads slowly or leaves.
 */

const bench = new TestBench();
afterAll(() => bench.close());

const WIDTH = 64 * 1024;
const ROW_BYTES = 4 * WIDTH;

/** `x` f32 [batch, WIDTH] → `y`: one more. */
function increment(): OnnxGraph {
  const graph = new OnnxGraph('increment');
  const x = graph.input('x', 'FP32', ['batch', WIDTH]);
  graph.constant('one', 'FP32', [], Float32Array.of(1));
  graph.output(graph.add('Add', [x, 'one'], {}, 'y'), 'FP32', ['batch', WIDTH]);
  return graph;
}

const valueOf = (seed: number, index: number): number => ((seed * 7919 + index) % 65_521) * 4;

function rowsOf(seed: number, rows: number): Tensor {
  return floatTensor(
    'x',
    [rows, WIDTH],
    Float32Array.from({ length: rows * WIDTH }, (_, i) => valueOf(seed, i)),
  );
}

/** Where an answer is not that of its request; −1 where it is. */
function wrongAt(data: Uint8Array, seed: number, rows: number): number {
  const floats = new Float32Array(new Uint8Array(data).buffer);
  if (floats.length !== rows * WIDTH) return floats.length;
  return floats.findIndex((value, i) => value !== valueOf(seed, i) + 1);
}

describe('large tensors', () => {
  let server: RunningServer;
  beforeAll(async () => {
    const flags = ['--slo', '60000', '--no-refine'];
    server = await bench.serve(bench.model('increment', increment()), flags);
  });

  async function overRest(seed: number, rows: number): Promise<number> {
    const reply = await inferBinary(server, 'increment', [rowsOf(seed, rows)]);
    if (reply.status !== 200) throw new Error(reply.bytes.toString());
    return wrongAt(binaryOutputs(reply)[0]!.data, seed, rows);
  }

  async function overGrpc(client: GrpcClient, seed: number, rows: number): Promise<number> {
    const { error, response } = await client.call('modelInfer', grpcRequest('increment', [rowsOf(seed, rows)]));
    if (error !== null) throw error;
    return wrongAt(response.rawOutputContents[0]!, seed, rows);
  }

  /** Asks for `rows` and reads nothing of the answer before `read` is called, which resolves with where it is wrong. */
  function slowReader(
    seed: number,
    rows: number,
  ): { answered: Promise<void>; read: () => Promise<number>; leave: () => void } {
    const head = JSON.stringify({
      inputs: [
        { name: 'x', datatype: 'FP32', shape: [rows, WIDTH], parameters: { binary_data_size: rows * ROW_BYTES } },
      ],
      parameters: { binary_data_output: true },
    });
    const socket = connect(Number(new URL(server.rest).port), '127.0.0.1');
    socket.on('error', () => undefined);
    socket.write(
      'POST /v2/models/increment/infer HTTP/1.1\r\nhost: a\r\nconnection: close\r\n' +
        `content-length: ${head.length + rows * ROW_BYTES}\r\ninference-header-content-length: ${head.length}\r\n\r\n${head}`,
    );
    socket.write(rowsOf(seed, rows).data);
    const answered = new Promise<void>((resolve) => socket.once('readable', () => resolve()));
    return {
      answered,
      read: async () => {
        const chunks: Buffer[] = [];
        for await (const chunk of socket) chunks.push(chunk as Buffer);
        return wrongAt(Buffer.concat(chunks).subarray(-rows * ROW_BYTES), seed, rows);
      },
      leave: () => void socket.destroy(),
    };
  }

  it('come back as they were asked for, over both protocols, many at once', async () => {
    const client = new GrpcClient(server);
    const seeds = Array.from({ length: 24 }, (_, i) => i);
    const wrong = await Promise.all(
      seeds.map((seed) => (seed % 2 === 0 ? overRest(seed, 1 + (seed % 3)) : overGrpc(client, seed, 1 + (seed % 3)))),
    );
    client.close();
    expect(wrong).toEqual(seeds.map(() => -1));
  });

  it('are there for whoever reads slowly, whatever comes between, also if there is no more room for others', async () => {
    // 12 MiB each: eight of them are more than is shared.
    const readers = Array.from({ length: 8 }, (_, i) => slowReader(100 + i, 48));
    await Promise.all(readers.map(({ answered }) => answered));
    for (let seed = 0; seed < 10; seed++) expect(await overRest(seed, 4)).toBe(-1);
    const wrong = await Promise.all(readers.map(({ read }) => read()));
    expect(wrong).toEqual(readers.map(() => -1));
  });

  it('are not missed by those who leave, nor is their place', async () => {
    for (let round = 0; round < 3; round++) {
      const readers = Array.from({ length: 8 }, (_, i) => slowReader(200 + i, 48));
      await Promise.all(readers.slice(4).map(({ answered }) => answered));
      for (const { leave } of readers) leave();
      expect(await overRest(round, 4)).toBe(-1);
    }
  });
});
