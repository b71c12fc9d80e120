/**
 * A name that somebody else chose, to be shown to people: control characters (of a terminal too), line ends, and what turns
 * the direction of text around are written as `\u001b`. All else stays as it is.
 */
export function printable(text: string): string {
  return text.replace(
    /[\p{Cc}\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\p{Surrogate}]/gu,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}
