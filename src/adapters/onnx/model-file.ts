import { readFileSync, statSync } from 'node:fs';
import { analyseBatching, type BatchVerdict } from './batch-analysis.js';
import { readModelGraph } from './model-graph.js';

/** A file that is read at once; what is larger keeps its weights elsewhere, or is not followed. */
const MOST_BYTES = 1024 ** 3;

/** What the graph in a file says about batching. A file that cannot be read is loaded by somebody else, who says why. */
export function readBatchVerdict(modelPath: string): BatchVerdict {
  try {
    if (statSync(modelPath).size > MOST_BYTES) throw new Error('its file is larger than 1 GiB');
    return analyseBatching(readModelGraph(readFileSync(modelPath)));
  } catch (error) {
    return { kind: 'unknown', node: 'the graph', reason: error instanceof Error ? error.message : String(error) };
  }
}
