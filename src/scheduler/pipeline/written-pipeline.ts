import { z } from 'zod';
import { DATATYPES, type TensorSpec } from '../domain/tensor.js';
import type { PipelineDescription, PipelineStep } from './description.js';
import { graphOf } from './graph.js';
import type { FunctionOutput, StepTarget } from './step-target.js';

/*
 * What a `pipeline.yaml` says (docs/pipelines.md has the format), once it is no text any more. What it says by itself is checked here, what it
 * says of models when these are known.
 */

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

/** A pipeline and what runs its steps. */
export interface WrittenPipeline {
  readonly description: PipelineDescription;
  readonly inputs: readonly TensorSpec[];
  /** By the step's name. */
  readonly targets: ReadonlyMap<string, StepTarget>;
  /** For requests that state no budget; null: from its steps. */
  readonly defaultSloMs: number | null;
}

/** @throws Error of one line: what is wrong in it, and where */
export function writtenPipeline(value: unknown): WrittenPipeline {
  const file = parsed(fileSchema, value ?? {}, '');
  const steps = file.steps.map((step, index) => {
    const where = typeof step['name'] === 'string' ? `step '${step['name']}': ` : `step ${index + 1}: `;
    if ('model' in step && 'function' in step)
      throw new Error(`${where}it has a model and a function: one of them runs it`);
    if ('model' in step) return ofModel(parsed(modelStep, step, where));
    if ('function' in step) return ofFunction(parsed(functionStep, step, where));
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
    defaultSloMs: file.slo_ms ?? null,
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

function ofFunction(step: FunctionStep): Read {
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
      file: step.function,
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
