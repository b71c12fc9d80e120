import sharp from 'sharp';

/*
 * A picture of one line of text → the recogniser's input, as PaddleOCR prepares it: height 48, aspect ratio kept, channels
 * blue, green, red, values (v/255 − 0.5)/0.5, and the rest of the width left at 0.
 */

const LINE_HEIGHT = 48;
/** One width for all lines, so that they share a shape class and so a batch. Longer lines are squeezed into it. */
const LINE_WIDTH = 320;
const CHANNELS = 3;

/** [batch = 1, channel, height, width] */
export const LINE_SHAPE = [1, CHANNELS, LINE_HEIGHT, LINE_WIDTH] as const;

/** @returns row-major `LINE_SHAPE`; rejects with one clear line when the file is no picture */
export async function loadLine(path: string): Promise<Float32Array<ArrayBuffer>> {
  try {
    return await prepareLine(path);
  } catch (error) {
    throw new Error(`cannot read the picture ${path}: ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  }
}

/** The same of a file, or of what is in one. */
export async function prepareLine(file: string | Buffer): Promise<Float32Array<ArrayBuffer>> {
  const picture = sharp(file);
  const { width, height } = await picture.metadata();
  const scaledWidth = Math.min(LINE_WIDTH, Math.max(1, Math.round((width * LINE_HEIGHT) / height)));
  const pixels = await picture
    .resize(scaledWidth, LINE_HEIGHT, { fit: 'fill' })
    .flatten({ background: 'white' }) // behind transparent parts
    .toColourspace('srgb')
    .raw()
    .toBuffer(); // [height, width, red-green-blue]

  const line = new Float32Array(CHANNELS * LINE_HEIGHT * LINE_WIDTH);
  for (let channel = 0; channel < CHANNELS; channel++) {
    const rgbChannel = CHANNELS - 1 - channel;
    for (let y = 0; y < LINE_HEIGHT; y++) {
      for (let x = 0; x < scaledWidth; x++) {
        const value = pixels[(y * scaledWidth + x) * CHANNELS + rgbChannel]!;
        line[(channel * LINE_HEIGHT + y) * LINE_WIDTH + x] = (value / 255 - 0.5) / 0.5;
      }
    }
  }
  return line;
}
