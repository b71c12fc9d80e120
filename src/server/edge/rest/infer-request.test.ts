import { describe, expect, it } from 'vitest';
import type { Tensor } from '../../../scheduler/domain/tensor.js';
import { Prng } from '../../../scheduler/random/prng.js';
import { OipFailure } from '../../../protocol/service.js';
import { encodeJsonData } from '../../../protocol/tensor-codec.js';
import { checkDatatype, checkShape } from '../../../protocol/tensor-layout.js';
import { decodeInferBody } from './infer-request.js';
import { outlineJson } from './json-outline.js';

/* Requests whose data are read from their bytes, beside the same with all of it `JSON.parse`d: same tensors, same refusals. */

type Answer = readonly { readonly name: string; readonly data: string }[] | string;

function answerOf(act: () => readonly Tensor[]): Answer {
  try {
    return act().map(({ name, datatype, shape, data }) => ({
      name: `${name} ${datatype} ${shape.join()}`,
      data: Buffer.from(data).toString('hex'),
    }));
  } catch (error) {
    if (error instanceof OipFailure && error.error.kind === 'invalid') return error.message;
    throw error;
  }
}

function read(body: Buffer): readonly Tensor[] {
  return decodeInferBody(body, null, outlineJson(body)).inputs;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** JSON, or else what it would be with quotes around bare NaN and infinities. */
function parseWithNonFinite(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    const token = /"(?:[^"\\]|\\[^])*"?|NaN|-?Infinity/g;
    return JSON.parse(text.replaceAll(token, (found) => (found.startsWith('"') ? found : `"${found}"`)));
  }
}

/** Every input has data; parameters and outputs are left to the other tests. */
function readByParsing(body: Buffer): readonly Tensor[] {
  let json: unknown;
  try {
    json = parseWithNonFinite(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(body));
  } catch (error) {
    const cause = error instanceof SyntaxError ? '' : ': it is not UTF-8';
    throw new OipFailure('invalid', `request body is not valid JSON${cause}`);
  }
  if (!isObject(json)) throw new OipFailure('invalid', 'request body must be a JSON object');
  if (!Array.isArray(json['inputs'])) throw new OipFailure('invalid', 'inputs must be an array');
  return json['inputs'].map((input: unknown) => {
    if (!isObject(input)) throw new OipFailure('invalid', 'every input must be an object');
    const { name } = input;
    if (typeof name !== 'string') throw new OipFailure('invalid', 'every input needs a name, a string');
    const datatype = checkDatatype(name, input['datatype']);
    const shape = checkShape(name, input['shape']);
    return { name, datatype, shape, data: encodeJsonData(name, datatype, shape, input['data']) };
  });
}

/** The one thing that is taken since it is read from its digits. */
const isLongNumber = (answer: Answer): boolean => typeof answer === 'string' && answer.includes('beyond ±(2^53 − 1)');

const REQUESTS = [
  '{"inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","data":[1.5,-0.25e1,0,"NaN"]}]}',
  '{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP32","data":[[NaN,-Infinity],[ Infinity ,-1]]},{"name":"NaN","shape":[1],"datatype":"BYTES","data":["-Infinity\\""]}]}',
  '{"inputs":[{"name":"x","shape":[2],"datatype":"FP64","data":[-Infinity,NaN]},{"name":"y","shape":[],"datatype":"FP64","data":Infinity}]}',
  '{"inputs":[{"name":"x","shape":[2,2],"datatype":"FP64","data":[[0.1,2e-7],[-0.0,123456789.123456789]]}]}',
  '{"inputs":[{"data":[ 1 ,\n2\t, 300 ],"name":"x","datatype":"INT32","shape":[3]}],"id":"a"}',
  '{"inputs":[{"name":"x","datatype":"UINT8","shape":[2,1,2],"data":[[[1,2]],[[3,255]]]},{"name":"y","datatype":"BOOL","shape":[2],"data":[true,false]}]}',
  '{"inputs":[{"name":"x","datatype":"INT64","shape":[4],"data":[1,-2,"9223372036854775807","-007"]}]}',
  '{"inputs":[{"name":"x","datatype":"UINT64","shape":[2],"data":[0,4503599627370496]}]}',
  '{"inputs":[{"name":"é]","datatype":"BYTES","shape":[3],"data":["a,]\\"[","\\u00e9",""]}]}',
  '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","data":[1,2],"data":[3,4]}]}',
  '{"inputs":[{"name":"x","shape":[2],"datatype":"FP32","d\\u0061ta":[1,2],"\\u0064\\u0061\\u0074\\u0061":[3,4]}]}',
  '{"inputs":[{"name":"x","shape":[9],"data":[1],"datatype":"FP32"}],"inputs":[{"name":"x","shape":[1],"datatype":"INT8","data":[-7]}]}',
  '{"inputs":[{"name":"x","shape":[],"datatype":"FP32","data":2.5},{"name":"y","shape":[],"datatype":"INT16","data":[3]}]}',
  '{"inputs":[{"name":"x","shape":[0,3],"datatype":"FP32","data":[]},{"name":"y","shape":[2,0],"datatype":"FP32","data":[[],[]]}]}',
  '{"id":"inputs","other":{"inputs":[{"data":[7,}]}',
  '{"a":[{"data":[0]}],"inputs":[{"more":{"data":[1]},"name":"data","shape":[1],"datatype":"FP32","data":[1]}]}',
];

const PIECES = [
  ...Array.from('0123456789.-+eE,[]{}":" \n\\tfnu'),
  '\u00e9',
  '"data":',
  '"inputs":[',
  '1e400',
  '[[',
  ']]',
  'true',
  'null',
  '"Infinity"',
  'NaN',
  '-',
  '\u0000',
  '\uffff',
];

const ELEMENTS = [
  ...[
    '0',
    '-0',
    '7',
    '1.5',
    '255',
    '256',
    '-129',
    '65536',
    '4294967296',
    '1e3',
    '1E-2',
    '0.1e1',
    '3.5e38',
    '1e400',
    '01',
  ],
  ...[
    '9007199254740993',
    '0.10000000149011612',
    '16777217.00000000000001',
    '"NaN"',
    'NaN',
    '-Infinity',
    '"7"',
    'true',
    'null',
    '[1]',
    '{}',
    '1,2',
  ],
];

const prng = new Prng(7);
const below = (limit: number): number => Math.floor(limit * prng.uniform());

function mutated(body: Buffer): Buffer {
  const at = below(body.length);
  const until = Math.min(body.length, at + 1 + below(below(8) === 0 ? 20 : 2));
  switch (below(10)) {
    case 0: // Left out.
      return Buffer.concat([body.subarray(0, at), body.subarray(until)]);
    case 1: // Twice.
      return Buffer.concat([body.subarray(0, until), body.subarray(at)]);
    case 2: // Something else.
      return Buffer.concat([body.subarray(0, at), Buffer.from(PIECES[below(PIECES.length)]!), body.subarray(until)]);
    case 3: // Any byte.
      return Buffer.concat([body.subarray(0, at), Buffer.of(below(256)), body.subarray(at + 1)]);
    case 4: // Something more.
      return Buffer.concat([body.subarray(0, at), Buffer.from(PIECES[below(PIECES.length)]!), body.subarray(at)]);
    default: {
      // Another number or element, which mostly is JSON still.
      const places = [...body.toString('latin1').matchAll(/[-\d.eE]+|true|false|"(?=[,\]])/g)];
      const { index, 0: found } = places[below(places.length)] ?? { index: 0, 0: '' };
      const element = Buffer.from(ELEMENTS[below(ELEMENTS.length)]!);
      return Buffer.concat([body.subarray(0, index), element, body.subarray(index + found.length)]);
    }
  }
}

describe('a request in JSON', () => {
  it('is read as JSON.parse reads it, and refused with the same words, whatever is broken in it', () => {
    const counts = { taken: 0, noJson: 0, otherwise: 0 };
    for (let round = 0; round < 40_000; round++) {
      let body: Buffer = Buffer.from(REQUESTS[below(REQUESTS.length)]!);
      for (let count = below(4) === 0 ? 1 : 0; count >= 0; count--) body = mutated(body);
      const expected = answerOf(() => readByParsing(body));
      const got = answerOf(() => read(body));
      if (typeof expected !== 'string') counts.taken += 1;
      else if (expected.includes('not valid JSON')) counts.noJson += 1;
      else counts.otherwise += 1;
      // `expect` takes longer than what it compares.
      if (JSON.stringify(got) === JSON.stringify(expected) || isLongNumber(expected)) continue;
      expect(got, body.toString()).toEqual(expected);
    }
    expect(Math.min(...Object.values(counts)), JSON.stringify(counts)).toBeGreaterThan(3000);
  });

  it.each(REQUESTS)('is read as it was sent: %s', (text) => {
    const body = Buffer.from(text);
    expect(answerOf(() => read(body))).toEqual(answerOf(() => readByParsing(body)));
  });

  it('may have more numbers than are gathered at a time, in rows of any length', () => {
    for (const shape of [[5000], [5000, 1], [7, 700], [2, 3, 1024], [1, 1025]]) {
      const count = shape.reduce((product, size) => product * size, 1);
      const values = Array.from({ length: count }, (_, index) => index / 7);
      for (const datatype of ['FP32', 'INT64', 'BOOL']) {
        const flat = values.map((value) =>
          datatype === 'BOOL' ? value % 2 > 1 : datatype === 'INT64' ? Math.ceil(value) : value,
        );
        for (const data of [flat, nested(flat, shape)]) {
          const body = Buffer.from(JSON.stringify({ inputs: [{ name: 'x', shape, datatype, data }] }));
          expect(answerOf(() => read(body))).toEqual(answerOf(() => readByParsing(body)));
        }
      }
    }
  });

  it('is refused by its first wrong element, though a double could not hold those before', () => {
    const body = Buffer.from(
      '{"inputs":[{"name":"x","shape":[2,2],"datatype":"INT64","data":[[9007199254740993,1],[2,"x"]]}]}',
    );
    expect(() => read(body)).toThrow(`tensor 'x': INT64 element 3: expected an integer`);
  });

  it('is not read at all where its shape claims more than it has', () => {
    const body = Buffer.from('{"inputs":[{"name":"x","shape":[4000000,1000000],"datatype":"FP64","data":[1]}]}');
    expect(() => read(body)).toThrow('takes 4000000000000 elements, got 1');
  });
});

function nested(flat: readonly unknown[], shape: readonly number[]): unknown {
  if (shape.length <= 1) return flat;
  const [size, ...rest] = shape;
  const step = flat.length / size!;
  return Array.from({ length: size! }, (_, index) => nested(flat.slice(index * step, (index + 1) * step), rest));
}

describe('a tensor behind the JSON', () => {
  it('is a part of the body, and copied by whoever keeps it with `slice`', () => {
    const json = JSON.stringify({
      inputs: [{ name: 'x', shape: [4], datatype: 'UINT8', parameters: { binary_data_size: 4 } }],
    });
    const body = Buffer.from(`${json}abcd`);
    const [tensor] = decodeInferBody(body, json.length, outlineJson(body.subarray(0, json.length))).inputs;
    const kept = tensor!.data.slice();
    body.fill('-', json.length);
    expect([tensor!.data, kept].map((data) => Buffer.from(data).toString())).toEqual(['----', 'abcd']);
  });
});
