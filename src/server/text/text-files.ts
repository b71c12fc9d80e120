import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { statedLengths } from './lengths.js';
import type { Prompts } from '../../protocol/text/text-model.js';
import {
  MOST_TOKENS,
  promptsSchema,
  type Activation,
  type Pooling,
  type StatedText,
  type TextDescription,
} from './text-settings.js';
import { vocabularySizeIn } from './vocabulary.js';

/*
 * What a folder says of a text model: its tokenizer, and what the model's author's tools write beside it (`config.json`, `modules.json`,
 * `1_Pooling/config.json`, `sentence_bert_config.json`, `tokenizer_config.json`). What `model.yaml` says counts before it.
 */

export const TOKENIZER_FILE = 'tokenizer.json';
const MODEL_CONFIG_FILE = 'config.json';
const MODULES_FILE = 'modules.json';
const POOLING_FILE = join('1_Pooling', 'config.json');
const TRANSFORMER_FILE = 'sentence_bert_config.json';
const TOKENIZER_CONFIG_FILE = 'tokenizer_config.json';
const PROMPTS_FILE = 'config_sentence_transformers.json';
/** Beside a tokenizer, as far as they are there. */
export const TEXT_CONFIG_FILES: readonly string[] = [
  ...[MODEL_CONFIG_FILE, MODULES_FILE, POOLING_FILE, TRANSFORMER_FILE, TOKENIZER_CONFIG_FILE, PROMPTS_FILE],
];

/** The largest vocabularies take some tens of megabytes. */
export const MOST_TOKENIZER_BYTES = 256 * 1024 ** 2;
export const MOST_CONFIG_BYTES = 16 * 1024 ** 2;
/** Where nothing is said: of BERT, and of most that came after it. */
const DEFAULT_MAX_TOKENS = 512;
/** Some write 10³⁰ for no limit. */
const UNLIMITED = 1e6;

const configFile = z.looseObject({
  architectures: z.array(z.string()).nullish(),
  max_position_embeddings: z.number().nullish(),
  pad_token_id: z.number().nullish(),
  vocab_size: z.number().nullish(),
  /** As cross-encoders are written, of late and before. */
  sentence_transformers: z.looseObject({ activation_fn: z.string().nullish() }).nullish(),
  sbert_ce_default_activation_function: z.string().nullish(),
});
const modulesFile = z.array(z.looseObject({ type: z.string(), path: z.string().optional() }));
const promptsFile = z.looseObject({
  prompts: promptsSchema.nullish(),
  default_prompt_name: z.string().nullish(),
});
type Modules = z.infer<typeof modulesFile>;
const poolingFile = z.record(z.string(), z.unknown());
const transformerFile = z.looseObject({
  max_seq_length: z.number().nullish(),
  do_lower_case: z.boolean().nullish(),
});
const tokenizerConfigFile = z.looseObject({ model_max_length: z.number().nullish() });

/**
 * @param folders where its files may be, the nearest first
 * @returns null where there is no tokenizer, or `stated` says that the model takes tensors
 * @throws Error of one line: a file that cannot be read, or what it asks for cannot be had
 */
export async function describeText(
  folders: readonly string[],
  stated: StatedText | null,
): Promise<TextDescription | null> {
  if (stated === false) return null;
  const tokenizerPath = await firstFile(folders, TOKENIZER_FILE);
  if (tokenizerPath === null) {
    if (stated === null) return null;
    throw new Error(`text: there is no ${TOKENIZER_FILE} in ${folders[0] ?? 'its folder'}`);
  }
  const tokenizerBytes = (await stat(tokenizerPath)).size;
  if (tokenizerBytes > MOST_TOKENIZER_BYTES) throw new Error(`${tokenizerPath} is larger than 256 MiB`);
  const read = <Value>(name: string, schema: z.ZodType<Value>): Promise<Value | null> =>
    readFirst(folders, name, schema);
  const config = await read(MODEL_CONFIG_FILE, configFile);
  const modules = await read(MODULES_FILE, modulesFile);
  const pooling = await read(poolingFileIn(modules ?? []), poolingFile);
  const transformer = await read(TRANSFORMER_FILE, transformerFile);
  const tokenizerConfig = await read(TOKENIZER_CONFIG_FILE, tokenizerConfigFile);
  const isCrossEncoder = (config?.architectures ?? []).some((name) => name.endsWith('ForSequenceClassification'));
  const task = stated?.task ?? (isCrossEncoder ? 'rerank' : 'embed');
  const maxTokens =
    stated?.max_tokens ??
    transformer?.max_seq_length ??
    leastOf(tokenizerConfig?.model_max_length, config?.max_position_embeddings);
  const innerModule = innerModuleOf(modules ?? []);
  if (innerModule !== null && stated?.output === undefined)
    throw new Error(
      `${MODULES_FILE}: a module ${innerModule} cannot be had; export the model with it, and name its output in model.yaml (text: output)`,
    );
  return {
    ...{ task, tokenizerPath, tokenizerBytes, maxTokens },
    tokenizerConfigPath: await firstFile(folders, TOKENIZER_CONFIG_FILE),
    isLowerCased: transformer?.do_lower_case === true,
    pooling: stated?.pooling ?? poolingOf(pooling, modules ?? [], innerModule),
    // Without a word of it vectors are of length 1, as those who compare them by their products expect.
    isNormalized: stated?.normalize ?? (modules === null || modules.some(({ type }) => type.endsWith('.Normalize'))),
    activation: stated?.activation ?? activationIn(config),
    output: stated?.output ?? null,
    lengths: stated?.lengths === undefined ? null : statedLengths(stated.lengths, maxTokens),
    dimensions: stated?.dimensions ?? [],
    prompts: promptsOf(await read(PROMPTS_FILE, promptsFile), pooling, stated),
    innerModule,
    padId: Math.max(0, Math.trunc(config?.pad_token_id ?? 0)),
    vocabularySize: config?.vocab_size ?? (await vocabularySizeIn(tokenizerPath)),
    threads: stated?.threads ?? 1,
  };
}

function leastOf(...limits: readonly (number | null | undefined)[]): number {
  const known = limits.filter((limit) => typeof limit === 'number' && limit >= 1 && limit < UNLIMITED) as number[];
  return Math.min(MOST_TOKENS, ...(known.length === 0 ? [DEFAULT_MAX_TOKENS] : known.map(Math.trunc)));
}

function poolingIn(config: Readonly<Record<string, unknown>> | null): Pooling {
  if (config === null) return 'mean';
  const stated = config['pooling_mode'];
  const modes =
    typeof stated === 'string'
      ? [stated]
      : Object.entries(config).flatMap(([key, value]) =>
          key.startsWith('pooling_mode_') && value === true ? [key] : [],
        );
  const [mode = 'mean', ...others] = modes.map((name) => name.replace(/^pooling_mode_/, ''));
  const pooling = POOLING_MODES[mode];
  if (others.length > 0 || pooling === undefined)
    throw new Error(
      `${POOLING_FILE}: pooling by ${[mode, ...others].join(' and ')} cannot be had, only by mean, cls or last: say which in model.yaml (text: pooling)`,
    );
  return pooling;
}

const POOLING_MODES: Readonly<Record<string, Pooling>> = {
  ...{ mean_tokens: 'mean', cls_token: 'cls', lasttoken: 'last' },
  ...{ mean: 'mean', cls: 'cls', last: 'last' },
};

/** What comes behind the transformer and its pooling is not in an ONNX file, unless that was made so. */
function innerModuleOf(modules: Modules): string | null {
  const known = /\.(Transformer|Pooling|Normalize)$/;
  return modules.findLast(({ type }) => !known.test(type))?.type ?? null;
}

/** Beside the model as the other files, whatever the module's path says. */
function poolingFileIn(modules: Modules): string {
  const path = modules.find(({ type }) => type.endsWith('.Pooling'))?.path ?? '';
  return /^[\w.-]+$/.test(path) && !/^\.+$/.test(path) ? join(path, 'config.json') : POOLING_FILE;
}

/** A model whose pooling is said somewhere else is not guessed at: its vectors would be others. */
function poolingOf(
  config: Readonly<Record<string, unknown>> | null,
  modules: Modules,
  innerModule: string | null,
): Pooling {
  const isSaid = config !== null || innerModule !== null || !modules.some(({ type }) => type.endsWith('.Pooling'));
  if (isSaid) return poolingIn(config);
  throw new Error(
    `${MODULES_FILE} has a Pooling, and there is no ${poolingFileIn(modules)} that says which: put it there, or say it in model.yaml (text: pooling)`,
  );
}

/** @throws Error of one line: the default is none of them, or tokens of a prompt would have to be left out of the pooling */
function promptsOf(
  file: z.infer<typeof promptsFile> | null,
  pooling: Readonly<Record<string, unknown>> | null,
  stated: StatedText | null,
): Prompts {
  const { prompts, default_prompt: statedDefault } = stated === null || stated === false ? {} : stated;
  const byName = prompts ?? file?.prompts ?? {};
  const defaultName = statedDefault === undefined ? (file?.default_prompt_name ?? null) : statedDefault;
  if (defaultName !== null && !Object.hasOwn(byName, defaultName)) {
    const names = Object.keys(byName).join(', ');
    throw new Error(`the default prompt '${defaultName}' is none of the prompts${names === '' ? '' : ` (${names})`}`);
  }
  const isLeftOut = pooling?.['include_prompt'] === false && stated !== false && stated?.pooling === undefined;
  if (!isLeftOut || Object.values(byName).every((prompt) => prompt === '')) return { byName, defaultName };
  if (defaultName !== null && byName[defaultName] !== '')
    throw new Error(
      `${POOLING_FILE}: include_prompt is false, and tokens of a prompt cannot be left out of the pooling; say default_prompt: null in model.yaml (text) to serve it without`,
    );
  return { byName: {}, defaultName: null };
}

function activationIn(config: z.infer<typeof configFile> | null): Activation {
  const stated = config?.sentence_transformers?.activation_fn ?? config?.sbert_ce_default_activation_function ?? '';
  return stated.endsWith('Sigmoid') ? 'sigmoid' : 'none';
}

async function firstFile(folders: readonly string[], name: string): Promise<string | null> {
  for (const folder of folders) {
    const path = join(folder, name);
    if ((await stat(path).catch(() => null))?.isFile() === true) return path;
  }
  return null;
}

/** @throws Error of one line, where it is there and not as it should be */
async function readFirst<Value>(
  folders: readonly string[],
  name: string,
  schema: z.ZodType<Value>,
): Promise<Value | null> {
  const path = await firstFile(folders, name);
  if (path === null) return null;
  if ((await stat(path)).size > MOST_CONFIG_BYTES) throw new Error(`${path} is larger than 16 MiB`);
  let value: unknown;
  try {
    value = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    throw new Error(`${path} is no JSON: ${(error as Error).message}`, { cause: error });
  }
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0]!;
  throw new Error(`${path}: ${[...issue.path.map(String), issue.message].join(': ')}`);
}
