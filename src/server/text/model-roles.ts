import { requiredInputs, shapeText, type ModelSignature, type TensorSpec } from '../../scheduler/domain/tensor.js';
import type { TextDescription } from './text-settings.js';

/*
 * Which of a model's inputs and outputs is what, by their names and shapes as exporters write them. Pure.
 */

export type InputRole = 'ids' | 'mask' | 'types' | 'positions';

export interface ModelRoles {
  readonly inputs: readonly { readonly spec: TensorSpec; readonly role: InputRole }[];
  /** FP32: `tokens` of `[text, token, dimension]`, `vector` of `[text, dimension]`, `score` of `[text, 1]` or `[text]`. */
  readonly output: { readonly name: string; readonly kind: 'tokens' | 'vector' | 'score'; readonly dimension: number };
  /** Where the model takes texts of one length only. */
  readonly fixedTokens: number | null;
}

const WHOLE_TYPES = ['INT64', 'INT32'];
/** As exporters call an output that needs no pooling, and those that do. */
const VECTOR_NAMES = ['sentence_embedding', 'sentence_embeddings', 'embedding', 'embeddings', 'text_embeds'];
const TOKEN_NAMES = ['last_hidden_state', 'token_embeddings', 'hidden_states'];

/** @throws Error of one line where it is no model of text */
export function rolesOf(signature: ModelSignature, { task, output: stated, innerModule }: TextDescription): ModelRoles {
  const inputs = signature.inputs.flatMap((spec) => {
    const role = roleOf(spec);
    if (role !== null) return [{ spec, role }];
    if (spec.isOptional === true) return [];
    throw new Error(
      `its input '${spec.name}' ${spec.datatype} ${shapeText(spec.shape)} is none that text gives; with text: false in model.yaml it is served as a model of tensors`,
    );
  });
  const ids = requiredInputs(signature).find((spec) => roleOf(spec) === 'ids');
  if (ids === undefined) throw new Error('it has no input for token ids, such as input_ids');
  const length = ids.shape?.[1] ?? -1;
  const output = kindOf(outputOf(signature, task === 'rerank', stated), task === 'rerank');
  // Pooled here it would be without what comes behind the pooling.
  if (output.kind === 'tokens' && innerModule != null)
    throw new Error(
      `its output '${output.name}' is one of tokens, and modules.json has a ${innerModule} behind the pooling: name an output [text, dimension] that it is in (text: output)`,
    );
  return { inputs, output, fixedTokens: length > 0 ? length : null };
}

function roleOf({ name, datatype, shape }: TensorSpec): InputRole | null {
  if (!WHOLE_TYPES.includes(datatype) || (shape !== null && shape.length !== 2)) return null;
  const lower = name.toLowerCase();
  if (lower.includes('mask')) return 'mask';
  if (lower.includes('type') || lower.includes('segment')) return 'types';
  if (lower.includes('position')) return 'positions';
  return /ids|tokens|input/.test(lower) ? 'ids' : null;
}

function outputOf({ outputs }: ModelSignature, isScore: boolean, stated: string | null): TensorSpec {
  const named = (names: readonly string[], rank: number): TensorSpec | undefined =>
    names.map((name) => outputs.find((spec) => spec.name === name && rankOf(spec) === rank)).find(Boolean);
  const names = outputs.map(({ name, shape }) => `'${name}' ${shapeText(shape)}`).join(', ');
  const found =
    stated !== null
      ? outputs.find(({ name }) => name === stated)
      : isScore
        ? (outputs.find(({ name }) => name === 'logits') ?? outputs.find((spec) => rankOf(spec) <= 2))
        : (named(VECTOR_NAMES, 2) ??
          named(TOKEN_NAMES, 3) ??
          outputs.find((spec) => rankOf(spec) === 3) ??
          onlyVector(outputs));
  if (found === undefined)
    throw new Error(
      stated !== null
        ? `it has no output '${stated}' (text: output), it has ${names}`
        : `none of its outputs is ${isScore ? 'a score' : 'a vector'} of text, it has ${names}: name one in model.yaml (text: output)`,
    );
  if (found.datatype !== 'FP32') throw new Error(`its output '${found.name}' is ${found.datatype}, and FP32 is needed`);
  return found;
}

/** A score is no vector. */
function onlyVector(outputs: readonly TensorSpec[]): TensorSpec | undefined {
  const [only, ...others] = outputs;
  return others.length === 0 && only !== undefined && rankOf(only) === 2 && only.name !== 'logits' ? only : undefined;
}

function kindOf(spec: TensorSpec, isScore: boolean): ModelRoles['output'] {
  const { name, shape } = spec;
  const last = shape?.at(-1) ?? -1;
  if (isScore) {
    if (shape?.length === 2 && last !== 1 && last !== -1)
      throw new Error(`its output '${name}' has ${last} scores for each pair, and one is needed`);
    return { name, kind: 'score', dimension: 1 };
  }
  if (shape?.length === 3) return { name, kind: 'tokens', dimension: last };
  if (shape?.length === 2) return { name, kind: 'vector', dimension: last };
  throw new Error(
    `its output '${name}' ${shapeText(shape)} is no vector of text: [text, token, dimension] or [text, dimension]`,
  );
}

function rankOf({ shape }: TensorSpec): number {
  return shape?.length ?? 0;
}
