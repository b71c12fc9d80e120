import type { JsonObject } from '@bufbuild/protobuf';
import { z } from 'zod';
import type { PipelineDescription } from '../../scheduler/pipeline/description.js';
import { graphOf } from '../../scheduler/pipeline/graph.js';
import { DATATYPES, type Datatype, type TensorSpec } from '../../scheduler/domain/tensor.js';
import type { StepTarget } from '../../scheduler/pipeline/step-target.js';
import type { PipelineSource } from './pipeline-source.js';

/*
 * Triton's ensembles: `ensemble_scheduling` in a `config.pbtxt`, which are pipelines of models alone. Read from protobuf's JSON, as
 * `triton-config` reads it; and written as that for clients that ask for a pipeline's configuration.
 */

const long = z.union([z.string(), z.number()]).transform(Number);
const tensor = z.object({
  name: z.string().min(1),
  data_type: z.string().default('TYPE_INVALID'),
  dims: z.array(long).default([]),
});

const configSchema = z.object({
  name: z.string().default(''),
  max_batch_size: z.int().default(0),
  input: z.array(tensor).min(1, 'an ensemble has at least one input'),
  output: z.array(tensor).min(1, 'an ensemble has at least one output'),
  ensemble_scheduling: z.object({
    step: z
      .array(
        z.object({
          model_name: z.string().min(1),
          model_version: long.optional(),
          input_map: z.record(z.string(), z.string()).default({}),
          output_map: z.record(z.string(), z.string()).default({}),
        }),
      )
      .min(1, 'an ensemble has at least one step'),
  }),
});

/** @throws Error of one line: what is wrong in it, or cannot be had */
export function ensembleIn(config: JsonObject, name: string): PipelineSource {
  const result = configSchema.safeParse(config);
  if (!result.success) {
    const issue = result.error.issues[0]!;
    throw new Error([...issue.path.map(String), issue.message].join(': '));
  }
  const { name: stated, max_batch_size: maxBatch, input, output, ensemble_scheduling: scheduling } = result.data;
  if (stated !== '' && stated !== name)
    throw new Error(`name is '${stated}', and the folder is called '${name}': give it that name, or leave it out`);
  const isBatched = maxBatch > 0;
  const targets = new Map<string, StepTarget>();
  const steps = scheduling.step.map(
    ({ model_name: model, model_version: version = -1, input_map, output_map }, index) => {
      const step =
        scheduling.step.findIndex((each) => each.model_name === model) === index ? model : `${model} (${index + 1})`;
      targets.set(step, { kind: 'model', model, ...(version >= 1 ? { version: String(version) } : {}) });
      return {
        ...{ name: step, forEach: [], when: null, onFailure: 'fail' as const, maxParts: 1, takesLists: false },
        inputs: Object.entries(input_map).map(([own, from]) => ({ name: own, from: [from] })),
        outputs: Object.entries(output_map).map(([own, made]) => ({ name: own, tensor: made, isList: false })),
      };
    },
  );
  const description = { inputs: input.map((each) => each.name), outputs: output.map((each) => each.name), steps };
  graphOf(description);
  return {
    ...{ description, targets, defaultSloMs: null },
    inputs: input.map((each) => specOf('input', each, isBatched)),
    outputs: output.map((each) => specOf('output', each, isBatched)),
    scheduling: schedulingOf(description, targets),
  };
}

function specOf(
  kind: string,
  { name, data_type: stated, dims }: z.infer<typeof tensor>,
  isBatched: boolean,
): TensorSpec {
  const text = stated === 'TYPE_STRING' ? 'BYTES' : stated.replace(/^TYPE_/, '');
  const datatype: Datatype | undefined = DATATYPES.find((each) => each === text);
  if (datatype === undefined) throw new Error(`${kind} '${name}': data_type is ${stated}, which is no element type`);
  return { name, datatype, shape: isBatched ? [-1, ...dims] : dims };
}

/** As Triton's `ensemble_scheduling`; a step that a function runs is there by its own name. */
export function schedulingOf({ steps }: PipelineDescription, targets: ReadonlyMap<string, StepTarget>): JsonObject {
  return {
    step: steps.map(({ name, inputs, outputs }) => {
      const target = targets.get(name)!;
      return {
        model_name: target.kind === 'model' ? target.model : name,
        model_version: target.kind === 'model' ? (target.version ?? '-1') : '-1',
        input_map: Object.fromEntries(inputs.map((input) => [input.name, input.from[0]!])),
        output_map: Object.fromEntries(outputs.map((output) => [output.name, output.tensor])),
      };
    }),
  };
}
