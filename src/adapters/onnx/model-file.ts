import { readFileSync, statSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { analyseBatching, type BatchVerdict } from './batch-analysis.js';
import { inputHints, type InputHints } from './input-hints.js';
import { readModelGraph, type Graph, type GraphTensor } from './model-graph.js';

/** A file that is read at once; what is larger keeps its weights elsewhere, or is not followed. */
const MOST_BYTES = 1024 ** 3;

export interface ModelFileReport {
  /** What the graph says about batching. */
  readonly batching: BatchVerdict;
  /** What it says of its inputs. */
  readonly hints: InputHints;
  /** Files beside the model's that its weights are in. */
  readonly weightsPaths: readonly string[];
}

/** What is to be known of a model's file without loading it. One that cannot be read is loaded by somebody else, who says why. */
export function readModelFile(modelPath: string): ModelFileReport {
  try {
    if (statSync(modelPath).size > MOST_BYTES) throw new Error('its file is larger than 1 GiB');
    const model = readModelGraph(readFileSync(modelPath));
    const folder = dirname(modelPath);
    const locations = new Set<string>();
    for (const { external } of tensorsOf(model.graph)) if (external !== null) locations.add(external.location);
    const weightsPaths = [...locations].map((location) => resolve(folder, location));
    return { batching: analyseBatching(model), hints: inputHints(model), weightsPaths };
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    return { batching: { kind: 'unknown', node: 'the graph', reason }, hints: [], weightsPaths: [] };
  }
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
