/*
 * A call against the model's declared inputs and outputs. After `checkInputs` the tensors are the model's inputs, each
 * once, with the declared datatype and a shape that the model takes.
 */
import { fitsDeclared, shapeText, type Tensor, type TensorSpec } from '../../domain/tensor.js';
import { OipFailure } from './service.js';
import type { ModelEntry } from './service.js';

/**
 * @throws OipFailure `invalid` naming the first input that is wrong, what was expected and what came; `unavailable`
 * while the model has never been loaded
 */
export function checkInputs(model: ModelEntry, tensors: readonly Tensor[]): void {
  const declared = signatureOf(model).inputs;
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
  if (tensors.length < declared.length) {
    const missing = declared.filter((spec) => tensors.every((tensor) => tensor.name !== spec.name));
    throw invalid(`missing input ${listNames(missing)}`);
  }
  if (model.maxBatchSize > 0) checkBatchAxis(model, tensors);
  for (const tensor of tensors) checkNotEmpty(declared, tensor);
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

function signatureOf(model: ModelEntry): NonNullable<ModelEntry['signature']> {
  if (model.signature === null) {
    const cause = model.stateReason === '' ? '' : `: ${model.stateReason}`;
    throw new OipFailure('unavailable', `model '${model.name}' is ${model.state}${cause}`);
  }
  return model.signature;
}

function checkAgainstSpec(spec: TensorSpec, tensor: Tensor): void {
  if (spec.datatype === tensor.datatype && fitsDeclared(spec, tensor.shape)) return;
  throw invalid(
    `input '${tensor.name}': expected ${spec.datatype} ${shapeText(spec.shape)}, got ${tensor.datatype} ${shapeText(tensor.shape)}`,
  );
}

/** An open axis may have any size but 0, on which operators fail within ONNX Runtime. */
function checkNotEmpty(declared: readonly TensorSpec[], tensor: Tensor): void {
  const spec = declared.find((candidate) => candidate.name === tensor.name);
  const axis = tensor.shape.findIndex((size, candidate) => size === 0 && spec?.shape?.[candidate] === -1);
  if (axis === -1) return;
  throw invalid(
    `input '${tensor.name}': axis ${axis} of [${tensor.shape.join(', ')}] is empty, sizes must be at least 1`,
  );
}

/**
 * The first axis of every input of a batchable model counts the same items: 1 … maxBatchSize of them where somebody has said so.
 * What exceeds our own default is no mistake of the client's: it runs alone.
 */
function checkBatchAxis(model: ModelEntry, tensors: readonly Tensor[]): void {
  const first = tensors[0];
  const itemCount = first?.shape[0];
  if (first === undefined || itemCount === undefined) return;
  if (itemCount < 1 || (model.takesLargerRequests !== true && itemCount > model.maxBatchSize)) {
    const takes = model.takesLargerRequests === true ? 'takes 1 or more' : `takes 1 to ${model.maxBatchSize}`;
    throw invalid(`input '${first.name}': batch axis is ${itemCount}, model '${model.name}' ${takes}`);
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

function invalid(message: string): OipFailure {
  return new OipFailure('invalid', message);
}
