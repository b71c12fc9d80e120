/* The bytes of JSON (RFC 8259) that mean something outside of strings: all ASCII. */
export const QUOTE = 0x22;
export const PLUS = 0x2b;
export const COMMA = 0x2c;
export const MINUS = 0x2d;
export const POINT = 0x2e;
export const ZERO = 0x30;
export const NINE = 0x39;
export const COLON = 0x3a;
export const CAPITAL_E = 0x45;
export const CAPITAL_I = 0x49;
export const CAPITAL_N = 0x4e;
export const OPEN_ARRAY = 0x5b;
export const BACKSLASH = 0x5c;
export const CLOSE_ARRAY = 0x5d;
export const SMALL_E = 0x65;
export const OPEN_OBJECT = 0x7b;
export const CLOSE_OBJECT = 0x7d;

/** Where the next byte is that is no white space. */
export function skipSpace(text: Uint8Array, start: number): number {
  let at = start;
  for (let byte = text[at]!; byte === 0x20 || byte === 0x0a || byte === 0x0d || byte === 0x09; byte = text[at]!)
    at += 1;
  return at;
}

/**
 * Where a string's closing quote is; the end of the text where it has none.
 * @param start behind the opening quote
 */
export function endOfString(text: Uint8Array, start: number): number {
  for (let index = start; index < text.length; index++) {
    const byte = text[index];
    if (byte === QUOTE) return index;
    if (byte === BACKSLASH) index += 1;
  }
  return text.length;
}

/** Bytes as a string, where they are ASCII. */
export function asciiText(text: Uint8Array, start: number, end: number): string {
  const buffer = text instanceof Buffer ? text : Buffer.from(text.buffer, text.byteOffset, text.byteLength);
  return buffer.toString('latin1', start, end);
}

/** What a quoted string of ASCII says; null where it is no JSON, and anything where it is not ASCII. */
export function unquoted(text: Uint8Array, start: number, end: number): string | null {
  const quoted = asciiText(text, start, end);
  if (!quoted.includes('\\')) return quoted.slice(1, -1);
  try {
    return JSON.parse(quoted) as string;
  } catch {
    return null;
  }
}
