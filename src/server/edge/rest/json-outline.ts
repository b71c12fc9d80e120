import { asciiText, BACKSLASH, endOfString } from '../../../protocol/json/bytes.js';
import {
  CLOSE_ARRAY,
  CLOSE_OBJECT,
  COLON,
  COMMA,
  OPEN_ARRAY,
  OPEN_OBJECT,
  QUOTE,
} from '../../../protocol/json/bytes.js';
import { OipFailure } from '../../../protocol/service.js';

/*
 * One look at JSON before it is read: what reading it will cost, and where the tensors' data lie in it. The same megabyte takes 1 ms
 * as one number and 300 ms as empty strings. What no inference request needs is refused here; the rest says on which thread it
 * is read.
 */

/** Members of objects, all together: 4096 inputs with name, datatype, shape and data. */
const MAX_MEMBERS = 4 * 4096;

/** A tensor has 32 axes at most (tensor-layout.ts), and lies four levels deep in its request. */
const MAX_DEPTH = 40;

/**
 * In units of about 0.1 µs; measured on Node 20, AMD EPYC. A number is one, though most take a quarter of that: of what is refused at its
 * end all is `JSON.parse`d as well (0.15 µs), and what `Number` has to read takes up to 0.2.
 */
const MEMBER_COST = 15;
const STRING_COST = 8;
const CONTAINER_COST = 3;

/** Where an array lies in the text: from its opening bracket to behind its closing one. */
export interface ArrayPlace {
  readonly start: number;
  readonly end: number;
}

export interface JsonOutline {
  /** Units of about 0.1 µs; about 1 ms a megabyte at the least. */
  readonly cost: number;
  /** Every array that is the `data` of an object in the top level's `inputs`, in order; of text that is no JSON, anything. */
  readonly dataArrays: readonly ArrayPlace[];
}

/**
 * Text that is no JSON has an outline too: what is wrong with it is said by who parses it.
 * @throws OipFailure `invalid` for more members or levels than a request can have
 */
export function outlineJson(text: Uint8Array): JsonOutline {
  const path = new RequestPath(text);
  const view = new DataView(text.buffer, text.byteOffset, text.byteLength);
  const lastWordAt = text.length - 4;
  let members = 0;
  let strings = 0;
  let containers = 0;
  let numbers = 0;
  for (let index = 0; index < text.length; index++) {
    // Most of a large body is numbers and commas, which are passed over four bytes at a time.
    while (index <= lastWordAt) {
      const word = view.getUint32(index, true);
      const quotes = word ^ 0x22222222;
      // A byte of 0x3a (a colon) or more has its highest bit set, or gets it by adding 0x46; a zero byte by subtracting 1.
      if ((((word + 0x46464646) | word | ((quotes - 0x01010101) & ~quotes)) & 0x80808080) !== 0) break;
      // All bytes are below 0x40 now, and so are their differences to a comma: 0x80 − difference is 0x80 for a comma alone.
      const commas = (0x80808080 - (word ^ 0x2c2c2c2c)) & 0x80808080;
      numbers += Math.imul(commas >>> 7, 0x01010101) >>> 24;
      index += 4;
    }
    switch (text[index]!) {
      case QUOTE: {
        strings += 1;
        const end = endOfString(text, index + 1);
        path.string(index, end);
        index = end;
        break;
      }
      case COMMA:
        numbers += 1;
        path.comma();
        break;
      case COLON:
        members += 1;
        if (members > MAX_MEMBERS) throw tooManyMembers();
        path.colon();
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        containers += 1;
        path.open(index);
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        path.close(index);
        break;
    }
  }
  const cost = numbers + MEMBER_COST * members + STRING_COST * strings + CONTAINER_COST * containers;
  return { cost, dataArrays: path.dataArrays };
}

function tooManyMembers(): OipFailure {
  return new OipFailure('invalid', `JSON has more than ${MAX_MEMBERS} members in its objects`);
}

/** How deep the arrays and objects of a request lie, the outermost being 1. */
const REQUEST_DEPTH = 1;
const INPUTS_DEPTH = 2;
const INPUT_DEPTH = 3;
const DATA_DEPTH = 4;

/** Follows the brackets and keys of a request down to its inputs' data. In JSON a colon follows a key, and nothing else does. */
class RequestPath {
  readonly dataArrays: ArrayPlace[] = [];
  private readonly text: Uint8Array;
  private depth = 0;
  private lastString: ArrayPlace = { start: 0, end: 0 };
  /** How deep in request → inputs → input this place is, not counting brackets of anything else. */
  private reached = 0;
  /** The member of the request, or of an input, that this place is the value of is the one looked for. */
  private isWanted = false;
  private dataStart = -1;

  constructor(text: Uint8Array) {
    this.text = text;
  }

  string(start: number, end: number): void {
    if (this.depth === this.reached) this.lastString = { start, end: end + 1 };
  }

  comma(): void {
    if (this.depth === this.reached) this.isWanted = false;
  }

  colon(): void {
    if (this.depth !== this.reached) return;
    if (this.depth === REQUEST_DEPTH) this.isWanted = this.isKey('inputs');
    else if (this.depth === INPUT_DEPTH) this.isWanted = this.isKey('data');
  }

  open(index: number): void {
    this.depth += 1;
    if (this.depth > MAX_DEPTH) throw new OipFailure('invalid', `JSON is nested more than ${MAX_DEPTH} levels deep`);
    if (this.depth !== this.reached + 1) return;
    const isObject = this.text[index] === OPEN_OBJECT;
    if (this.depth === REQUEST_DEPTH || this.depth === INPUT_DEPTH) {
      if (isObject) this.reached = this.depth;
      this.isWanted = false;
    } else if (this.isWanted && !isObject) {
      if (this.depth === INPUTS_DEPTH) this.reached = this.depth;
      else this.dataStart = index;
    }
  }

  close(index: number): void {
    if (this.depth === DATA_DEPTH && this.dataStart >= 0) {
      this.dataArrays.push({ start: this.dataStart, end: index + 1 });
      this.dataStart = -1;
    }
    if (this.depth === this.reached && this.reached > 0) {
      this.reached -= 1;
      this.isWanted = false;
    }
    this.depth -= 1;
  }

  /** Whether the last string says `key`: letters, of which any may be escaped as `\u0064`. */
  private isKey(key: string): boolean {
    const { start, end } = this.lastString;
    let at = start + 1;
    for (let index = 0; index < key.length; index++) {
      const code = key.charCodeAt(index);
      const isEscaped = this.text[at] === BACKSLASH;
      if (isEscaped && asciiText(this.text, at, at + 6).toLowerCase() !== `\\u00${code.toString(16)}`) return false;
      if (!isEscaped && this.text[at] !== code) return false;
      at += isEscaped ? 6 : 1;
    }
    return at === end - 1;
  }
}
