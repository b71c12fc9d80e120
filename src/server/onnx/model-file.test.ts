import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { ProtobufMessage } from './protobuf-writer.js';
import { GraphFile } from './model-file.js';

const folder = mkdtempSync(join(tmpdir(), 'sponge-model-file-'));
afterAll(() => rmSync(folder, { recursive: true }));

// Field numbers of onnx.proto, of what is written here.
const FIELD = { graph: 7, node: 1, initializer: 5, operator: 4, attribute: 5, tensor: 5, bodyGraph: 6, name: 1 };

/** A tensor whose bytes are in a file of that name beside the model's. */
function external(location: string): ProtobufMessage {
  const entry = new ProtobufMessage().text(1, 'location').text(2, location);
  return new ProtobufMessage().integer(1, 1).integer(2, 1).text(8, 'w').message(13, entry).integer(14, 1);
}

function attribute(name: string, field: number, value: ProtobufMessage): ProtobufMessage {
  return new ProtobufMessage().text(FIELD.name, name).message(field, value);
}

function node(operator: string, value: ProtobufMessage): ProtobufMessage {
  return new ProtobufMessage().text(FIELD.operator, operator).message(FIELD.attribute, value);
}

function constant(location: string): ProtobufMessage {
  return node('Constant', attribute('value', FIELD.tensor, external(location)));
}

function written(name: string, graph: ProtobufMessage): string {
  const path = join(folder, name);
  writeFileSync(path, new ProtobufMessage().message(FIELD.graph, graph).toBytes());
  return path;
}

describe('a file with a graph', () => {
  it('finds weights outside the file wherever a graph has them: its own, constants, bodies, and bodies of bodies', () => {
    const inner = new ProtobufMessage()
      .message(FIELD.initializer, external('inner.bin'))
      .message(FIELD.node, constant('inner-constant.bin'));
    const body = new ProtobufMessage()
      .message(FIELD.initializer, external('body.bin'))
      .message(FIELD.node, node('If', attribute('then_branch', FIELD.bodyGraph, inner)));
    const graph = new ProtobufMessage()
      .message(FIELD.node, constant('constant.bin'))
      .message(FIELD.node, node('Loop', attribute('body', FIELD.bodyGraph, body)))
      .message(FIELD.initializer, external('top.bin'))
      .message(FIELD.initializer, external('top.bin'));
    const names = ['top.bin', 'constant.bin', 'body.bin', 'inner.bin', 'inner-constant.bin'];
    expect(new GraphFile(written('model.onnx', graph)).weightsPaths).toEqual(names.map((name) => join(folder, name)));
  });

  it('does not look for weights outside its folder', () => {
    const graph = ['/etc/w.bin', '../w.bin', 'a/../../w.bin', 'a/w.bin', 'b..bin'].reduce(
      (each, location) => each.message(FIELD.node, constant(location)),
      new ProtobufMessage(),
    );
    expect(new GraphFile(written('roaming.onnx', graph)).weightsPaths).toEqual([
      join(folder, 'a/w.bin'),
      join(folder, 'b..bin'),
    ]);
  });

  it('says why where a file cannot be read, and does not throw: loading it will fail, and say more', () => {
    const absent = new GraphFile(join(folder, 'absent.onnx'));
    expect(absent.weightsPaths).toEqual([]);
    expect(absent.report().batching).toMatchObject({
      kind: 'unknown',
      reason: expect.stringContaining('ENOENT') as string,
    });
    const path = join(folder, 'torn.onnx');
    writeFileSync(path, Buffer.alloc(100, 0x3a));
    expect(new GraphFile(path).report().batching).toMatchObject({ kind: 'unknown' });
  });
});
