import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setImmediate as nextTask } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import fc from 'fast-check';
import * as ort from 'onnxruntime-node';
import { afterAll, describe, expect, it } from 'vitest';
import { OnnxGraph } from '../../../src/server/onnx/onnx-writer.js';
import { RESNET_18, residualNetwork } from '../../../research/load-models/load-models.js';
import { anyLength, identity, slow, SLOW_WIDTH } from '../../../research/load-models/tiny-graphs.js';
import { ModelSessions } from '../../../src/server/onnx-runtime/model-sessions.js';
import { Runtime } from '../../../src/server/onnx-runtime/runtime.js';
import { bytesOfHeld, isHeld } from '../../../src/server/onnx-runtime/values.js';
import { InstanceThreads } from '../../../src/server/workers/instance-threads.js';
import { ELEMENT_BYTES, elementCount, type Datatype, type Tensor } from '../../../src/scheduler/domain/tensor.js';

/*
 * ONNX Runtime through its C API, in this process: what goes in comes out, byte for byte, and nothing stays.
 */

const runtime = new Runtime();
const folder = mkdtempSync(join(tmpdir(), 'sponge-runtime-test-'));
afterAll(() => rmSync(folder, { recursive: true }));

let fileCount = 0;
function fileOf(graph: OnnxGraph): string {
  const path = join(folder, `${fileCount++}.onnx`);
  writeFileSync(path, graph.toModel());
  return path;
}

function load(
  graph: OnnxGraph,
  threadCounts: readonly number[] = [1],
  leastSharedBytes?: number,
): Promise<ModelSessions> {
  const onTrouble = (line: string): void => expect.fail(line);
  return ModelSessions.load(runtime, fileOf(graph), { threadCounts, onTrouble, leastSharedBytes });
}

/** Outputs copied out, and all else released. */
async function run(sessions: ModelSessions, inputs: readonly Tensor[], threadCount = 1): Promise<Tensor[]> {
  const runOptions = runtime.api.pointer('createRunOptions');
  try {
    const { outputs } = await sessions.run({ inputs, outputNames: [], threadCount, runOptions });
    return outputs.map((output) => {
      if (!isHeld(output)) return output;
      const { name, datatype, shape } = output;
      const tensor = { name, datatype, shape, data: bytesOfHeld(output).slice() };
      runtime.values.release(output.value);
      return tensor;
    });
  } finally {
    runtime.api.call('releaseRunOptions', runOptions);
  }
}

/** Elements of BYTES in the binary layout. */
function packed(elements: readonly Uint8Array[]): Uint8Array {
  const chunks = elements.flatMap((bytes) => {
    const length = Buffer.alloc(4);
    length.writeUInt32LE(bytes.byteLength);
    return [length, bytes];
  });
  return Uint8Array.from(Buffer.concat(chunks));
}

const NUMERIC = [
  'BOOL', 'UINT8', 'INT8', 'UINT16', 'INT16', 'UINT32', 'INT32', 'UINT64', 'INT64', 'FP16', 'BF16', 'FP32', 'FP64',
] as const satisfies readonly Datatype[]; // prettier-ignore

describe('a tensor through the runtime', () => {
  it.each(NUMERIC)('%s: comes back with the bits that went in, NaN payloads and all', async (datatype) => {
    const sessions = await load(identity(datatype));
    const byteCount = 4 * ELEMENT_BYTES[datatype];
    const bytes = fc.uint8Array({ minLength: 3 * byteCount, maxLength: 3 * byteCount });
    await fc.assert(
      fc.asyncProperty(bytes, fc.nat({ max: 3 }), async (random, rows) => {
        // ONNX Runtime holds a BOOL for true or false: any other byte is no BOOL.
        const elements = datatype === 'BOOL' ? random.map((byte) => byte & 1) : random;
        const data = elements.subarray(0, rows * byteCount);
        const [output] = await run(sessions, [{ name: 'x', datatype, shape: [rows, 4], data }]);
        expect(output).toMatchObject({ name: 'y', datatype, shape: [rows, 4] });
        expect(Buffer.compare(output!.data, data)).toBe(0);
      }),
      { numRuns: 50 },
    );
  });

  it('BYTES: any bytes, whatever they say: NUL, no UTF-8, nothing', async () => {
    const sessions = await load(identity('BYTES'));
    const elements = fc.array(fc.uint8Array({ maxLength: 40 }), { minLength: 4, maxLength: 4 });
    await fc.assert(
      fc.asyncProperty(elements, async (four) => {
        const data = packed(four);
        const [output] = await run(sessions, [{ name: 'x', datatype: 'BYTES', shape: [1, 4], data }]);
        expect(Buffer.compare(output!.data, data)).toBe(0);
      }),
    );
    const known = packed(['a\0b', '', '\0', 'ÿ'].map((text) => Buffer.from(text, 'latin1')));
    const [same] = await run(sessions, [{ name: 'x', datatype: 'BYTES', shape: [1, 4], data: known }]);
    expect(same!.data).toEqual(known);
  });

  it('BYTES: an element of 10 MB', async () => {
    const sessions = await load(identity('BYTES'));
    const long = Buffer.alloc(10_000_000, 'sponge\0');
    const data = packed([long, Buffer.alloc(0), Buffer.from([0xff, 0xfe]), long]);
    const [output] = await run(sessions, [{ name: 'x', datatype: 'BYTES', shape: [1, 4], data }]);
    expect(Buffer.compare(output!.data, data)).toBe(0);
  });

  it('of no elements: the shape is what there is', async () => {
    const sessions = await load(anyLength());
    const outputs = await run(sessions, [{ name: 'x', datatype: 'FP32', shape: [2, 0], data: new Uint8Array(0) }]);
    expect(outputs.map(({ shape }) => shape)).toEqual([[2, 0], [2, 1]]); // prettier-ignore
    expect(new Float32Array(outputs[1]!.data.slice().buffer)).toEqual(Float32Array.of(0, 0));
  });

  it('that lies across its elements is read all the same', async () => {
    const sessions = await load(identity('FP64'));
    const bytes = new Uint8Array(33);
    const values = Float64Array.of(1, -2, Math.PI, 5e-324);
    bytes.set(new Uint8Array(values.buffer), 1);
    const [output] = await run(sessions, [{ name: 'x', datatype: 'FP64', shape: [1, 4], data: bytes.subarray(1) }]);
    expect(Buffer.compare(output!.data, new Uint8Array(values.buffer))).toBe(0);
  });

  it('whose data is not what its shape needs is refused in ONNX Runtime’s words', async () => {
    const sessions = await load(identity('FP32'));
    const short: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 4], data: new Uint8Array(12) };
    await expect(run(sessions, [short])).rejects.toThrow(/not enough space/);
  });
});

describe('what a model says of itself', () => {
  it('names open axes, and inputs that have a value of their own', async () => {
    const graph = new OnnxGraph('scaled');
    const x = graph.input('x', 'FP32', ['batch', 'length']);
    graph.input('scale', 'FP32', [1]);
    graph.constant('scale', 'FP32', [1], Float32Array.of(3));
    graph.output(graph.add('Mul', [x, 'scale'], {}, 'y'), 'FP32', ['batch', 'length']);
    const sessions = await load(graph);
    expect(sessions.description.signature.inputs).toEqual([
      { name: 'x', datatype: 'FP32', shape: [-1, -1] },
      { name: 'scale', datatype: 'FP32', shape: [1], isOptional: true },
    ]);
    expect(sessions.description.symbolicDimensions['x']).toEqual(['batch', 'length']);
    const two: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 1], data: new Uint8Array(Float32Array.of(2).buffer) };
    const ten: Tensor = {
      name: 'scale',
      datatype: 'FP32',
      shape: [1],
      data: new Uint8Array(Float32Array.of(10).buffer),
    };
    const valueOf = (outputs: readonly Tensor[]): number => new Float32Array(outputs[0]!.data.slice().buffer)[0]!;
    expect(valueOf(await run(sessions, [two]))).toBe(6);
    expect(valueOf(await run(sessions, [two, ten]))).toBe(20);
  });
});

describe('sessions of several thread counts', () => {
  it('share one copy of the weights, answer as ONNX Runtime alone does, and leave no file', async () => {
    const before = readdirSync(tmpdir()).filter((name) => name.startsWith('sponge-weights-'));
    const path = join(folder, 'resnet18.onnx');
    writeFileSync(path, residualNetwork(RESNET_18).toModel());
    const sessions = await ModelSessions.load(runtime, path, {
      threadCounts: [1, 2, 3],
      onTrouble: (line) => expect.fail(line),
    });
    expect(readdirSync(tmpdir()).filter((name) => name.startsWith('sponge-weights-'))).toEqual(before);
    const image = Float32Array.from({ length: 3 * 224 * 224 }, (_, i) => Math.sin(i));
    const input: Tensor = {
      name: 'input',
      datatype: 'FP32',
      shape: [1, 3, 224, 224],
      data: new Uint8Array(image.buffer),
    };
    const direct = await ort.InferenceSession.create(path, { intraOpNumThreads: 1 });
    const expected = await direct.run({ input: new ort.Tensor('float32', image, [1, 3, 224, 224]) });
    const bytes = new Uint8Array((expected['logits']!.data as Float32Array).buffer);
    for (const threadCount of [1, 2, 3]) {
      const [output] = await run(sessions, [input], threadCount);
      expect(Buffer.compare(output!.data, bytes), `${threadCount} threads`).toBe(0);
    }
  });

  it.each([0, Infinity])('answer alike whether their weights are shared or not (from %d bytes on)', async (least) => {
    const sessions = await load(slow(3), [1, 2], least);
    const row = Float32Array.from({ length: SLOW_WIDTH }, (_, i) => i);
    const input: Tensor = { name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH], data: new Uint8Array(row.buffer) };
    for (const threadCount of [1, 2]) {
      const [output] = await run(sessions, [input], threadCount);
      const rolled = new Float32Array(output!.data.slice().buffer);
      expect(rolled[3]).toBe(0);
      expect(rolled[1000]).toBe(997);
    }
  });
});

describe('the inference thread', () => {
  it('is refused where libuv’s pool has others that a run could be on', async () => {
    await expect(
      InstanceThreads.start(
        runtime,
        [{ kind: 'none' }],
        () => Promise.resolve(),
        () => undefined,
      ),
    ).rejects.toThrow('start it with UV_THREADPOOL_SIZE=1');
  });
});

describe('a run', () => {
  it('ends when it is told to, and the next one is none the wiser', async () => {
    const sessions = await load(slow(2 ** 30));
    const data = new Uint8Array(4 * SLOW_WIDTH);
    const runOptions = runtime.api.pointer('createRunOptions');
    const request = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1, SLOW_WIDTH], data }] as const,
      outputNames: [],
    };
    const ended = expect(sessions.run({ ...request, threadCount: 1, runOptions })).rejects.toThrow(/terminate/i);
    setTimeout(() => runtime.api.check('runOptionsSetTerminate', runOptions), 50);
    await ended;
    runtime.api.call('releaseRunOptions', runOptions);
    const tiny = await load(identity('FP32'));
    const whole: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 4], data: new Uint8Array(16) };
    expect(await run(tiny, [whole])).toHaveLength(1);
  });

  it('leaves nothing behind, right or wrong: resident memory is flat over many', { timeout: 600_000 }, async () => {
    const sessions = await load(anyLength());
    const strings = await load(identity('BYTES'));
    const text = packed(
      ['a\0b', '', 'long enough to be on the heap, not in the string', 'ÿ'].map((each) => Buffer.from(each)),
    );
    const once = async (i: number): Promise<void> => {
      const length = i % 50;
      await run(sessions, [{ name: 'x', datatype: 'FP32', shape: [1, length], data: new Uint8Array(4 * length) }]);
      await run(strings, [{ name: 'x', datatype: 'BYTES', shape: [1, 4], data: text }]);
      const wrong: Tensor = { name: 'x', datatype: 'FP32', shape: [1, 4, 1], data: new Uint8Array(16) };
      // Not `expect(…).rejects`, which keeps every promise until the test ends.
      expect(await run(sessions, [wrong]).then(String, String)).toMatch(/rank/i);
    };
    // What is allocated once (arenas, compiled code, V8's heaps) comes at some time; a leak comes every time.
    const grownBytes: number[] = [];
    for (let round = 0; round < LEAK_ROUNDS; round++) {
      const before = await residentBytes();
      for (let i = 0; i < LEAK_RUNS / LEAK_ROUNDS; i++) {
        await once(i);
      }
      grownBytes.push((await residentBytes()) - before);
    }
    const runs = LEAK_RUNS / LEAK_ROUNDS;
    const typicalBytes = grownBytes.toSorted((a, b) => a - b)[LEAK_ROUNDS / 2]!;
    // One pointer for each of the three runs, and what V8 and the C library move by.
    const message = `KiB in each ${runs} rounds: ${grownBytes.map((bytes) => Math.round(bytes / 1024)).join(', ')}`;
    expect(typicalBytes, message).toBeLessThan(3 * 8 * runs + 1024 ** 2);
  });

  it('takes any shape and datatype that a client can send without harm to the process', async () => {
    const models = [await load(identity('FP32')), await load(anyLength()), await load(identity('BYTES'))];
    const datatype = fc.constantFrom(...NUMERIC, 'BYTES' as const);
    const shape = fc.array(fc.nat({ max: 4 }), { maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...models),
        datatype,
        shape,
        fc.string(),
        async (sessions, type, sizes, name) => {
          const count = elementCount(sizes);
          const data = new Uint8Array(count * (type === 'BYTES' ? 4 : ELEMENT_BYTES[type]));
          const tensor: Tensor = { name: name.length > 3 ? name : 'x', datatype: type, shape: sizes, data };
          try {
            await run(sessions, [tensor]);
          } catch (error) {
            expect(error).toBeInstanceOf(Error);
          }
        },
      ),
      { numRuns: 2000 },
    );
  });
});

/** V8's, which has no other door while it runs. */
setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** More with SPONGE_LEAK_RUNS: a million take minutes. */
const LEAK_RUNS = Number(process.env['SPONGE_LEAK_RUNS'] ?? 16_000);
const LEAK_ROUNDS = 8;

async function residentBytes(): Promise<number> {
  collectGarbage();
  await nextTask();
  return process.memoryUsage.rss();
}
