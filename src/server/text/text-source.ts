import { fileURLToPath } from 'node:url';
import type { PipelineStep } from '../../scheduler/pipeline/description.js';
import type { TensorSpec } from '../../scheduler/domain/tensor.js';
import type { FunctionOutput } from '../../scheduler/pipeline/step-target.js';
import { schedulingOf } from '../pipelines/ensemble.js';
import type { PipelineSource, StepTarget } from '../pipelines/pipeline-source.js';
import { TOKENIZE } from './padding-trial.js';
import type { TextDescription } from './text-settings.js';
import { EMBEDDING, IDS, SCORE, TextStep, TYPES } from './text-step.js';
import type { TokenizeOptions } from './tokenize.js';

/*
 * A text model is a pipeline of two steps: a function that cuts each text into tokens, and the model, which runs once for each text, so that
 * texts share batches with those of all other requests, and all of a request's have one deadline.
 */

/** Of one request; what OpenAI takes at most. */
const MOST_TEXTS = 2048;
/** Of one text: some tens of milliseconds are what the longest takes. */
const MOST_TEXT_MS = 5000;
/** A vocabulary takes this many times its file. */
const BYTES_A_TOKENIZER_BYTE = 40;
const LEAST_MEMORY_MIB = 256;

/** As the model itself is called, whose tensors can be asked for too. */
export function tensorsName(name: string): string {
  return `${name}.tensors`;
}

/** @param version of the model */
export function textPipeline(
  name: string,
  version: string,
  text: TextDescription,
  defaultSloMs: number | null,
): PipelineSource {
  const isPair = text.task === 'rerank';
  const own = isPair ? 'documents' : 'text';
  const made = isPair ? SCORE : EMBEDDING;
  const common = { when: null, onFailure: 'fail' as const, maxParts: MOST_TEXTS, takesLists: false };
  const steps: readonly PipelineStep[] = [
    {
      ...{ name: TOKENIZE, forEach: ['text'], ...common },
      inputs: [
        // Of tokens that a client has made itself there is no text.
        { name: 'text', from: isPair ? [own] : ['tokens', own] },
        ...(isPair ? [{ name: 'query', from: ['query'] }] : []),
      ],
      outputs: TOKEN_OUTPUTS.map((output) => ({ name: output.name, tensor: output.name, isList: false })),
    },
    {
      ...{ name: text.task, forEach: [IDS, TYPES], ...common },
      inputs: [IDS, TYPES].map((tensor) => ({ name: tensor, from: [tensor] })),
      outputs: [{ name: made, tensor: made, isList: false }],
    },
  ];
  const inputs: readonly TensorSpec[] = isPair
    ? [textInput('query', [1]), textInput(own, [-1])]
    : [textInput(own, [-1]), tokensInput(text)];
  const description = {
    inputs: inputs.map((input) => input.name),
    outputs: [made, TOKEN_COUNT],
    steps,
  };
  const ownModel = tensorsName(name);
  const targets = new Map<string, StepTarget>([
    [TOKENIZE, tokenizeTarget(text, isPair)],
    [text.task, { kind: 'model', model: ownModel, version, adapter: new TextStep(text) }],
  ]);
  return {
    ...{ description, targets, inputs, outputs: [], defaultSloMs, ownModel },
    scheduling: schedulingOf(description, targets),
    text: {
      ...{ task: text.task, maxTokens: text.maxTokens, maxTexts: MOST_TEXTS, dimensions: text.dimensions },
      ...{ vocabularySize: text.vocabularySize, prompts: text.prompts },
    },
  };
}

const TOKEN_COUNT = 'token_count';

const TOKEN_OUTPUTS: readonly FunctionOutput[] = [
  { name: IDS, datatype: 'INT32', shape: [1, -1], isList: false },
  { name: TYPES, datatype: 'INT32', shape: [1, -1], isList: false },
  { name: TOKEN_COUNT, datatype: 'INT32', shape: [1], isList: false },
];

function textInput(name: string, shape: readonly number[]): TensorSpec {
  return { name, datatype: 'BYTES', shape };
}

/** Of a row with fewer tokens than the longest has the rest is −1. */
function tokensInput({ vocabularySize }: TextDescription): TensorSpec {
  const spec = { name: 'tokens', datatype: 'INT32', shape: [-1, -1], isOptional: true } as const;
  return vocabularySize === null ? spec : { ...spec, table: { least: -1, rows: vocabularySize } };
}

function tokenizeTarget(text: TextDescription, isPair: boolean): StepTarget {
  const { tokenizerPath, tokenizerConfigPath, isLowerCased, maxTokens, threads, tokenizerBytes } = text;
  const options: TokenizeOptions = { tokenizerPath, tokenizerConfigPath, isLowerCased, maxTokens, isPair };
  const memoryMib = LEAST_MEMORY_MIB + Math.ceil((BYTES_A_TOKENIZER_BYTE * tokenizerBytes) / 1024 ** 2);
  // Beside this file, as it is built or as it is written.
  const file = fileURLToPath(new URL(`./tokenize${import.meta.url.endsWith('.ts') ? '.ts' : '.js'}`, import.meta.url));
  return {
    kind: 'function',
    file,
    outputs: TOKEN_OUTPUTS,
    limits: { timeMs: MOST_TEXT_MS, memoryMib, threads },
    options,
  };
}
