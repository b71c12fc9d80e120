import { forEachDataLine, parseAtLeastZero } from './trace-text.js';

/**
 * Request rates from a text with one number a line: requests/s, a line for each second. `#` begins a comment; empty lines
 * do not count as seconds.
 * @param name of the file, for errors
 */
export function parseRates(name: string, text: string): readonly number[] {
  const ratesPerSec: number[] = [];
  forEachDataLine(name, text, (line, place) => {
    ratesPerSec.push(parseAtLeastZero(line, place, 'the rate', 'write one number ≥ 0 a line, requests/s'));
  });
  if (ratesPerSec.every((rate) => rate === 0)) throw new Error(`${name}: every rate is 0; give one above 0`);
  return ratesPerSec;
}
