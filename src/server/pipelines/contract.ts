import { shapeText, type ModelSignature, type TensorSpec } from '../../scheduler/domain/tensor.js';
import type { GraphStep, PipelineGraph } from '../../scheduler/pipeline/graph.js';
import { oneLine } from '../workers/load-failure.js';
import type { PipelineSource, StepTarget } from './pipeline-source.js';

/*
 * What a pipeline takes and gives, and whether its steps fit together: names, types and shapes of every tensor against what models declare.
 */

/** @param signatureOf a model as it is served: what its clients see. @throws Error of one line: what does not fit, and where */
export function pipelineSignature(
  { inputs, outputs, targets }: PipelineSource,
  graph: PipelineGraph,
  signatureOf: (model: string, version?: string) => ModelSignature,
): ModelSignature {
  /** Of one part, for a list. */
  const specs = new Map<string, TensorSpec>(inputs.map((spec) => [spec.name, spec]));
  for (const step of graph.steps) {
    const target = targets.get(step.name)!;
    const made =
      target.kind === 'function'
        ? target.outputs
        : modelOutputs(step, target.model, adapted(target, signatureOf), specs, graph);
    for (const { name, tensor } of step.outputs)
      specs.set(tensor, { ...made.find((spec) => spec.name === name)!, name: tensor });
  }
  return {
    inputs,
    outputs: graph.outputs.map((name) => {
      const { datatype, shape } = specs.get(name)!;
      const own: TensorSpec = {
        name,
        datatype,
        shape: graph.lists.has(name) && shape !== null ? [-1, ...shape.slice(1)] : shape,
      };
      const stated = outputs.find((each) => each.name === name);
      if (stated === undefined) return own;
      assertFits(`output '${name}'`, own, stated, 'the configuration');
      return stated;
    }),
  };
}

/** The model as its step sees it. */
function adapted(
  { model, version, adapter }: Extract<StepTarget, { kind: 'model' }>,
  signatureOf: (model: string, version?: string) => ModelSignature,
): ModelSignature {
  const own = signatureOf(model, version);
  try {
    return adapter === undefined ? own : adapter.signatureOf(own);
  } catch (error) {
    throw new Error(`model '${model}': ${oneLine(error)}`, { cause: error });
  }
}

/** Checks what a model is given. @returns its outputs */
function modelOutputs(
  step: GraphStep,
  model: string,
  signature: ModelSignature,
  specs: ReadonlyMap<string, TensorSpec>,
  { lists }: PipelineGraph,
): readonly TensorSpec[] {
  const where = `step '${step.name}'`;
  for (const { name, from } of step.inputs) {
    const wanted = signature.inputs.find((spec) => spec.name === name);
    if (wanted === undefined)
      throw new Error(`${where}: model '${model}' has no input '${name}', it has ${quoted(signature.inputs)}`);
    for (const tensor of from) {
      const given = specs.get(tensor)!;
      const isDivided = step.forEach.includes(name) && !lists.has(tensor) && given.shape !== null;
      const part = isDivided ? { ...given, shape: [1, ...given.shape.slice(1)] } : given;
      assertFits(`${where}: '${tensor}'`, part, wanted, `input '${name}' of model '${model}'`);
    }
  }
  const missing = signature.inputs.find(
    ({ name, isOptional }) => isOptional !== true && step.inputs.every((input) => input.name !== name),
  );
  if (missing !== undefined) throw new Error(`${where}: nothing goes into input '${missing.name}' of model '${model}'`);
  const unknown = step.outputs.find(({ name }) => signature.outputs.every((spec) => spec.name !== name));
  if (unknown !== undefined)
    throw new Error(`${where}: model '${model}' has no output '${unknown.name}', it has ${quoted(signature.outputs)}`);
  return signature.outputs;
}

function assertFits(what: string, given: TensorSpec, wanted: TensorSpec, by: string): void {
  const isOfType = given.datatype === wanted.datatype;
  const isOfShape =
    given.shape === null ||
    wanted.shape === null ||
    (given.shape.length === wanted.shape.length &&
      given.shape.every((size, axis) => size === -1 || wanted.shape![axis] === -1 || size === wanted.shape![axis]));
  if (isOfType && isOfShape) return;
  throw new Error(
    `${what} is ${given.datatype} ${shapeText(given.shape)}, and ${by} is ${wanted.datatype} ${shapeText(wanted.shape)}`,
  );
}

function quoted(specs: readonly TensorSpec[]): string {
  return specs.map(({ name }) => `'${name}'`).join(', ');
}
