import { BACKSLASH, CAPITAL_I, CAPITAL_N, QUOTE } from './bytes.js';

/** Bare `NaN`, `Infinity` and `-Infinity` outside of strings, in quotes. Text that has none of them stays as it is. */
export function quoteNonFinite(text: string): string {
  let quoted = '';
  let from = 0;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      at = endOfString(text, at + 1);
      continue;
    }
    if (code !== CAPITAL_N && code !== CAPITAL_I) continue;
    const word = code === CAPITAL_N ? 'NaN' : 'Infinity';
    if (!text.startsWith(word, at)) return text;
    const start = word === 'Infinity' && text[at - 1] === '-' ? at - 1 : at;
    const end = at + word.length;
    quoted += `${text.slice(from, start)}"${text.slice(start, end)}"`;
    from = end;
    at = end - 1;
  }
  return quoted + text.slice(from);
}

/** Where the closing quote is; the end of the text where there is none. */
function endOfString(text: string, start: number): number {
  for (let at = start; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) return at;
    if (code === BACKSLASH) at += 1;
  }
  return text.length;
}
