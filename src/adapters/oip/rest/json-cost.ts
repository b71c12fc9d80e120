import { OipFailure } from '../service.js';

/*
 * What reading JSON will cost, told by its structure before it is read: the same megabyte takes 2 ms as one number and 300 ms as
 * empty strings. What no inference request needs is refused here; the rest says on which thread it is read.
 */

/** Members of objects, all together: 4096 inputs with name, datatype, shape and data. */
const MAX_MEMBERS = 4 * 4096;

/** A tensor has 32 axes at most (tensor-layout.ts), and lies four levels deep in its request. */
const MAX_DEPTH = 40;

/** In units of reading one number, about 0.1 µs; measured with `JSON.parse` and the conversion to tensors on Node 20. */
const MEMBER_COST = 15;
const STRING_COST = 8;
const CONTAINER_COST = 3;

/* ASCII. */
const QUOTE = 0x22;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const BACKSLASH = 0x5c;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/**
 * About 1 ms a megabyte. Text that is no JSON has some cost too: what is wrong with it is said by who parses it.
 * @returns units of about 0.1 µs
 * @throws OipFailure `invalid` for more members or levels than a request can have
 */
export function jsonCost(text: Uint8Array): number {
  let members = 0;
  let strings = 0;
  let containers = 0;
  let numbers = 0;
  let depth = 0;
  for (let index = 0; index < text.length; index++) {
    switch (text[index]!) {
      case QUOTE:
        strings += 1;
        index = endOfString(text, index + 1);
        break;
      case COMMA:
        numbers += 1;
        break;
      case COLON:
        members += 1;
        break;
      case OPEN_ARRAY:
      case OPEN_OBJECT:
        containers += 1;
        depth += 1;
        if (depth > MAX_DEPTH) throw new OipFailure('invalid', `JSON is nested more than ${MAX_DEPTH} levels deep`);
        break;
      case CLOSE_ARRAY:
      case CLOSE_OBJECT:
        depth -= 1;
        break;
    }
  }
  if (members > MAX_MEMBERS)
    throw new OipFailure('invalid', `JSON has more than ${MAX_MEMBERS} members in its objects`);
  return numbers + MEMBER_COST * members + STRING_COST * strings + CONTAINER_COST * containers;
}

/** Where its closing quote is; the end of the text where it has none. */
function endOfString(text: Uint8Array, start: number): number {
  for (let index = start; index < text.length; index++) {
    const byte = text[index];
    if (byte === QUOTE) return index;
    if (byte === BACKSLASH) index += 1;
  }
  return text.length;
}
