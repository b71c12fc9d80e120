import type { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';
import { identity, simple } from '../../research/load-models/tiny-graphs.js';
import type { Datatype } from '../../src/scheduler/domain/tensor.js';
import type { TestBench } from '../system/server/harness.js';
import { embedder, scorer, writeTextModel } from '../system/text/tiny-text.js';

const DATATYPES: readonly Datatype[] = ['BOOL', 'INT64', 'UINT64', 'FP16', 'FP32', 'BYTES'];

/**
 * Writes what the clients are tried with, models of which every right answer is known: `simple` of Triton's examples, an identity for
 * each type that clients treat apart, `classes`, an identity of four scores that have names, `words`,
 * which embeds texts, and `judge`, which ranks them.
 * @returns the repository's path
 */
export function clientModels(bench: TestBench): string {
  const graphs: Record<string, OnnxGraph> = { simple: simple(), classes: identity('FP32') };
  for (const datatype of DATATYPES) graphs[`identity_${datatype.toLowerCase()}`] = identity(datatype);
  const repository = bench.repository('clients', graphs);
  bench.file('clients/classes/labels.txt', 'ant\nbee\ncat\ndog\n');
  bench.file('clients/classes/model.yaml', 'labels: { y: labels.txt }\n');
  writeTextModel(bench, 'clients/words', embedder());
  writeTextModel(bench, 'clients/judge', scorer(), 'text: { task: rerank }\n');
  return repository;
}
