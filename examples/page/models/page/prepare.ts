import sharp from 'sharp';
import type { Bytes, Floats, Tensor } from './tensors.js';

/*
 * A file → its pixels, and the detector's input as PaddleOCR prepares it: no side longer than 960, both multiples of 32, channels blue,
 * green, red, less their mean and over their deviation.
 */

const LONGEST_SIDE = 960;
const MULTIPLE = 32;
const MEAN = [0.485, 0.456, 0.406];
const DEVIATION = [0.229, 0.224, 0.225];

export default async function prepare({
  image,
}: {
  readonly image: Tensor<readonly Uint8Array[]>;
}): Promise<{ page: Bytes; x: Floats }> {
  // As the camera was held.
  const picture = sharp(image.data[0]).rotate().flatten({ background: 'white' }).toColourspace('srgb');
  const { data: page, info } = await picture.raw().toBuffer({ resolveWithObject: true });
  const { width, height } = info;
  const scale = Math.min(1, LONGEST_SIDE / Math.max(width, height));
  const side = (length: number): number => Math.max(MULTIPLE, Math.round((length * scale) / MULTIPLE) * MULTIPLE);
  const [wide, high] = [side(width), side(height)];
  const pixels = await sharp(page, { raw: { width, height, channels: 3 } })
    .resize(wide, high, { fit: 'fill' })
    .raw()
    .toBuffer();
  const x = new Float32Array(3 * high * wide);
  for (let channel = 0; channel < 3; channel++) {
    for (let place = 0; place < high * wide; place++) {
      const value = pixels[place * 3 + 2 - channel]! / 255;
      x[channel * high * wide + place] = (value - MEAN[channel]!) / DEVIATION[channel]!;
    }
  }
  return { page: { shape: [height, width, 3], data: new Uint8Array(page) }, x: { shape: [1, 3, high, wide], data: x } };
}
