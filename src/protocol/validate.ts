/*
 * A call against the model's declared inputs and outputs. After `checkInputs` the tensors are the model's inputs, each
 * once, with the declared datatype and a shape that the declaration allows; those that the model has values for may be
 * missing, and indices into a table of the model's are of its rows. An open axis may have any size, 0 too: what an
 * operator cannot do with it, the model says.
 */
import { fitsDeclared, requiredInputs, shapeText, type Tensor, type TensorSpec } from '../scheduler/domain/tensor.js';
import { firstOutside } from './table-index.js';
import { invalid, OipFailure } from './service.js';
import type { ModelEntry } from './service.js';

/**
 * @throws OipFailure `invalid` naming the first input that is wrong, what was expected and what came; `unavailable`
 * while the model has never been loaded
 */
export function checkInputs(model: ModelEntry, tensors: readonly Tensor[]): void {
  const signature = signatureOf(model);
  const declared = signature.inputs;
  for (const [index, tensor] of tensors.entries()) {
    const spec = declared.find((candidate) => candidate.name === tensor.name);
    if (spec === undefined) {
      throw invalid(`unknown input '${tensor.name}'; model '${model.name}' has ${listNames(declared)}`);
    }
    if (tensors.findIndex((candidate) => candidate.name === tensor.name) !== index) {
      throw invalid(`input '${tensor.name}' was sent twice`);
    }
    checkAgainstSpec(spec, tensor);
  }
  const required = requiredInputs(signature);
  const missing = required.filter((spec) => tensors.every((tensor) => tensor.name !== spec.name));
  if (missing.length > 0) throw invalid(`missing input ${listNames(missing)}`);
  if (model.maxBatchSize > 0) {
    const batched = tensors.filter((tensor) => required.some((spec) => spec.name === tensor.name));
    checkBatchAxis(model, batched);
  }
}

/** @throws OipFailure `invalid` when a requested output is unknown or named twice */
export function checkOutputNames(model: ModelEntry, outputNames: readonly string[]): void {
  const declared = signatureOf(model).outputs;
  for (const [index, name] of outputNames.entries()) {
    if (declared.every((spec) => spec.name !== name)) {
      throw invalid(`unknown output '${name}'; model '${model.name}' has ${listNames(declared)}`);
    }
    if (outputNames.indexOf(name) !== index) throw invalid(`output '${name}' was requested twice`);
  }
}

/**
 * Checks a call against the model that gets it, which may not be the one that it was sent for.
 * @param check throws `OipFailure` where the call is wrong
 * @throws OipFailure of the same kind, which says so where the model has been replaced by one with other inputs or outputs
 */
export function checkStill(before: ModelEntry, now: ModelEntry, check: () => void): void {
  try {
    check();
  } catch (error) {
    const isReplaced = now.signature !== null && before.signature !== now.signature;
    if (!(error instanceof OipFailure) || !isReplaced) throw error;
    const { kind, message } = error.error;
    throw new OipFailure(kind, `version ${now.version} has taken the model's place since the request came: ${message}`);
  }
}

function signatureOf(model: ModelEntry): NonNullable<ModelEntry['signature']> {
  if (model.signature === null) {
    const cause = model.stateReason === '' ? '' : `: ${model.stateReason}`;
    throw new OipFailure('unavailable', `model '${model.name}' is ${model.state}${cause}`);
  }
  return model.signature;
}

function checkAgainstSpec(spec: TensorSpec, tensor: Tensor): void {
  if (spec.datatype !== tensor.datatype || !fitsDeclared(spec, tensor.shape))
    throw invalid(
      `input '${tensor.name}': expected ${spec.datatype} ${shapeText(spec.shape)}, got ${tensor.datatype} ${shapeText(tensor.shape)}`,
    );
  const { table } = spec;
  const outside = table === undefined ? null : firstOutside(tensor, table);
  if (table === undefined || outside === null) return;
  const { value, position } = outside;
  throw invalid(
    `input '${tensor.name}': there is no ${value} (element ${position}), the model's table has ${table.rows} rows, 0 to ${table.rows - 1}`,
  );
}

/**
 * The first axis of every required input of a batchable model counts the same items: at most maxBatchSize of them where somebody
 * has said so. What exceeds our own default is no mistake of the client's: it runs alone.
 */
function checkBatchAxis(model: ModelEntry, tensors: readonly Tensor[]): void {
  const first = tensors[0];
  const itemCount = first?.shape[0];
  if (first === undefined || itemCount === undefined) return;
  if (model.takesLargerRequests !== true && itemCount > model.maxBatchSize) {
    throw invalid(
      `input '${first.name}': batch axis is ${itemCount}, model '${model.name}' takes at most ${model.maxBatchSize}`,
    );
  }
  const odd = tensors.find((tensor) => tensor.shape[0] !== itemCount);
  if (odd !== undefined) {
    throw invalid(
      `input '${odd.name}': batch axis is ${odd.shape[0] ?? 0}, that of input '${first.name}' is ${itemCount}`,
    );
  }
}

function listNames(specs: readonly TensorSpec[]): string {
  return specs.map((spec) => `'${spec.name}'`).join(', ');
}
