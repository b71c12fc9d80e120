/*
 * Arrays of numbers in JSON text → the elements of a tensor, without a JavaScript value for any of them. A scanner takes what is
 * right and nothing else; what is wrong with the rest is said by who reads it with `JSON.parse` (`read-data.ts`).
 */
import { COMMA, OPEN_ARRAY, CLOSE_ARRAY, skipSpace } from './bytes.js';

/** Instead of a place in the text. */
export const WRONG = -1;

/** Reads rows one after another into one tensor. */
export abstract class RowScanner {
  protected readonly text: Uint8Array;
  /** Elements that are read; after a failure, which element is wrong or lies behind what is. */
  protected elementsRead = 0;

  constructor(text: Uint8Array) {
    this.text = text;
  }

  get elementCount(): number {
    return this.elementsRead;
  }

  /**
   * Reads an array of exactly `count` elements.
   * @param start of its opening bracket
   * @returns the place behind its closing bracket, or `WRONG`
   */
  scanRow(start: number, count: number): number {
    if (this.text[start] !== OPEN_ARRAY) return WRONG;
    const at = this.scanElements(skipSpace(this.text, start + 1), count);
    return at !== WRONG && this.text[at] === CLOSE_ARRAY ? at + 1 : WRONG;
  }

  /** To be called behind the last row. */
  abstract finish(): void;

  /** @returns the place of the first byte behind the last element and its white space, or `WRONG` */
  protected abstract scanElements(start: number, count: number): number;
}

/** Where elements are few, or dear each for themselves. */
export abstract class ElementScanner extends RowScanner {
  override finish(): void {
    // Elements are written where they belong as they are read.
  }

  protected override scanElements(start: number, count: number): number {
    let at = start;
    for (let index = 0; index < count; index++) {
      if (index > 0) {
        if (this.text[at] !== COMMA) return WRONG;
        at = skipSpace(this.text, at + 1);
      }
      at = this.scanElement(at, this.elementsRead);
      if (at === WRONG) return WRONG;
      this.elementsRead += 1;
      at = skipSpace(this.text, at);
    }
    return at;
  }

  /** @returns the place behind the element, or `WRONG` */
  protected abstract scanElement(start: number, index: number): number;
}
