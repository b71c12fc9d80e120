import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';

/** An image of [3, 224, 224] in float32, flattened: 602 112 bytes. */
export const IMAGE_ELEMENTS = 3 * 224 * 224;
/** As many as an ImageNet classifier answers: 4000 bytes. */
export const CLASS_COUNT = 1000;

/**
 * The traffic of an image classifier without its work: takes an image, returns the first elements of it.
 * `x` f32 [batch, 150528] → `y` f32 [batch, 1000].
 */
export function emptyClassifier(): OnnxGraph {
  const graph = new OnnxGraph('empty_classifier');
  const x = graph.input('x', 'FP32', ['batch', IMAGE_ELEMENTS]);
  graph.constant('starts', 'INT64', [1], BigInt64Array.of(0n));
  graph.constant('ends', 'INT64', [1], BigInt64Array.of(BigInt(CLASS_COUNT)));
  graph.constant('axes', 'INT64', [1], BigInt64Array.of(1n));
  graph.output(graph.add('Slice', [x, 'starts', 'ends', 'axes'], {}, 'y'), 'FP32', ['batch', CLASS_COUNT]);
  return graph;
}

/** The same both ways: `y` is `x`, f32 [batch, elements]. */
export function mirror(elementCount = IMAGE_ELEMENTS): OnnxGraph {
  const graph = new OnnxGraph('mirror');
  const x = graph.input('x', 'FP32', ['batch', elementCount]);
  graph.output(graph.add('Identity', [x], {}, 'y'), 'FP32', ['batch', elementCount]);
  return graph;
}

/** @returns the path of `<folder>/<name>.onnx` */
export function writeBareModel(folder: string, name: string, graph: OnnxGraph): string {
  const path = join(folder, `${name}.onnx`);
  writeFileSync(path, graph.toModel());
  return path;
}
