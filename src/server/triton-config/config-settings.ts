import type { JsonObject } from '@bufbuild/protobuf';
import { isVersion, type VersionPolicy } from '../models/versions.js';
import type { ReadConfig, StatedConfig, StatedTensor, StatedWarmup } from './stated-config.js';

/*
 * What a model's configuration says, in the words of this server. Pure; the model itself is not looked at.
 */

/** How a model is served, as far as its configuration says so; null: it does not. */
export interface ConfigSettings {
  readonly versionPolicy: VersionPolicy | null;
  /** Most rows in a batch; 0: requests share none. */
  readonly maxBatchSize: number | null;
  /** In the folder of a version, or of the model. */
  readonly modelFile: string | null;
  /** For requests that state no budget, ms. */
  readonly defaultSloMs: number | null;
  /** By output, in the model's folder. */
  readonly labelFiles: Readonly<Record<string, string>>;
  readonly served: ServedConfig;
}

/** What only a configuration can say. */
export interface ServedConfig {
  readonly tensors: StatedTensors;
  /** Warm instances, from 1 on. */
  readonly instances: number | null;
  /** Of ONNX Runtime, for each batch. */
  readonly threadCount: number | null;
  /** Requests held at a time. */
  readonly maxQueuedRequests: number | null;
  /** A request that states no budget is refused, or expires, by the default one. */
  readonly isDefaultSloBinding: boolean;
  readonly priorities: Priorities | null;
  readonly warmups: readonly StatedWarmup[];
  /** As it was said; clients that ask for the configuration get it. */
  readonly taken: JsonObject;
  /** Fields without effect. */
  readonly ignored: readonly string[];
}

/** Inputs and outputs as clients see them. */
export interface StatedTensors {
  /** Null where the configuration does not say whether sizes are without the batch axis: then the model does. */
  readonly isBatched: boolean | null;
  readonly inputs: readonly StatedTensor[];
  readonly outputs: readonly StatedTensor[];
}

/** A request's priority from 1 to `levels` counts; any other is `ordinary`. */
export interface Priorities {
  readonly levels: number;
  readonly ordinary: number;
}

/** Each is a thread, a CPU group and memory of its own. */
const MOST_INSTANCES = 64;
const MOST_THREADS = 64;
const US_PER_MS = 1000;
const BACKEND = 'onnxruntime';
const PLATFORM = 'onnxruntime_onnx';

/**
 * @param name of the model whose configuration it is
 * @throws Error of one line, with the remedy: it is another model's, or asks for what cannot be
 */
export function settingsOf({ stated, taken, ignored }: ReadConfig, name: string): ConfigSettings {
  checkKind(stated, name);
  const { default_queue_policy: queue } = stated.dynamic_batching ?? {};
  const timeoutUs = queue?.default_timeout_microseconds ?? 0;
  const labelled = stated.output.filter(({ label_filename: file = '' }) => file !== '');
  return {
    versionPolicy: versionPolicyOf(stated),
    maxBatchSize: stated.max_batch_size ?? null,
    modelFile: fileIn('default_model_filename', stated.default_model_filename ?? ''),
    defaultSloMs: timeoutUs > 0 ? timeoutUs / US_PER_MS : null,
    labelFiles: Object.fromEntries(
      labelled.map((output) => [
        output.name,
        fileIn(`output '${output.name}' label_filename`, output.label_filename!)!,
      ]),
    ),
    served: {
      tensors: {
        isBatched: stated.max_batch_size === undefined ? null : stated.max_batch_size > 0,
        inputs: distinct('input', stated.input),
        outputs: distinct('output', stated.output),
      },
      instances: instancesOf(stated),
      threadCount: threadCountOf(stated),
      maxQueuedRequests: positive(queue?.max_queue_size),
      isDefaultSloBinding: timeoutUs > 0 && queue?.timeout_action === 'REJECT',
      priorities: prioritiesOf(stated),
      warmups: stated.model_warmup,
      taken,
      ignored,
    },
  };
}

function checkKind({ name: stated = '', platform = '', backend = '' }: StatedConfig, name: string): void {
  if (stated !== '' && stated !== name) {
    throw new Error(
      `name is '${stated}', and the model is called '${name}': give its folder that name (or --model-name), or leave it out`,
    );
  }
  if (backend !== '' && backend !== BACKEND) {
    throw new Error(`backend '${backend}' is not here: models are ONNX files, backend: "${BACKEND}"`);
  }
  if (platform !== '' && platform !== PLATFORM) {
    throw new Error(`platform '${platform}' is not here: models are ONNX files, platform: "${PLATFORM}"`);
  }
}

function versionPolicyOf({ version_policy: policy }: StatedConfig): VersionPolicy | null {
  if (policy?.all !== undefined) return { kind: 'all' };
  if (policy?.latest !== undefined) {
    const count = policy.latest.num_versions;
    if (count < 1) throw new Error('version_policy latest: num_versions is at least 1');
    return { kind: 'latest', count };
  }
  if (policy?.specific === undefined) return null;
  const { versions } = policy.specific;
  if (versions.length === 0) throw new Error('version_policy specific: name at least one of versions');
  const wrong = versions.find((version) => !isVersion(version));
  if (wrong !== undefined) throw new Error(`version_policy specific: ${wrong} is no version, those are from 1 on`);
  return { kind: 'specific', versions };
}

function instancesOf({ instance_group: groups }: StatedConfig): number | null {
  if (groups.length === 0) return null;
  if (groups.some(({ kind }) => kind === 'KIND_GPU')) {
    throw new Error('instance_group: KIND_GPU cannot be had, models run on CPU: make it KIND_CPU, or KIND_AUTO');
  }
  const count = groups.reduce((sum, group) => sum + group.count, 0);
  if (count > MOST_INSTANCES) throw new Error(`instance_group: ${count} instances, at most ${MOST_INSTANCES} can be`);
  return count;
}

/** 0 leaves it open, as in Triton. */
function threadCountOf({ parameters }: StatedConfig): number | null {
  const text = parameters?.intra_op_thread_count?.string_value ?? '0';
  const count = Number(text);
  if (!/^\d{1,4}$/.test(text) || count > MOST_THREADS) {
    throw new Error(`parameters intra_op_thread_count: expected an integer from 0 to ${MOST_THREADS}, got '${text}'`);
  }
  return positive(count);
}

function prioritiesOf({ dynamic_batching: batching }: StatedConfig): Priorities | null {
  const levels = batching?.priority_levels ?? 0;
  const ordinary = batching?.default_priority_level ?? 0;
  if (levels === 0 && ordinary === 0) return null;
  if (ordinary < 1 || ordinary > levels) {
    throw new Error(
      `dynamic_batching: default_priority_level is from 1 to priority_levels, which is ${levels}; it is ${ordinary}`,
    );
  }
  return { levels, ordinary };
}

function distinct(kind: string, tensors: readonly StatedTensor[]): readonly StatedTensor[] {
  const twice = tensors.find(({ name }, index) => tensors.findIndex((each) => each.name === name) !== index);
  if (twice !== undefined) throw new Error(`${kind} '${twice.name}' is there twice`);
  return tensors;
}

/** A file of the model's folder; null for none. @throws Error of one line where it leads out of it */
function fileIn(field: string, file: string): string | null {
  if (file === '') return null;
  if (!isInside(file)) throw new Error(`${field}: '${file}' is no file in the model's folder`);
  return file;
}

/** Whether a path stays in the folder that it begins in. */
export function isInside(path: string): boolean {
  return !path.includes('\0') && path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}

function positive(value = 0): number | null {
  return value > 0 ? value : null;
}
