import type { ModelSignature, Tensor, TensorSpec } from '../../scheduler/domain/tensor.js';
import type { ModelStanding, StepAdapter, TrialRoom } from '../pipelines/step-adapter.js';
import { lengthsApart, paddedLength, stepOf } from './lengths.js';
import { rolesOf, type InputRole, type ModelRoles } from './model-roles.js';
import { paddingTrial } from './padding-trial.js';
import { floatsOf, normalize, pooled, sigmoid } from './pooling.js';
import type { TextDescription } from './text-settings.js';

/*
 * What stands between the tokens of a text and its model: they are padded to one of a few lengths, and what the model gives for each token
 * becomes one vector as soon as it is there, so that nothing larger is held until the request's last text is done. That is done by the
 * router's thread: handing what is pooled to another thread would copy it, which takes as long as pooling it.
 */

/** Names in the pipeline. */
export const IDS = 'ids';
export const TYPES = 'types';
export const EMBEDDING = 'embedding';
export const SCORE = 'score';

/** What a model is padded to while it is tried out. */
const TRIED_LENGTHS = [16, 24, 32, 48, 64, 96, 128];
/** For so many texts the lengths stay what they are: each time that they change, other texts share batches. */
const TEXTS_A_LADDER = 1024;

interface Ladder {
  readonly lengths: readonly number[];
  textsLeft: number;
}

export class TextStep implements StepAdapter {
  readonly #description: TextDescription;
  readonly #ladders = new WeakMap<ModelStanding, Ladder>();
  readonly #roles = new WeakMap<ModelSignature, ModelRoles>();

  constructor(description: TextDescription) {
    this.#description = description;
  }

  signatureOf(model: ModelSignature): ModelSignature {
    const { output } = this.#rolesOf(model);
    const tokens = (name: string): TensorSpec => ({ name, datatype: 'INT32', shape: [1, -1] });
    const made: TensorSpec =
      output.kind === 'score'
        ? { name: SCORE, datatype: 'FP32', shape: [1] }
        : { name: EMBEDDING, datatype: 'FP32', shape: [1, output.dimension] };
    return { inputs: [tokens(IDS), tokens(TYPES)], outputs: [made] };
  }

  outputsOf(model: ModelSignature): readonly string[] {
    return [this.#rolesOf(model).output.name];
  }

  toModel(model: ModelSignature, inputs: readonly Tensor[], standing: ModelStanding): readonly Tensor[] {
    const tokens = inputs.find(({ name }) => name === IDS)!.shape[1]!;
    const { fixedTokens } = this.#rolesOf(model);
    const length = standing.trialPassed ? paddedLength(tokens, this.#lengthsFor(model, standing)) : tokens;
    return this.#padded(model, inputs, fixedTokens ?? length);
  }

  fromModel(model: ModelSignature, inputs: readonly Tensor[], outputs: readonly Tensor[]): ReadonlyMap<string, Tensor> {
    const { pooling, isNormalized, activation } = this.#description;
    const roles = this.#rolesOf(model);
    const output = outputs.find(({ name }) => name === roles.output.name)!;
    if (roles.output.kind === 'score') {
      const score = floatsOf(output)[0]!;
      return new Map([
        [SCORE, tensorOf(SCORE, [1], Float32Array.of(activation === 'sigmoid' ? sigmoid(score) : score))],
      ]);
    }
    const vector =
      roles.output.kind === 'vector'
        ? floatsOf(output).slice()
        : pooled(output, maskIn(roles, inputs, output), pooling);
    if (isNormalized) normalize(vector);
    return new Map([[EMBEDDING, tensorOf(EMBEDDING, [1, vector.length], vector)]]);
  }

  tryOut(model: ModelSignature, room: TrialRoom): ReturnType<StepAdapter['tryOut']> {
    const { fixedTokens } = this.#rolesOf(model);
    const { lengths } = this.#description;
    if (fixedTokens !== null || lengths?.length === 0) return Promise.resolve({ passed: false, notice: null });
    const { task, maxTokens } = this.#description;
    return paddingTrial({
      ...{ isPair: task === 'rerank', lengths: lengths ?? TRIED_LENGTHS, maxTokens, room },
      padded: (inputs, length) => this.#padded(model, inputs, length),
    });
  }

  #lengthsFor(model: ModelSignature, standing: ModelStanding): readonly number[] {
    const { lengths, maxTokens } = this.#description;
    if (lengths !== null) return lengths;
    const known = this.#ladders.get(standing);
    if (known !== undefined && known.textsLeft > 0) {
      known.textsLeft -= 1;
      return known.lengths;
    }
    const { inputs } = this.#rolesOf(model);
    const latencyMs = (tokens: number): number | null =>
      standing.predictedMs(inputs.map(({ spec: { name, datatype } }) => ({ name, datatype, shape: [1, tokens] })));
    const made = { lengths: lengthsApart(stepOf(latencyMs, maxTokens), maxTokens), textsLeft: TEXTS_A_LADDER };
    this.#ladders.set(standing, made);
    return made.lengths;
  }

  #rolesOf(model: ModelSignature): ModelRoles {
    let roles = this.#roles.get(model);
    if (roles === undefined) this.#roles.set(model, (roles = rolesOf(model, this.#description)));
    return roles;
  }

  #padded(model: ModelSignature, inputs: readonly Tensor[], length: number): readonly Tensor[] {
    const { padId } = this.#description;
    const [ids, types] = [IDS, TYPES].map((name) => wholeNumbers(inputs.find((each) => each.name === name)!));
    const values = (role: InputRole): ((token: number) => number) => {
      switch (role) {
        case 'ids':
          return (token) => ids![token] ?? padId;
        case 'mask':
          return (token) => (token < ids!.length ? 1 : 0);
        case 'types':
          return (token) => types![token] ?? 0;
        case 'positions':
          return (token) => token;
      }
    };
    return this.#rolesOf(model).inputs.map(({ spec, role }) => filled(spec, length, values(role)));
  }
}

function filled({ name, datatype }: TensorSpec, length: number, valueOf: (token: number) => number): Tensor {
  const isLong = datatype === 'INT64';
  const words = new Int32Array(isLong ? 2 * length : length);
  // Little-endian, and none is negative: the high half of each stays 0.
  for (let token = 0; token < length; token++) words[isLong ? 2 * token : token] = valueOf(token);
  return { name, datatype: isLong ? 'INT64' : 'INT32', shape: [1, length], data: new Uint8Array(words.buffer) };
}

/** Of each token of what the model ran, 1 where it is the text's own. */
function maskIn({ inputs: specs }: ModelRoles, inputs: readonly Tensor[], output: Tensor): ArrayLike<number> {
  const own = specs.find(({ role }) => role === 'mask');
  const mask = own === undefined ? undefined : inputs.find(({ name }) => name === own.spec.name);
  // What takes no mask is never padded: its trial does not pass.
  return mask === undefined ? new Uint8Array(output.shape[1] ?? 0).fill(1) : wholeNumbers(mask);
}

/** Of INT32, or the low halves of INT64. */
function wholeNumbers({ datatype, shape, data }: Tensor): Int32Array {
  const isLong = datatype === 'INT64';
  const count = shape[1]!;
  const bytes = data.byteOffset % 4 === 0 ? data : new Uint8Array(data);
  const words = new Int32Array(bytes.buffer, bytes.byteOffset, isLong ? 2 * count : count);
  return isLong ? Int32Array.from({ length: count }, (_, i) => words[2 * i]!) : words;
}

function tensorOf(name: string, shape: readonly number[], values: Float32Array): Tensor {
  return { name, datatype: 'FP32', shape, data: new Uint8Array(values.buffer, values.byteOffset, values.byteLength) };
}
