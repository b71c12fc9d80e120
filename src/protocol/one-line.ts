/** A text that others wrote, as one line of bounded length, without control characters. */
export function asOneLine(text: string, mostCharacters: number): string {
  // Clipped before as well: what comes may be megabytes.
  const line = text
    .slice(0, 4 * mostCharacters)
    .replace(/[\s\p{Cc}]+/gu, ' ')
    .trim();
  return line.length <= mostCharacters ? line : `${line.slice(0, mostCharacters - 1)}…`;
}
