import { Prng } from '../../src/scheduler/random/prng.js';
import { OnnxGraph } from '../../src/server/onnx/onnx-writer.js';

/*
 * The two networks that load is generated on: real sizes and real arithmetic, weights drawn from a seed, so that nothing
 * has to be downloaded and every machine serves the same bytes. They stand for the two ways a CPU model can behave:
 * ResNet-18 is bound by arithmetic and gains from cores, hardly from batching; the MLP is bound by reading its weights
 * and gains from batching. Their answers mean nothing, but are repeatable.
 */

interface ResidualNetworkSize {
  /** Channels of each stage; every stage after the first halves height and width. */
  readonly stageChannels: readonly number[];
  /** The same for all stages, or one number a stage. */
  readonly blocksPerStage: number | readonly number[];
  /** Height and width of the picture; a multiple of 2^(stages + 1). */
  readonly pictureSize: number;
  readonly classCount: number;
}

/** 11 684 712 parameters: ResNet-18's 11 689 512 less the 4 800 that folding batch normalisation into the bias saves. */
export const RESNET_18: ResidualNetworkSize = {
  stageChannels: [64, 128, 256, 512],
  blocksPerStage: 2,
  pictureSize: 224,
  classCount: 1000,
};

/** Half as deep, 5 415 912 parameters; 0.89 · 10⁹ multiplications a picture, of which ResNet-18 takes 1.81 and ResNet-34 3.66. */
export const RESNET_10: ResidualNetworkSize = { ...RESNET_18, blocksPerStage: 1 };

/** 21 789 160 parameters: 21 797 672 less 8 512. */
export const RESNET_34: ResidualNetworkSize = { ...RESNET_18, blocksPerStage: [3, 4, 6, 3] };

const RGB = 3;

/**
 * He et al., "Deep residual learning for image recognition" (CVPR 2016), basic blocks, batch normalisation folded into
 * the convolutions. `input` f32 [batch, 3, height, width] → `logits` f32 [batch, class].
 */
export function residualNetwork(size: ResidualNetworkSize, seed = 1): OnnxGraph {
  const graph = new OnnxGraph('resnet');
  const prng = new Prng(seed);
  const { stageChannels, blocksPerStage, pictureSize, classCount } = size;

  const convolve = (name: string, input: string, { from, to, kernel, stride }: Convolution): string => {
    const fanIn = from * kernel * kernel;
    const weight = graph.constant(`${name}.weight`, 'FP32', [to, from, kernel, kernel], heUniform(prng, fanIn, to));
    const bias = graph.constant(`${name}.bias`, 'FP32', [to], smallUniform(prng, fanIn, to));
    const pad = (kernel - 1) / 2;
    return graph.add('Conv', [input, weight, bias], {
      kernel_shape: { ints: [kernel, kernel] },
      strides: { ints: [stride, stride] },
      pads: { ints: [pad, pad, pad, pad] },
    });
  };
  const relu = (input: string): string => graph.add('Relu', [input]);

  /** Two 3×3 convolutions around a shortcut, which needs a 1×1 convolution where the shape changes. */
  const basicBlock = (name: string, input: string, from: number, to: number, stride: number): string => {
    const inner = relu(convolve(`${name}.conv1`, input, { from, to, kernel: 3, stride }));
    const outer = convolve(`${name}.conv2`, inner, { from: to, to, kernel: 3, stride: 1 });
    const keepsShape = from === to && stride === 1;
    const shortcut = keepsShape ? input : convolve(`${name}.shortcut`, input, { from, to, kernel: 1, stride });
    return relu(graph.add('Add', [outer, shortcut]));
  };

  const picture = graph.input('input', 'FP32', ['batch', RGB, pictureSize, pictureSize]);
  let channels = stageChannels[0]!;
  let features = relu(convolve('stem', picture, { from: RGB, to: channels, kernel: 7, stride: 2 }));
  features = graph.add('MaxPool', [features], {
    kernel_shape: { ints: [3, 3] },
    strides: { ints: [2, 2] },
    pads: { ints: [1, 1, 1, 1] },
  });
  for (const [stage, to] of stageChannels.entries()) {
    const blocks = typeof blocksPerStage === 'number' ? blocksPerStage : blocksPerStage[stage]!;
    for (let block = 0; block < blocks; block++) {
      const stride = stage > 0 && block === 0 ? 2 : 1;
      features = basicBlock(`stage${stage + 1}.block${block + 1}`, features, channels, to, stride);
      channels = to;
    }
  }
  const pooled = graph.add('Flatten', [graph.add('GlobalAveragePool', [features])], { axis: { int: 1 } });
  const logits = dense(graph, prng, 'head', pooled, channels, classCount, 'logits');
  graph.output(logits, 'FP32', ['batch', classCount]);
  return graph;
}

interface Convolution {
  readonly from: number;
  readonly to: number;
  readonly kernel: number;
  readonly stride: number;
}

interface MlpSize {
  readonly width: number;
  readonly layerCount: number;
}

/** 3 × 2048² weights: 50 MB, which no cache of a small server keeps, read once a batch whatever its size. */
export const WEIGHT_BOUND_MLP: MlpSize = { width: 2048, layerCount: 3 };

/** Dense layers with ReLU between them. `input` f32 [batch, width] → `output` f32 [batch, width]. */
export function multilayerPerceptron(size: MlpSize, seed = 1): OnnxGraph {
  const { width, layerCount } = size;
  const graph = new OnnxGraph('mlp');
  const prng = new Prng(seed);
  let features = graph.input('input', 'FP32', ['batch', width]);
  for (let layer = 1; layer < layerCount; layer++) {
    features = graph.add('Relu', [dense(graph, prng, `layer${layer}`, features, width, width)]);
  }
  graph.output(dense(graph, prng, `layer${layerCount}`, features, width, width, 'output'), 'FP32', ['batch', width]);
  return graph;
}

/** input · weight + bias; weight is [from, to]. */
function dense(
  graph: OnnxGraph,
  prng: Prng,
  name: string,
  input: string,
  from: number,
  to: number,
  result?: string,
): string {
  const weight = graph.constant(`${name}.weight`, 'FP32', [from, to], heUniform(prng, from, to));
  const bias = graph.constant(`${name}.bias`, 'FP32', [to], smallUniform(prng, from, to));
  return graph.add('Gemm', [input, weight, bias], {}, result);
}

/**
 * He et al., "Delving deep into rectifiers" (ICCV 2015): variance 2 / fanIn keeps the size of the features from layer to
 * layer. Uniform instead of normal, so that no logarithm is needed and the bytes are the same on every engine.
 * @returns fanIn × unitCount weights
 */
function heUniform(prng: Prng, fanIn: number, unitCount: number): Float32Array {
  return uniformWithin(prng, Math.sqrt(6 / fanIn), fanIn * unitCount);
}

/** One bias a unit, of the size that PyTorch starts with. */
function smallUniform(prng: Prng, fanIn: number, unitCount: number): Float32Array {
  return uniformWithin(prng, Math.sqrt(1 / fanIn), unitCount);
}

function uniformWithin(prng: Prng, bound: number, count: number): Float32Array {
  const values = new Float32Array(count);
  for (let i = 0; i < count; i++) values[i] = (2 * prng.uniform() - 1) * bound;
  return values;
}
