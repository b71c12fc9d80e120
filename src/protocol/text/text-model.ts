/*
 * What clients may know of a model that takes text, beside its inputs and outputs.
 */

export interface TextModel {
  /** A vector for each text, or a score for each pair of a query and a document. */
  readonly task: 'embed' | 'rerank';
  /** Of one text, or pair; longer ones are cut. */
  readonly maxTokens: number;
  /** Of one request. */
  readonly maxTexts: number;
  /** To which its vectors may be cut; empty: to none. */
  readonly dimensions: readonly number[];
  /** Token ids are below it; null where that is not known. */
  readonly vocabularySize: number | null;
  readonly prompts: Prompts;
}

/** What goes before a text, as the model was trained with it. */
export interface Prompts {
  readonly byName: Readonly<Record<string, string>>;
  /** Before texts of requests that name none; null: nothing. */
  readonly defaultName: string | null;
}
