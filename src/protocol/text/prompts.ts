import { bytesElementOffsets, LENGTH_BYTES } from '../../scheduler/domain/bytes-elements.js';
import type { Tensor } from '../../scheduler/domain/tensor.js';
import { invalid, type InferCall } from '../service.js';
import type { TextModel } from './text-model.js';

/*
 * What a model was trained to see before a text ("query: "): put there for each text of a request, the same through every protocol. Pure.
 */

/** Of a request's parameters: which prompt; '' for none. */
const PROMPT_NAME = 'prompt_name';
const TEXT = 'text';

/** @throws OipFailure `invalid`: the model has no such prompt, or tokens are given, which have none */
export function withPrompt(call: InferCall, { prompts, task }: TextModel): InferCall {
  const stated = call.parameters[PROMPT_NAME];
  const areTokens = call.inputs.some(({ name }) => name === 'tokens');
  if (stated === undefined && (prompts.defaultName === null || areTokens)) return call;
  if (stated !== undefined && typeof stated !== 'string') throw invalid(`${PROMPT_NAME}: expected a string`);
  if (stated !== undefined && areTokens)
    throw invalid(`${PROMPT_NAME}: tokens are taken as they are; put those of the prompt before them`);
  const name = stated ?? prompts.defaultName!;
  const prompt = name === '' ? '' : Object.hasOwn(prompts.byName, name) ? prompts.byName[name]! : null;
  if (prompt === null || (task === 'rerank' && name !== '')) {
    const names = Object.keys(prompts.byName);
    const known = names.length === 0 || task === 'rerank' ? 'no prompts' : names.map((each) => `'${each}'`).join(', ');
    throw invalid(`${PROMPT_NAME}: model '${call.modelName}' has ${known}, and not '${name.slice(0, 64)}'`);
  }
  if (prompt === '') return call;
  const inputs = call.inputs.map((tensor) => (tensor.name === TEXT ? prefixed(tensor, prompt) : tensor));
  return { ...call, inputs };
}

/** @param tensor BYTES. @returns in memory of its own */
function prefixed(tensor: Tensor, prompt: string): Tensor {
  const before = Buffer.from(prompt);
  const { name, datatype, shape, data } = tensor;
  const count = shape.reduce((product, size) => product * size, 1);
  const offsets = bytesElementOffsets(data, count);
  const made = Buffer.alloc(data.byteLength + count * before.byteLength);
  let at = 0;
  for (let i = 0; i < count; i++) {
    const [from, to] = [offsets[i]! + LENGTH_BYTES, offsets[i + 1]!];
    at = made.writeUInt32LE(to - from + before.byteLength, at);
    at += before.copy(made, at);
    made.set(data.subarray(from, to), at);
    at += to - from;
  }
  return { name, datatype, shape, data: made };
}
