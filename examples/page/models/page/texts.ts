import { decodeText, loadCharacters } from '../../../ocr/decode.js';
import type { Floats, List, Tensor } from './tensors.js';

/* What was read of each line → its text; lines of which nothing was read are left out. */

const characterTable = loadCharacters();

interface Texts {
  readonly text: Tensor<readonly string[]>;
  readonly box: Floats;
  readonly confidence: Floats;
}

export default function texts({ box, characters }: { readonly box: Floats; readonly characters: List<Floats> }): Texts {
  const lines = characters.flatMap((each, index) => {
    if (each === null) return [];
    const { text, confidence } = decodeText(each.data, characterTable);
    return text.trim() === '' ? [] : [{ text, confidence, corners: box.data.subarray(8 * index, 8 * index + 8) }];
  });
  return {
    text: { shape: [lines.length], data: lines.map(({ text }) => text) },
    box: { shape: [lines.length, 4, 2], data: Float32Array.from(lines.flatMap(({ corners }) => [...corners])) },
    confidence: { shape: [lines.length], data: Float32Array.from(lines.map(({ confidence }) => confidence)) },
  };
}
