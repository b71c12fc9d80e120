import { z } from 'zod';
import type { Prompts } from '../../protocol/text/text-model.js';

/*
 * What a model's folder says of the text that it takes: the `text` of its `model.yaml`, and what its author's tools have written beside it.
 */

const POOLINGS = ['mean', 'cls', 'last'] as const;
/** How the vectors of a text's tokens become the one of the text. */
export type Pooling = (typeof POOLINGS)[number];

const TEXT_TASKS = ['embed', 'rerank'] as const;
/** A vector for each text, or a score for each pair of a query and a document. */
export type TextTask = (typeof TEXT_TASKS)[number];

const ACTIVATIONS = ['none', 'sigmoid'] as const;
export type Activation = (typeof ACTIVATIONS)[number];

/** Of a text, in tokens. */
export const MOST_TOKENS = 32_768;
const MOST_LENGTHS = 64;
/** What goes before a text: a sentence or two. */
const MOST_PROMPT_CHARACTERS = 4096;
const MOST_PROMPTS = 64;

/** By name, what goes before a text. */
export const promptsSchema = z
  .record(z.string().min(1).max(64), z.string().max(MOST_PROMPT_CHARACTERS))
  .refine((prompts) => Object.keys(prompts).length <= MOST_PROMPTS, `at most ${MOST_PROMPTS} prompts`);

/** `text` of a `model.yaml`; `false` leaves a model with a tokenizer beside it a model of tensors. */
export const textSchema = z.union([
  z.literal(false),
  z.strictObject({
    task: z.enum(TEXT_TASKS).optional(),
    pooling: z.enum(POOLINGS).optional(),
    normalize: z.boolean().optional(),
    activation: z.enum(ACTIVATIONS).optional(),
    /** The model's output, by its name. */
    output: z.string().min(1).optional(),
    max_tokens: z.int().min(8).max(MOST_TOKENS).optional(),
    /** What texts are padded to, tokens; of an empty list: to nothing. */
    lengths: z.array(z.int().min(1).max(MOST_TOKENS)).max(MOST_LENGTHS).optional(),
    /** To which vectors may be cut: a model that was trained for that. */
    dimensions: z.array(z.int().min(1)).min(1).max(MOST_LENGTHS).optional(),
    threads: z.int().min(1).max(16).optional(),
    prompts: promptsSchema.optional(),
    /** Of one of them: before texts of requests that name none. */
    default_prompt: z.string().min(1).nullable().optional(),
  }),
]);

export type StatedText = z.infer<typeof textSchema>;

/** All that is known of a text model without its graph. */
export interface TextDescription {
  readonly task: TextTask;
  /** Absolute. */
  readonly tokenizerPath: string;
  /** Of that file, by which the memory of its thread goes. */
  readonly tokenizerBytes: number;
  /** Absolute; null where there is none. */
  readonly tokenizerConfigPath: string | null;
  /** Texts are in lower case before they are cut into tokens, whatever the tokenizer does. */
  readonly isLowerCased: boolean;
  /** Longer texts are cut. */
  readonly maxTokens: number;
  readonly pooling: Pooling;
  readonly isNormalized: boolean;
  readonly activation: Activation;
  /** Null: by its name and shape. */
  readonly output: string | null;
  /** Ascending, tokens; the last is `maxTokens`, unless there are none. Null: by the model's latencies. */
  readonly lengths: readonly number[] | null;
  readonly dimensions: readonly number[];
  readonly prompts: Prompts;
  /** The last of the modules behind the pooling that the file must have inside, by its name; null where there is none. */
  readonly innerModule: string | null;
  readonly padId: number;
  /** Token ids are below it; null where nobody says. */
  readonly vocabularySize: number | null;
  /** That cut texts into tokens side by side. */
  readonly threads: number;
}
