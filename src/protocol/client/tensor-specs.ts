import { DATATYPES, type Datatype, type TensorSpec } from '../../scheduler/domain/tensor.js';

/** A tensor as metadata describes it, over REST or gRPC. */
interface SpecFields {
  readonly name?: unknown;
  readonly datatype?: unknown;
  readonly shape?: unknown;
  /** REST's alone. */
  readonly parameters?: { readonly sponge_optional?: unknown; readonly sponge_any_rank?: unknown };
}

/** @param listed `inputs` or `outputs` of a model's metadata. @throws Error, one line, where that is no list of tensors */
export function tensorSpecs(model: string, listed: unknown): readonly TensorSpec[] {
  if (!Array.isArray(listed)) throw new Error(`${NO_METADATA}: model ${model} without inputs or outputs`);
  return listed.map(({ name, datatype, shape, parameters = {} }: SpecFields) => {
    if (typeof name !== 'string' || typeof datatype !== 'string' || !Array.isArray(shape)) {
      throw new Error(`${NO_METADATA}: model ${model}, a tensor without name, datatype or shape`);
    }
    if (!(DATATYPES as readonly string[]).includes(datatype)) {
      throw new Error(`model ${model}: ${name} has datatype ${datatype}, which is not one of the protocol`);
    }
    return {
      name,
      datatype: datatype as Datatype,
      // Some servers write 64-bit sizes as text.
      shape: parameters.sponge_any_rank === true ? null : shape.map(Number),
      isOptional: parameters.sponge_optional === true,
    };
  });
}

const NO_METADATA = 'what was answered is no metadata of the Open Inference Protocol';
