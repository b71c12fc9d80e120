import { describe, expect, it } from 'vitest';
import { settingsOf, type ConfigSettings } from './config-settings.js';
import { configFromText } from './model-config.js';
import { statedIn } from './stated-config.js';

async function read(text: string, name = 'm'): Promise<ConfigSettings> {
  return settingsOf(statedIn(await configFromText(text)), name);
}

describe('what a configuration says', () => {
  it('is nothing where it is empty', async () => {
    expect(await read('')).toEqual({
      versionPolicy: null,
      maxBatchSize: null,
      modelFile: null,
      defaultSloMs: null,
      labelFiles: {},
      served: {
        tensors: { isBatched: null, inputs: [], outputs: [] },
        instances: null,
        threadCount: null,
        maxQueuedRequests: null,
        isDefaultSloBinding: false,
        priorities: null,
        warmups: [],
        taken: {},
        ignored: [],
      },
    });
  });

  it('is each of what means something here', async () => {
    const settings = await read(`
      name: "m" backend: "onnxruntime" platform: "onnxruntime_onnx" max_batch_size: 8
      default_model_filename: "net.onnx"
      version_policy { latest { num_versions: 2 } }
      output { name: "y" label_filename: "labels.txt" }
      dynamic_batching {
        priority_levels: 3 default_priority_level: 2
        default_queue_policy { default_timeout_microseconds: 250000 max_queue_size: 16 }
      }
      instance_group [ { kind: KIND_CPU count: 2 }, { kind: KIND_AUTO } ]
      parameters { key: "intra_op_thread_count" value { string_value: "2" } }
    `);
    expect(settings).toMatchObject({
      versionPolicy: { kind: 'latest', count: 2 },
      maxBatchSize: 8,
      modelFile: 'net.onnx',
      defaultSloMs: 250,
      labelFiles: { y: 'labels.txt' },
      served: {
        tensors: { isBatched: true },
        // 2 + 1, as a group without a count is one
        instances: 3,
        threadCount: 2,
        maxQueuedRequests: 16,
        isDefaultSloBinding: true,
        priorities: { levels: 3, ordinary: 2 },
        ignored: [],
      },
    });
  });

  it('is a budget that only orders, where a timeout is to delay', async () => {
    const queue = 'default_timeout_microseconds: 5000 timeout_action: DELAY';
    const settings = await read(`dynamic_batching { default_queue_policy { ${queue} } }`);
    expect([settings.defaultSloMs, settings.served.isDefaultSloBinding]).toEqual([5, false]);
  });

  it('is any version, of any length', async () => {
    expect((await read('version_policy { all {} }')).versionPolicy).toEqual({ kind: 'all' });
    expect((await read('version_policy { specific { versions: [1764400000000000001, 3] } }')).versionPolicy).toEqual({
      kind: 'specific',
      versions: ['1764400000000000001', '3'],
    });
  });

  it('names what has no effect, each once, and keeps it from what is told', async () => {
    const { served } = await read(`
      optimization { cuda { graphs: true } }
      dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 }
      instance_group [ { kind: KIND_CPU host_policy: "a" }, { kind: KIND_CPU host_policy: "b" } ]
      parameters { key: "inter_op_thread_count" value { string_value: "2" } }
      parameters { key: "intra_op_thread_count" value { string_value: "0" } }
      model_warmup { name: "w" count: 3 batch_size: 1 }
      input { name: "x" allow_ragged_batch: true }
      response_cache { enable: true }
    `);
    expect(served.ignored).toEqual([
      'dynamic_batching.max_queue_delay_microseconds',
      'dynamic_batching.preferred_batch_size',
      'input.allow_ragged_batch',
      'instance_group.host_policy',
      'model_warmup.count',
      'optimization',
      'parameters.inter_op_thread_count',
      'response_cache',
    ]);
    expect(served.taken).toEqual({
      dynamic_batching: {},
      instance_group: [{ kind: 'KIND_CPU' }, { kind: 'KIND_CPU' }],
      parameters: { intra_op_thread_count: { string_value: '0' } },
      model_warmup: [{ name: 'w', batch_size: 1 }],
      input: [{ name: 'x' }],
    });
    // 0 threads: as many as are useful.
    expect(served.threadCount).toBeNull();
  });

  it.each([
    ['name: "other"', "name is 'other', and the model is called 'm': give its folder that name"],
    ['backend: "python"', "backend 'python' is not here"],
    ['platform: "tensorrt_plan"', "platform 'tensorrt_plan' is not here"],
    ['sequence_batching {}', 'sequence_batching cannot be served: no state is kept'],
    ['ensemble_scheduling {}', 'ensemble_scheduling cannot be served'],
    ['batch_input { target_name: "x" }', 'batch_input cannot be served'],
    ['model_transaction_policy { decoupled: true }', 'model_transaction_policy.decoupled cannot be served'],
    ['instance_group { kind: KIND_GPU }', 'KIND_GPU cannot be had, models run on CPU: make it KIND_CPU'],
    ['instance_group { count: 65 }', '65 instances, at most 64'],
    ['instance_group { count: -1 }', 'instance_group 1 count'],
    ['max_batch_size: -1', 'max_batch_size: is 0, or the most rows'],
    ['input { dims: 3 }', 'input 1 name: is missing'],
    ['input { name: "x" dims: 0 }', "input 'x' dims 1: sizes are -1 or from 1 on"],
    ['input { name: "x" } input { name: "x" }', "input 'x' is there twice"],
    ['input { name: "x" data_type: 99 }', "input 'x' data_type"],
    ['version_policy { latest {} }', 'num_versions is at least 1'],
    ['version_policy { specific {} }', 'name at least one'],
    ['version_policy { specific { versions: 0 } }', '0 is no version'],
    ['dynamic_batching { priority_levels: 2 }', 'default_priority_level is from 1 to priority_levels, which is 2'],
    ['dynamic_batching { priority_levels: 2 default_priority_level: 3 }', 'it is 3'],
    ['default_model_filename: "../net.onnx"', "'../net.onnx' is no file in the model's folder"],
    ['output { name: "y" label_filename: "/etc/passwd" }', "output 'y' label_filename: '/etc/passwd' is no file"],
    ['parameters { key: "intra_op_thread_count" value { string_value: "two" } }', "from 0 to 64, got 'two'"],
  ])('is refused with the reason: %s', async (text, message) => {
    await expect(read(text)).rejects.toThrow(message);
  });
});
