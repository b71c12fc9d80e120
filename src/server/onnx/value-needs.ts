/*
 * What the operators behind a value need it to be. Needs are met where the value comes from: at an input of the graph, whose hint
 * they become.
 */

/** Values for the elements of a tensor, in row-major order. */
export type InputHint =
  /** Any between these, each element for itself. */
  | { readonly kind: 'range'; readonly least: number; readonly most: number }
  /** Element i is `first + step · i`; the last one is `last` where that is not null. */
  | { readonly kind: 'count'; readonly first: number; readonly step: number; readonly last: number | null }
  /** These, at least one; where there are more elements, the rest is like the last. */
  | { readonly kind: 'list'; readonly values: readonly number[] }
  | { readonly kind: 'text'; readonly text: string };

export type NumberHint = Exclude<InputHint, { kind: 'text' }>;

export interface Needs {
  readonly number: NumberHint | null;
  /** Of whole numbers only: no float ends a process by dividing by zero. */
  readonly integer: NumberHint | null;
  /** Of text that becomes a number. */
  readonly text: string | null;
  /** A constant that it is compared with: what it may well be, where nothing says what it must be. */
  readonly compared: number | null;
}

export const NO_NEEDS: Needs = { number: null, integer: null, text: null, compared: null };

export function range(least: number, most: number): NumberHint {
  return { kind: 'range', least, most };
}

export function exactly(value: number): NumberHint {
  return range(value, value);
}

/**
 * `earlier` belongs to the operator that runs first. Ranges are intersected; what says each element's value is stricter than a
 * range. Where both cannot be met the earlier is: the later operator would not even be reached otherwise.
 */
export function both(earlier: Needs, later: Needs): Needs {
  return {
    number: strictest(earlier.number, later.number),
    integer: strictest(earlier.integer, later.integer),
    text: earlier.text ?? later.text,
    compared: earlier.compared ?? later.compared,
  };
}

function strictest(earlier: NumberHint | null, later: NumberHint | null): NumberHint | null {
  if (earlier === null || later === null) return earlier ?? later;
  if (later.kind !== 'range') return earlier.kind === 'range' ? later : earlier;
  if (earlier.kind !== 'range') return earlier;
  const least = Math.max(earlier.least, later.least);
  const most = Math.min(earlier.most, later.most);
  return least <= most ? range(least, most) : earlier;
}

/** What is needed of every element alike: of a value whose elements were reordered, picked or joined by others. */
export function ofAnyElement(needs: Needs): Needs {
  return { ...needs, number: alike(needs.number), integer: alike(needs.integer) };
}

function alike(hint: NumberHint | null): NumberHint | null {
  switch (hint?.kind) {
    case 'count':
      return hint.step === 0 ? exactly(hint.first) : null;
    case 'list':
      return hint.values.every((value) => value === hint.values[0]) ? exactly(hint.values[0]!) : null;
    default:
      return hint ?? null;
  }
}

/**
 * Of one of several values that are joined, in order. Where there are as many as elements each is taken for one element, as exporters
 * join the sizes of a shape. "Whatever is left" (−1) is a size only of the last.
 */
export function ofPart(needs: Needs, part: number, partCount: number): Needs {
  const { number } = needs;
  if (number?.kind === 'list' && number.values.length === partCount) {
    return { ...ofAnyElement(needs), number: exactly(Math.max(1, number.values[part]!)) };
  }
  const hasEqualSteps = number?.kind === 'count' && number.step === 0;
  return hasEqualSteps && part === partCount - 1 ? { ...ofAnyElement(needs), number } : ofAnyElement(needs);
}

const STRING = 8;
const FLOATS: ReadonlySet<number> = new Set([1, 10, 11, 16]);
/** `TensorProto.DataType` of 8 to 64 bits with and without a sign. */
const INTEGERS: ReadonlySet<number> = new Set([2, 3, 4, 5, 6, 7, 12, 13]);

/** Of a value that is cast to another type. @param elementType of the result; 0 where it is not known */
export function beforeCast({ number, integer, text, compared }: Needs, elementType: number): Needs {
  if (elementType === STRING) return { ...NO_NEEDS, text };
  const isInteger = INTEGERS.has(elementType);
  const ofNumber = isInteger ? strictest(number, integer) : number;
  const ofInteger = isInteger || FLOATS.has(elementType) ? null : integer;
  // Every text that ends up as a number must be one; "1" is a valid boolean, index, size and divisor.
  return { number: ofNumber, integer: ofInteger, text: elementType === 0 ? text : '1', compared };
}

/** @param elementType of the graph's input; 0 for what is no tensor   @param isSingle it has one element */
export function hintFor(
  { number, integer, text, compared }: Needs,
  elementType: number,
  isSingle: boolean,
): InputHint | null {
  if (elementType === 0) return null;
  if (elementType === STRING) {
    return text === null ? null : { kind: 'text', text: number === null ? text : String(firstOf(number)) };
  }
  const needed = INTEGERS.has(elementType) ? strictest(number, integer) : number;
  return needed ?? (compared !== null && isSingle ? exactly(compared) : null);
}

function firstOf(hint: NumberHint): number {
  switch (hint.kind) {
    case 'range':
      return hint.least;
    case 'count':
      return hint.first;
    case 'list':
      return hint.values[0]!;
  }
}
