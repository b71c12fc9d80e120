import type { Floats, List } from './tensors.js';

/* Lines that are upside down are turned round; the others stay as they are. */

/** PaddleOCR's: a line is left as it is unless that is sure. */
const SURE = 0.9;

export default function turn({ line, facing }: { readonly line: List<Floats>; readonly facing: List<Floats> }): {
  upright: Floats[];
} {
  return {
    upright: line.map((each, index) => {
      const upsideDown = facing[index]?.data[1] ?? 0;
      return upsideDown > SURE ? turned(each!) : each!;
    }),
  };
}

/** What is left free at the end of its width stays there. */
function turned({ shape, data }: Floats): Floats {
  const [, channels = 3, height = 1, width = 1] = shape;
  let used = width;
  const isFree = (column: number): boolean => {
    for (let row = 0; row < channels * height; row++) if (data[row * width + column] !== 0) return false;
    return true;
  };
  while (used > 1 && isFree(used - 1)) used -= 1;
  const result = new Float32Array(data.length);
  for (let channel = 0; channel < channels; channel++) {
    for (let row = 0; row < height; row++) {
      const from = (channel * height + height - 1 - row) * width;
      const to = (channel * height + row) * width;
      for (let column = 0; column < used; column++) result[to + column] = data[from + used - 1 - column]!;
    }
  }
  return { shape, data: result };
}
