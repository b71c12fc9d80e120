import { readFileSync } from 'node:fs';
import { InvalidArgumentError, Option } from 'commander';

/*
 * How the commands that call a server show it a token. From a file: what is on a command line everybody on the machine can
 * read, and what is in a variable every child is given.
 */

/** RFC 6750, section 2.1. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;

/** The value that it leaves is the token. */
export function tokenOption(
  flag = '--token-file',
  description = 'file with the token that the server asks for, and nothing else',
): Option {
  return new Option(`${flag} <file>`, description).argParser(tokenIn);
}

export function authorization(token: string | undefined): Readonly<Record<string, string>> {
  return token === undefined ? {} : { authorization: `Bearer ${token}` };
}

function tokenIn(path: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8').trim();
  } catch (error) {
    throw new InvalidArgumentError(`${(error as Error).message}.`);
  }
  // Never repeats what the file says.
  if (!TOKEN.test(text)) throw new InvalidArgumentError(`${path} is no token: it should have one, and nothing else.`);
  return text;
}
