import type { JsonObject } from '@bufbuild/protobuf';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { configAsBytes, configAsRest, configFromJson, configFromText } from './model-config.js';

/** In every way of writing that such files use. */
const DENSENET = `
# A comment; "with quotes"
name: "dense" 'net'   # two strings are one
platform: "onnxruntime_onnx";
max_batch_size : 0
input [
  {
    name: "data_0", data_type: TYPE_FP32; format: FORMAT_NCHW
    dims: [ 3, 224, -1 ]
    reshape { shape: [ 1, 3, 224, -1 ] }
  }
]
output { name: "fc6_1" data_type: TYPE_FP32 dims: 0x3e8 dims: 1 label_filename: "labels\\x2e\\164xt" },
output < name: "other" reshape: { shape: [ ] } >
parameters { key: "intra_op_thread_count" value: { string_value: "2" } }
parameters: { key: "other" value { string_value: "\\"\\303\\274\\n" } }
version_policy: { specific { versions: [1764400000000000001] } }
instance_group [ { count: 1 kind: KIND_CPU }, { kind: KIND_AUTO } ]
`;

async function errorOf(reading: Promise<unknown>): Promise<string> {
  return reading.then(
    () => '',
    (error: unknown) => (error as Error).message,
  );
}

describe('a configuration as text', () => {
  it('is read in every way of writing it', async () => {
    expect(await configFromText(DENSENET)).toEqual({
      name: 'densenet',
      platform: 'onnxruntime_onnx',
      max_batch_size: 0,
      input: [
        {
          name: 'data_0',
          data_type: 'TYPE_FP32',
          format: 'FORMAT_NCHW',
          dims: ['3', '224', '-1'],
          reshape: { shape: ['1', '3', '224', '-1'] },
        },
      ],
      output: [
        { name: 'fc6_1', data_type: 'TYPE_FP32', dims: ['1000', '1'], label_filename: 'labels.txt' },
        { name: 'other', reshape: {} },
      ],
      parameters: { intra_op_thread_count: { string_value: '2' }, other: { string_value: '"ü\n' } },
      version_policy: { specific: { versions: ['1764400000000000001'] } },
      instance_group: [{ count: 1, kind: 'KIND_CPU' }, {}],
    });
    expect(await configFromText('')).toEqual({});
    expect(await configFromText('\uFEFFname: "m"')).toEqual({ name: 'm' });
  });

  it.each([
    ['name: "m"\nnme: "m"\n', 'line 2: unknown field "nme" for ModelConfig'],
    ['name: "m"\nname: "n"', 'line 2: non-repeated field "name" is repeated'],
    ['\n\ninput { data_type: TYPE_FLOAT }\nname: "m"', 'line 3: unknown enum value "TYPE_FLOAT" for enum DataType'],
    ['name: 3', 'line 1: expected a string, got "3"'],
    ['max_batch_size: 99999999999', 'line 1: ModelConfig.max_batch_size: expected number'],
    ['input {\n name: "x"\n', 'line 1: unexpected end of input, expected "}"'],
    ['version_policy { latest {} all {} }', 'line 1: oneof "policy_choice" is already set'],
    ['name: "m', 'line 1: unterminated string'],
    ['input [ { name: "x" }\n { name: "y" } ]', 'line 2: expected "," or "]" in list'],
    ['name "m"', 'line 1: expected ":" before value of field "name"'],
    ['dynamic_batching { priority_queue_policy { key: -1 } }', 'line 1: '],
    ['input {'.repeat(10_000), 'line 1: unknown field "input" for ModelInput'],
  ])('says which line is wrong: %j', async (text, message) => {
    expect(await errorOf(configFromText(text))).toContain(message);
  });

  it('is the same when it was written by a program, whatever is in it', async () => {
    const { create, createFileRegistry, fromBinary, fromJson, toJson } = await import('@bufbuild/protobuf');
    const { FileDescriptorSetSchema } = await import('@bufbuild/protobuf/wkt');
    const { toText } = await import('@bufbuild/protobuf/txtpb');
    const { FILE_DESCRIPTOR_SET_BASE64 } = await import('../../protocol/grpc/generated/descriptor-set.js');
    const files = fromBinary(FileDescriptorSetSchema, Buffer.from(FILE_DESCRIPTOR_SET_BASE64, 'base64'));
    const schema = createFileRegistry(files).getMessage('inference.ModelConfig')!;
    expect(create(schema).$typeName).toBe('inference.ModelConfig');
    const text = fc.string({ unit: 'grapheme' });
    const size = fc.bigInt({ min: -1n, max: 2n ** 62n }).map(String);
    const tensor = fc.record({ name: text, dims: fc.array(size, { maxLength: 5 }) });
    const config = fc.record({
      name: text,
      max_batch_size: fc.nat(1000),
      input: fc.array(tensor, { maxLength: 3 }),
      parameters: fc.dictionary(text, fc.record({ string_value: text }), { maxKeys: 4 }),
      version_policy: fc.record({ specific: fc.record({ versions: fc.array(size, { maxLength: 3 }) }) }),
    });
    await fc.assert(
      fc.asyncProperty(config, async (json) => {
        const message = fromJson(schema, json);
        const expected = toJson(schema, message, { useProtoFieldName: true });
        expect(await configFromText(toText(schema, message))).toEqual(expected);
        expect(await configFromJson(JSON.stringify(json))).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('is read, or is an error of one line, whatever was done to it', async () => {
    const pieces = [
      '{',
      '}',
      '[',
      ']',
      '<',
      '>',
      '"',
      "'",
      '\\',
      '\n',
      '#',
      ':',
      ',',
      ';',
      '\0',
      '-',
      '.',
      '\uD800',
      '9',
    ];
    const edit = fc.record({
      at: fc.nat(DENSENET.length),
      cut: fc.nat(40),
      put: fc.oneof(fc.constantFrom(...pieces), fc.string({ unit: 'binary', maxLength: 8 })),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 6 }), async (edits) => {
        let text = DENSENET;
        for (const { at, cut, put } of edits) text = text.slice(0, at) + put + text.slice(at + cut);
        const message = await errorOf(configFromText(text));
        expect(message).toMatch(/^(?:|line \d+: .{1,310})$/u);
      }),
      { numRuns: 500 },
    );
  });
});

describe('a configuration as JSON', () => {
  it('is read with either spelling of its fields, as clients send it', async () => {
    const read = await configFromJson(
      '{"maxBatchSize": 4, "input": [{"name": "x", "dims": [3, "-1"]}], "parameters": {}}',
    );
    expect(read).toEqual({ max_batch_size: 4, input: [{ name: 'x', dims: ['3', '-1'] }] });
  });

  it.each([
    ['{', 'JSON'],
    ['[]', 'expected a JSON object'],
    ['{"nme": 1}', 'nme'],
    ['{"input": [{"data_type": "TYPE_FLOAT"}]}', 'TYPE_FLOAT'],
  ])('is an error of one line where it is wrong: %s', async (text, message) => {
    const told = await errorOf(configFromJson(text));
    expect(told).toContain(message);
    expect(told).not.toContain('\n');
  });
});

describe('a configuration that is told', () => {
  const CONFIG: JsonObject = {
    name: 'm',
    max_batch_size: 8,
    input: [{ name: 'x', data_type: 'TYPE_STRING', dims: ['-1'] }],
    version_policy: { specific: { versions: ['3', '1764400000000000001'] } },
    parameters: { dims: { string_value: '7' } },
  };

  it('has every field over REST, and numbers where they are exact', async () => {
    expect(await configAsRest(CONFIG)).toMatchObject({
      platform: '',
      max_batch_size: 8,
      input: [{ name: 'x', dims: [-1], format: 'FORMAT_NONE', optional: false }],
      output: [],
      version_policy: { specific: { versions: [3, '1764400000000000001'] } },
      parameters: { dims: { string_value: '7' } },
    });
  });

  it('is the bytes of its message over gRPC', async () => {
    // Field 1, a string of one character.
    expect(Buffer.from(await configAsBytes({ name: 'm' }))).toEqual(Buffer.from([0x0a, 1, 0x6d]));
  });
});
