import { cpSync, mkdirSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { decodeText, loadCharacters } from '../../../examples/ocr/decode.js';
import { LINE_SHAPE, prepareLine } from '../../../examples/ocr/image.js';
import { characterAccuracy, testLines, type TestLine } from '../../../examples/variants/test-lines.js';
import { identity } from '../../../research/load-models/tiny-graphs.js';
import { binaryOutputs, floatsOf, floatTensor, http, inferBinary, type Reply } from './clients.js';
import { TestBench, type RunningServer } from './harness.js';

/* Variants that are files and versions of one folder; and the example, whose variants read lines of text. */

const bench = new TestBench();
afterAll(() => bench.close());

const X = floatTensor('x', [1, 4], Float32Array.of(1, 2, 3, 4));
const variantOf = ({ json }: Reply): unknown => json.parameters?.['sponge_variant'];

describe('a server of variants in one folder', () => {
  const bytes = identity('FP32').toModel();
  const write = (name: string): string => {
    bench.file(
      `${name}/any/variants.yaml`,
      'variants:\n  - { file: small.onnx, accuracy: 1 }\n  - { version: 2, accuracy: 3 }\n  - { file: gone.onnx, accuracy: 4 }\n',
    );
    bench.file(`${name}/any/model.yaml`, 'max_batch_size: 2\n');
    bench.file(`${name}/any/small.onnx`, bytes);
    bench.file(`${name}/any/2/model.onnx`, bytes);
    return bench.path(name);
  };
  const index = async (server: RunningServer): Promise<readonly (readonly string[])[]> => {
    const { json } = await http(`${server.rest}/v2/repository/index`, { method: 'POST', body: {} });
    const entries = json as unknown as readonly { readonly name: string; readonly state: string }[];
    return entries.map(({ name, state }) => [name, state]).sort();
  };

  it('answers by them, lists each as a model of its own, and goes on without one whose file is not there', async () => {
    const server = await bench.serve(write('together'), ['--no-refine']);
    const reply = await inferBinary(server, 'any', [X], { sloMs: 60_000 });
    expect([reply.status, variantOf(reply)], reply.json.error).toEqual([200, '2']);
    const named = await inferBinary(server, 'any.small', [X], { sloMs: 60_000 });
    expect([named.status, named.json['model_name']]).toEqual([200, 'any.small']);
    expect(await index(server)).toEqual([
      ['any', 'READY'],
      ['any.2', 'READY'],
      ['any.gone', 'UNAVAILABLE'],
      ['any.small', 'READY'],
    ]);
    const ready = await http(`${server.rest}/v2/models/any/ready`);
    expect(ready.status).toBe(200);
    const metrics = (await http(server.metrics)).bytes.toString();
    expect(metrics).toMatch(/sponge_variant_answers_total\{[^}]*model="any"[^}]*variant="2"[^}]*\} 1/);
    await server.stop();
  });

  it('loads them with the model that is asked for, and unloads them with it', async () => {
    const server = await bench.serve(write('asked'), ['--no-refine', '--model-control', 'explicit']);
    const post = (path: string): Promise<Reply> =>
      http(`${server.rest}/v2/repository/models/${path}`, { method: 'POST', body: {} });
    // Who asks for it is told what is missing of it.
    const failed = await post('any/load');
    expect([failed.status, failed.json.error]).toEqual([400, expect.stringContaining("failed to load 'any.gone'")]);
    bench.file('asked/any/gone.onnx', bytes);
    expect((await post('any/load')).status).toBe(200);
    expect(variantOf(await inferBinary(server, 'any', [X], { sloMs: 60_000 }))).toBe('gone');
    expect((await post('any/unload')).status).toBe(200);
    expect((await index(server)).filter(([, state]) => state === 'READY')).toEqual([]);
    await server.stop();
  });
});

describe('the example of variants', () => {
  const EXAMPLE = join(import.meta.dirname, '../../../examples/variants');
  let server: RunningServer;
  let lines: readonly TestLine[];
  beforeAll(async () => {
    const folder = bench.path('example/lines');
    mkdirSync(folder, { recursive: true });
    for (const file of ['variants.yaml', 'model.yaml']) cpSync(join(EXAMPLE, 'models/lines', file), join(folder, file));
    execFileSync(process.execPath, ['--import', 'tsx', join(EXAMPLE, 'write-variants.ts'), folder]);
    lines = await testLines(24);
    server = await bench.serve(bench.path('example'), ['--no-refine']);
  });
  afterAll(() => server.stop());

  const characters = loadCharacters();
  const read = async (model: string, { picture }: TestLine): Promise<Reply & { readonly text: string }> => {
    const x = floatTensor('x', [...LINE_SHAPE], await prepareLine(picture));
    const reply = await inferBinary(server, model, [x], { sloMs: 60_000 });
    expect(reply.status, reply.json.error).toBe(200);
    const values = floatsOf(binaryOutputs(reply)[0]!);
    return { ...reply, text: decodeText(values, characters).text };
  };

  it('reads lines with each of its three variants, the wider ones better, and says which of them has read', async () => {
    const accuracyOf = async (model: string): Promise<number> => {
      const readings = [];
      for (const line of lines) readings.push({ text: line.text, answer: (await read(model, line)).text });
      return characterAccuracy(readings);
    };
    const full = await accuracyOf('lines.full');
    const threeQuarters = await accuracyOf('lines.three-quarters');
    const twoThirds = await accuracyOf('lines.two-thirds');
    expect(full).toBeGreaterThan(0.95);
    expect(threeQuarters).toBeGreaterThan(0.9);
    expect(twoThirds).toBeGreaterThan(0.8);
    expect(full).toBeGreaterThan(twoThirds);
    const reply = await read('lines', lines[0]!);
    expect(variantOf(reply)).toBe('full');
  });

  it('batches all of them: their graphs keep rows apart', () => {
    expect(server.banner.match(/batches of up to \d+; proven/g)).toHaveLength(3);
  });
});
