import { readFileSync, statSync } from 'node:fs';
import { dirname, isAbsolute, normalize, resolve } from 'node:path';
import type { TableIndex } from '../../scheduler/domain/tensor.js';
import { analyseBatching, type BatchVerdict } from './batch-analysis.js';
import { inputHints, type InputHints } from './input-hints.js';
import { tableInputs } from './table-inputs.js';
import { readModelGraph, type Graph, type GraphTensor, type ModelGraph } from './model-graph.js';

/** A file that is read at once; what is larger keeps its weights elsewhere, or is not followed. */
const MOST_BYTES = 1024 ** 3;

export interface GraphReport {
  /** What the graph says about batching. */
  readonly batching: BatchVerdict;
  /** What it says of its inputs. */
  readonly hints: InputHints;
  /** Inputs that are indices into a table of it, by name. */
  readonly tables: ReadonlyMap<string, TableIndex>;
}

/** What is to be known of a model's file without loading it. One that cannot be read is loaded by somebody else, who says why. */
export class GraphFile {
  /** Files in the model's folder, or below, that its weights are in. */
  readonly weightsPaths: readonly string[];
  readonly #model: ModelGraph | string;

  constructor(modelPath: string) {
    this.#model = modelOrReason(modelPath);
    this.weightsPaths = typeof this.#model === 'string' ? [] : weightsPathsOf(this.#model.graph, dirname(modelPath));
  }

  report(): GraphReport {
    try {
      if (typeof this.#model === 'string') throw new Error(this.#model);
      return {
        batching: analyseBatching(this.#model),
        hints: inputHints(this.#model),
        tables: tableInputs(this.#model),
      };
    } catch (error) {
      return {
        batching: { kind: 'unknown', node: 'the graph', reason: messageOf(error) },
        hints: [],
        tables: new Map(),
      };
    }
  }
}

function modelOrReason(modelPath: string): ModelGraph | string {
  try {
    if (statSync(modelPath).size > MOST_BYTES) return 'its file is larger than 1 GiB';
    return readModelGraph(readFileSync(modelPath));
  } catch (error) {
    return messageOf(error);
  }
}

function weightsPathsOf(graph: Graph, folder: string): readonly string[] {
  const paths = new Set<string>();
  for (const { external } of tensorsOf(graph)) {
    // ONNX Runtime refuses others.
    const isInside =
      external !== null && !isAbsolute(external.location) && !/^\.\.(?:[\\/]|$)/.test(normalize(external.location));
    if (isInside) paths.add(resolve(folder, external.location));
  }
  return [...paths];
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/** All that the file has: weights, constants of operators, and those of the bodies of control flow. */
function* tensorsOf({ initializers, nodes }: Graph): Generator<GraphTensor> {
  yield* initializers.values();
  for (const { attributes } of nodes) {
    for (const { tensor, graph } of attributes.values()) {
      if (tensor !== null) yield tensor;
      if (graph !== null) yield* tensorsOf(graph);
    }
  }
}
