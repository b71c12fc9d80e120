import type { Tensor } from '../../scheduler/domain/tensor.js';

/*
 * Calls of `/v1`: what a client asked for, and the answer, as they are handed between the router and the thread that reads and writes large
 * JSON.
 */

/** The paths below `/v1` that take text. */
export type TextRoute = 'embeddings' | 'rerank';

export interface EmbeddingsCall {
  readonly kind: 'embeddings';
  readonly model: string;
  /** `text`, and `tokens` where the client has made them itself. */
  readonly inputs: readonly Tensor[];
  readonly textCount: number;
  /** Of lists of tokens: the longest, and the largest id in them; null of texts. */
  readonly tokens: { readonly longest: number; readonly largestId: number } | null;
  readonly encoding: 'float' | 'base64';
  /** Null: as the model gives them. */
  readonly dimensions: number | null;
  /** Of what goes before each text; null: of the model's own. */
  readonly promptName: string | null;
}

export interface RerankCall {
  readonly kind: 'rerank';
  readonly model: string;
  /** `query` and `documents`. */
  readonly inputs: readonly Tensor[];
  readonly textCount: number;
  /** Null: all. */
  readonly topCount: number | null;
  /** To be sent back with their scores; null: only their places are. */
  readonly documents: readonly string[] | null;
}

export type TextCall = EmbeddingsCall | RerankCall;

export interface EmbeddingsAnswer {
  readonly kind: 'embeddings';
  readonly model: string;
  /** FP32 `[text, dimension]`. */
  readonly vectors: Tensor;
  readonly encoding: 'float' | 'base64';
  readonly dimensions: number | null;
  readonly tokenCount: number;
}

export interface RerankAnswer {
  readonly kind: 'rerank';
  readonly id: string;
  readonly model: string;
  /** FP32 `[document]`. */
  readonly scores: Tensor;
  readonly topCount: number | null;
  readonly documents: readonly string[] | null;
  readonly tokenCount: number;
}

export type TextAnswer = EmbeddingsAnswer | RerankAnswer;
