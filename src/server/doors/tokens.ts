import { createHash, createHmac, randomBytes, timingSafeEqual } from 'node:crypto';
import { readFile, stat } from 'node:fs/promises';

/*
 * Who may call, by bearer token. The file has a line for each:
 *
 *   <name> <token>   |   <name> <token> read-only        and comments that begin with #
 *
 * A line without a name is refused: it may be a name whose token was forgotten, which everybody could then come in with.
 *
 * A token is compared by its digest, with every entry, so that the time taken tells nothing of it. A browser that has shown one
 * keeps a session instead, which tells nobody the token and ends with it.
 */

/** 16 random bytes in hexadecimal are 32; what is shorter than this can be guessed. */
const LEAST_TOKEN_CHARACTERS = 16;
/** RFC 6750, section 2.1: b64token. */
const TOKEN = /^[A-Za-z0-9._~+/-]+=*$/;
const NAME = /^[\w.-]{1,64}$/;
const MAX_FILE_BYTES = 1 << 20;
const MAX_PRESENTED_CHARACTERS = 4096;
const READ_ONLY = 'read-only';
/** A Kubernetes secret is swapped by a symbolic link, which file watchers miss. */
const POLL_MS = 2000;
const READABLE_BY_OTHERS = 0o044;

export interface Identity {
  /** What its requests are counted by, in place of an address. */
  readonly name: string;
  readonly isReadOnly: boolean;
}

interface Entry extends Identity {
  readonly digest: Buffer;
}

export interface TokenFileOptions {
  readonly path: string;
  /** One line each, for whoever runs the server. */
  readonly onNotice: (line: string) => void;
}

export class TokenFile {
  readonly #options: TokenFileOptions;
  readonly #sessionKey = randomBytes(32);
  readonly #timer: NodeJS.Timeout;
  #entries: readonly Entry[];
  #version: string;

  private constructor(options: TokenFileOptions, entries: readonly Entry[], version: string) {
    this.#options = options;
    this.#entries = entries;
    this.#version = version;
    this.#timer = setInterval(() => void this.reload(), POLL_MS).unref();
  }

  /** @throws Error of one line, with the remedy, where the file cannot be used */
  static async open(options: TokenFileOptions): Promise<TokenFile> {
    const { path } = options;
    try {
      const { version, isReadableByOthers } = await look(path);
      const entries = parseTokens(await readFile(path, 'utf8'));
      if (isReadableByOthers) options.onNotice(`${path} can be read by other users: chmod 600 it`);
      return new TokenFile(options, entries, version);
    } catch (error) {
      throw new Error(`--auth-token-file ${path}: ${explain(error)}`, { cause: error });
    }
  }

  /** Null for a token that is not in the file. */
  identify(token: string): Identity | null {
    return this.#find(digestOf(token), (entry) => entry.digest);
  }

  /** What a browser keeps in place of a token that it has shown. */
  sessionOf(token: string): string {
    return this.#sessionOf(digestOf(token)).toString('base64url');
  }

  identifySession(session: string): Identity | null {
    const presented = Buffer.from(session.slice(0, MAX_PRESENTED_CHARACTERS), 'base64url');
    return this.#find(presented, (entry) => this.#sessionOf(entry.digest));
  }

  /** Of every entry, whatever is found before: neither the place nor the likeness of one shows in the time. */
  #find(presented: Buffer, secretOf: (entry: Entry) => Buffer): Identity | null {
    let found: Identity | null = null;
    for (const entry of this.#entries) {
      const secret = secretOf(entry);
      if (presented.length === secret.length && timingSafeEqual(presented, secret)) found = entry;
    }
    return found;
  }

  #sessionOf(digest: Buffer): Buffer {
    return createHmac('sha256', this.#sessionKey).update(digest).digest();
  }

  /** Takes the file as it is now, where it has changed. A bad one is told of once, and the tokens before it stay. */
  async reload(): Promise<void> {
    const { path, onNotice } = this.#options;
    try {
      const { version } = await look(path);
      if (version === this.#version) return;
      this.#version = version;
      this.#entries = parseTokens(await readFile(path, 'utf8'));
      onNotice(`${path} has changed: ${this.#entries.length} tokens are valid now`);
    } catch (error) {
      const failure = explain(error);
      if (this.#version === failure) return;
      if (isFileError(error)) this.#version = failure;
      onNotice(`${path}: ${failure}; the tokens from before stay valid`);
    }
  }

  close(): void {
    clearInterval(this.#timer);
  }
}

/** @throws Error that names the line, and never what it says */
function parseTokens(text: string): readonly Entry[] {
  const entries: Entry[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    const words = line
      .replace(/(^|\s)#.*$/, '')
      .split(/\s+/)
      .filter(Boolean);
    if (words.length === 0) continue;
    const entry = parseEntry(words);
    if (typeof entry === 'string') throw new Error(`line ${index + 1}: ${entry}`);
    if (entries.some(({ digest }) => digest.equals(entry.digest))) {
      throw new Error(`line ${index + 1}: this token is there already; give each line its own`);
    }
    entries.push(entry);
  }
  if (entries.length === 0) throw new Error('there is no token in it; add a line "<name> <token>"');
  return entries;
}

/** Or what is wrong with it. */
function parseEntry(words: readonly string[]): Entry | string {
  const isReadOnly = words.length > 1 && words.at(-1) === READ_ONLY;
  const [name = '', token, ...more] = isReadOnly ? words.slice(0, -1) : words;
  if (token === undefined || more.length > 0) return `expected "<name> <token>" and perhaps "${READ_ONLY}"`;
  if (token.length < LEAST_TOKEN_CHARACTERS) {
    return `a token has at least ${LEAST_TOKEN_CHARACTERS} characters; make one with "openssl rand -hex 32"`;
  }
  if (!TOKEN.test(token)) return 'a token consists of letters, digits and -._~+/, and may end with =';
  if (!NAME.test(name)) return 'a name has 1 to 64 letters, digits, dots, - or _';
  return { name, isReadOnly, digest: digestOf(token) };
}

/** What tells one state of the file from another, also where a link to it has been swapped. */
async function look(path: string): Promise<{ version: string; isReadableByOthers: boolean }> {
  const { ino, size, mtimeMs, ctimeMs, mode } = await stat(path);
  if (size > MAX_FILE_BYTES) throw new Error('larger than 1 MiB; a token is a line');
  return { version: [ino, size, mtimeMs, ctimeMs].join(' '), isReadableByOthers: (mode & READABLE_BY_OTHERS) !== 0 };
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token.slice(0, MAX_PRESENTED_CHARACTERS)).digest();
}

function isFileError(error: unknown): error is NodeJS.ErrnoException {
  return error instanceof Error && 'code' in error;
}

function explain(error: unknown): string {
  switch (isFileError(error) ? error.code : undefined) {
    case 'ENOENT':
      return 'no such file; check the path';
    case 'EACCES':
      return 'no right to read it; let the user that runs the server own it';
    case 'EISDIR':
      return 'a directory; name the file in it';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}
