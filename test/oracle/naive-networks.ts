import type { OnnxFile, Weight } from './onnx-reader.js';

/*
 * The load models' networks, in plain loops over doubles and for one request: what the textbook says, and nothing about
 * how the graphs are built but the names of their weights.
 */

/** Features of one picture: `channels[c][y][x]`. */
type Picture = number[][][];

const sum = (values: readonly number[]): number => values.reduce((total, value) => total + value, 0);
const relu = (value: number): number => Math.max(0, value);
const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

function weight(file: OnnxFile, name: string): Weight {
  const found = file.weights.get(name);
  if (found === undefined) throw new Error(`no weight ${name}`);
  return found;
}

/** Same-padded convolution: `(kernel − 1) / 2` zeros around the picture. */
function convolve(file: OnnxFile, name: string, input: Picture, stride: number): Picture {
  const { shape, values } = weight(file, `${name}.weight`);
  const bias = weight(file, `${name}.bias`).values;
  const [outCount, inCount, kernel] = shape as [number, number, number, number];
  const size = Math.ceil(input[0]!.length / stride);
  const pad = (kernel - 1) / 2;
  const at = (c: number, y: number, x: number): number => input[c]![y]?.[x] ?? 0;
  const outputAt = (o: number, y: number, x: number): number => {
    let total = bias[o]!;
    for (let c = 0; c < inCount; c++) {
      for (let ky = 0; ky < kernel; ky++) {
        for (let kx = 0; kx < kernel; kx++) {
          const factor = values[((o * inCount + c) * kernel + ky) * kernel + kx]!;
          total += factor * at(c, y * stride + ky - pad, x * stride + kx - pad);
        }
      }
    }
    return total;
  };
  return range(outCount).map((o) => range(size).map((y) => range(size).map((x) => outputAt(o, y, x))));
}

const map = (input: Picture, f: (value: number, c: number, y: number, x: number) => number): Picture =>
  input.map((rows, c) => rows.map((row, y) => row.map((value, x) => f(value, c, y, x))));

/** Largest of each 3×3 neighbourhood, at every second place. */
function maxPool(input: Picture): Picture {
  const near = (i: number): number[] => [2 * i - 1, 2 * i, 2 * i + 1];
  return input.map((rows) => {
    const half = range(rows.length / 2);
    return half.map((y) =>
      half.map((x) => Math.max(...near(y).flatMap((j) => near(x).map((i) => rows[j]?.[i] ?? -Infinity)))),
    );
  });
}

function dense(file: OnnxFile, name: string, input: readonly number[]): number[] {
  const { shape, values } = weight(file, `${name}.weight`);
  const output = Array.from(weight(file, `${name}.bias`).values);
  const to = shape[1]!;
  input.forEach((value, from) => {
    for (let unit = 0; unit < to; unit++) output[unit]! += value * values[from * to + unit]!;
  });
  return output;
}

/** @param picture row-major [3, size, size]   @returns logits [class] */
export function naiveResidualNetwork(
  file: OnnxFile,
  picture: Float32Array,
  stageCount: number,
  blockCount: number,
): number[] {
  const size = Math.sqrt(picture.length / 3);
  const channels = range(3).map((c) =>
    range(size).map((y) => range(size).map((x) => picture[(c * size + y) * size + x]!)),
  );
  let features = maxPool(map(convolve(file, 'stem', channels, 2), relu));
  for (let stage = 1; stage <= stageCount; stage++) {
    for (let block = 1; block <= blockCount; block++) {
      const name = `stage${stage}.block${block}`;
      const stride = stage > 1 && block === 1 ? 2 : 1;
      const inner = map(convolve(file, `${name}.conv1`, features, stride), relu);
      const outer = convolve(file, `${name}.conv2`, inner, 1);
      const shortcut = stride === 1 ? features : convolve(file, `${name}.shortcut`, features, stride);
      features = map(outer, (value, c, y, x) => relu(value + shortcut[c]![y]![x]!));
    }
  }
  return dense(
    file,
    'head',
    features.map((rows) => sum(rows.flat()) / rows.flat().length),
  );
}

/** @param input [width]   @returns [width] */
export function naiveMlp(file: OnnxFile, input: Float32Array, layerCount: number): number[] {
  let features = Array.from(input);
  for (let layer = 1; layer < layerCount; layer++) features = dense(file, `layer${layer}`, features).map(relu);
  return dense(file, `layer${layerCount}`, features);
}
