import { readFile, stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import { z } from 'zod';
import { DATATYPES } from '../../scheduler/domain/tensor.js';
import type { PipelineStep } from '../../scheduler/pipeline/description.js';
import { graphOf } from '../../scheduler/pipeline/graph.js';
import { oneLine } from '../workers/load-failure.js';
import { schedulingOf } from './ensemble.js';
import type { FunctionOutput, PipelineSource, StepTarget } from './pipeline-source.js';

/*
 * `pipeline.yaml` in a folder of the repository makes a pipeline of it (docs/pipelines.md has the format). What it says by itself is checked
 * here, what it says of models when these are loaded.
 */

export const PIPELINE_FILE = 'pipeline.yaml';
const MAX_FILE_BYTES = 1024 * 1024;
const MOST_STEPS = 64;
/** Parts of one step, where nobody says otherwise: a page has some hundred lines. */
const DEFAULT_MAX_PARTS = 256;
const MOST_PARTS = 4096;

const name = z.string().regex(/^[\w.:/-]{1,128}$/, 'a name is of letters, digits and _ . : / -');
const shape = z.array(z.int().min(-1)).max(16);
const spec = z.strictObject({ datatype: z.enum(DATATYPES), shape });

const common = {
  name,
  inputs: z.record(name, z.union([name, z.array(name).min(1)])),
  for_each: z.union([name, z.array(name).min(1)]).optional(),
  when: name.optional(),
  on_failure: z.enum(['fail', 'leave_out']).default('fail'),
  max_parts: z.int().min(1).max(MOST_PARTS).default(DEFAULT_MAX_PARTS),
};

const modelStep = z.strictObject({
  ...common,
  model: name,
  version: z.union([z.string(), z.int()]).transform(String).optional(),
  outputs: z.record(name, name),
});

const functionStep = z.strictObject({
  ...common,
  function: z.string().min(1),
  outputs: z.record(name, spec.extend({ list: z.boolean().default(false), tensor: name.optional() })),
  time_limit_ms: z.number().positive().max(600_000).default(1000),
  memory_mib: z.int().min(16).max(65_536).default(256),
  threads: z.int().min(1).max(64).default(1),
});

const fileSchema = z.strictObject({
  slo_ms: z.number().positive().optional(),
  inputs: z.record(name, spec).refine((inputs) => Object.keys(inputs).length > 0, 'a pipeline has at least one input'),
  outputs: z.array(name).min(1),
  steps: z.array(z.looseObject({})).min(1).max(MOST_STEPS),
});

type ModelStep = z.infer<typeof modelStep>;
type FunctionStep = z.infer<typeof functionStep>;

/** Null where there is none. @throws Error of one line: what is wrong in it, and where */
export async function readPipeline(path: string): Promise<PipelineSource | null> {
  const info = await stat(path).catch(() => null);
  if (info?.isFile() !== true) return null;
  try {
    if (info.size > MAX_FILE_BYTES) throw new Error('it is larger than 1 MiB');
    const { parse } = await import('yaml');
    return pipelineIn(parse(await readFile(path, 'utf8')), dirname(path));
  } catch (error) {
    throw new Error(`${path}: ${oneLine(error)}`, { cause: error });
  }
}

/** @throws Error of one line */
export function pipelineIn(value: unknown, folder: string): PipelineSource {
  const file = parsed(fileSchema, value ?? {}, '');
  const steps = file.steps.map((step, index) => {
    const where = typeof step['name'] === 'string' ? `step '${step['name']}': ` : `step ${index + 1}: `;
    if ('model' in step && 'function' in step)
      throw new Error(`${where}it has a model and a function: one of them runs it`);
    if ('model' in step) return ofModel(parsed(modelStep, step, where));
    if ('function' in step) return ofFunction(parsed(functionStep, step, where), folder);
    throw new Error(`${where}it has neither a model nor a function: say which runs it`);
  });
  const description = {
    inputs: Object.keys(file.inputs),
    outputs: file.outputs,
    steps: steps.map(({ step }) => step),
  };
  graphOf(description);
  const targets = new Map(steps.map(({ step, target }) => [step.name, target]));
  return {
    ...{ description, targets },
    inputs: Object.entries(file.inputs).map(([input, declared]) => ({ name: input, ...declared })),
    outputs: [],
    defaultSloMs: file.slo_ms ?? null,
    scheduling: schedulingOf(description, targets),
  };
}

function parsed<Schema extends z.ZodType>(schema: Schema, value: unknown, where: string): z.infer<Schema> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0]!;
  throw new Error(`${where}${[...issue.path.map(String), issue.message].join(': ')}`);
}

interface Read {
  readonly step: PipelineStep;
  readonly target: StepTarget;
}

function ofModel({ model, version, outputs, ...rest }: ModelStep): Read {
  const made = Object.entries(outputs).map(([output, tensor]) => ({ name: output, tensor, isList: false }));
  return {
    step: { ...stepOf(rest), outputs: made, takesLists: false },
    target: { kind: 'model', model, ...(version === undefined ? {} : { version }) },
  };
}

function ofFunction(step: FunctionStep, folder: string): Read {
  const outputs: readonly FunctionOutput[] = Object.entries(step.outputs).map(
    ([output, { datatype, shape: sizes, list }]) => ({
      ...{ name: output, datatype, shape: sizes, isList: list },
    }),
  );
  return {
    step: {
      ...stepOf(step),
      takesLists: true,
      outputs: Object.entries(step.outputs).map(([output, { tensor, list }]) => ({
        ...{ name: output, tensor: tensor ?? output, isList: list },
      })),
    },
    target: {
      kind: 'function',
      file: resolve(folder, step.function),
      outputs,
      limits: { timeMs: step.time_limit_ms, memoryMib: step.memory_mib, threads: step.threads },
    },
  };
}

function stepOf(
  step: Pick<ModelStep, 'name' | 'inputs' | 'for_each' | 'when' | 'on_failure' | 'max_parts'>,
): Omit<PipelineStep, 'outputs' | 'takesLists'> {
  return {
    name: step.name,
    inputs: Object.entries(step.inputs).map(([input, from]) => ({ name: input, from: [from].flat() })),
    forEach: step.for_each === undefined ? [] : [step.for_each].flat(),
    when: step.when ?? null,
    onFailure: step.on_failure,
    maxParts: step.max_parts,
  };
}
