import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { externalFiles } from './external-files.js';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'sponge-external-'));
});
afterEach(() => rm(folder, { recursive: true }));

type Field = readonly [field: number, value: Uint8Array | string | number];

function message(...fields: readonly Field[]): Uint8Array {
  const writer = new BinaryWriter();
  for (const [field, value] of fields) {
    if (typeof value === 'number') writer.tag(field, WireType.Varint).int64(value);
    else writer.tag(field, WireType.LengthDelimited).bytes(typeof value === 'string' ? Buffer.from(value) : value);
  }
  return writer.finish();
}

/** `TensorProto` with its data in a file; field numbers of onnx.proto. */
const tensor = (location: string): Uint8Array =>
  message(
    [1, 4],
    [8, 'w'],
    [13, message([1, 'location'], [2, location])],
    [13, message([1, 'offset'], [2, '0'])],
    [14, 1],
  );
const model = (...graph: readonly Field[]): Uint8Array =>
  message([1, 10], [7, message(...graph)], [8, message([2, 20])]);

async function found(bytes: Uint8Array): Promise<readonly string[]> {
  const path = join(folder, 'model.onnx');
  await writeFile(path, bytes);
  return externalFiles(path);
}

describe('files beside a model', () => {
  it('are those that its weights are in, each once', async () => {
    expect(
      await found(model([5, tensor('model.onnx_data')], [5, tensor('./parts/b')], [5, tensor('model.onnx_data')])),
    ).toEqual(['model.onnx_data', 'parts/b']);
  });

  it('are found in constants and in the bodies of control flow too', async () => {
    const constant = message([4, 'Constant'], [5, message([1, 'value'], [5, tensor('constant')])]);
    const body = message([5, tensor('inner')]);
    const loop = message([4, 'Loop'], [5, message([1, 'body'], [6, body])]);
    expect(await found(model([1, constant], [1, loop]))).toEqual(['constant', 'inner']);
  });

  it('are found behind weights that are larger than what is read at once', async () => {
    const inside = message([8, 'big'], [9, new Uint8Array(3_000_000).fill(0x6d)]);
    expect(await found(model([5, inside], [5, tensor('after')], [5, inside], [5, tensor('last')]))).toEqual([
      'after',
      'last',
    ]);
  });

  it('are none that lead out of its folder', async () => {
    const names = ['../up', '/etc/passwd', 'a/../../b', '..', '.', 'a/../c'];
    expect(await found(model(...names.map((name): Field => [5, tensor(name)])))).toEqual(['c']);
  });

  it.each<[string, Uint8Array]>([
    ['nothing', new Uint8Array()],
    ['noise', Uint8Array.from({ length: 5000 }, (_, i) => (i * 167) & 0xff)],
    ['a length beyond the end', Uint8Array.of(0x3a, 0xff, 0xff, 0xff, 0xff, 0x0f, 0x0a)],
    ['a number that never ends', new Uint8Array(64).fill(0xff)],
  ])('are none of %s', async (_, bytes) => {
    expect(await found(bytes)).toEqual([]);
  });
});
