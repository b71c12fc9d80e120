import type { IncomingMessage } from 'node:http';
import { requestServer, type ClientTls } from '../protocol/client/http.js';
import { parseFeedMessage, parseRunHeader, type FeedMessage } from '../scheduler/domain/event-log.js';
import type { RunHeader } from '../scheduler/domain/event-record.js';
import { UserError } from './options.js';
import { tlsTrouble } from './tls-trouble.js';

/* The live feed of a server, `GET /events`, as a client reads it. */

export type FeedItem =
  { readonly kind: 'run'; readonly header: RunHeader } | { readonly kind: 'message'; readonly message: FeedMessage };

/** A server says something every second or two. */
const MAX_SILENCE_MS = 5000;
/** A message of the feed is at most some 100 KiB; whatever sends more without end is no feed. */
const MAX_MESSAGE_CHARS = 8 * 1024 * 1024;
const ENDLESS = 'a message of the feed has no end';

/** `host:8002`, `http://host:8002/`, and any page of that port. @throws UserError */
export function feedUrl(text: string): URL {
  const base = /^https?:\/\//.test(text) ? text : `http://${text}`;
  if (!URL.canParse(base)) {
    throw new UserError(`${text} is no address; give that of the server's metrics port, such as http://127.0.0.1:8002`);
  }
  return new URL('/events', base);
}

/** How a server is asked: over what, and with which token. */
export interface FeedAccess {
  readonly tls: ClientTls;
  readonly headers?: Readonly<Record<string, string>>;
}

/** Ends when the server ends it. @throws Error, one line, where there is no feed, or something else */
export async function* readFeed(url: URL, access: FeedAccess, signal: AbortSignal): AsyncGenerator<FeedItem> {
  const silence = new AbortController();
  const silenceTimer = setTimeout(
    () => silence.abort(new Error(`nothing heard for ${MAX_SILENCE_MS / 1000} s`)),
    MAX_SILENCE_MS,
  );
  try {
    for await (const item of itemsOf(await open(url, access, AbortSignal.any([signal, silence.signal])), url)) {
      silenceTimer.refresh();
      yield item;
    }
  } catch (error) {
    // Node tells of it as a connection that was cut.
    silence.signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(silenceTimer);
  }
}

async function open(url: URL, { tls, headers }: FeedAccess, signal: AbortSignal): Promise<IncomingMessage> {
  const response = await requestServer(url, {
    method: 'GET',
    headers: { ...headers, accept: 'text/event-stream' },
    signal,
    tls,
  }).catch((error: unknown) => {
    // Of a name with several addresses it has no message, but a code.
    const { code = '', message } = error as NodeJS.ErrnoException;
    throw new Error(tlsTrouble(error, url) ?? `nothing answers at ${url.origin}: ${message === '' ? code : message}`);
  });
  const { statusCode } = response;
  if (statusCode !== 200 || response.headers['content-type']?.startsWith('text/event-stream') !== true) {
    response.destroy();
    if (statusCode === 401) throw new Error(`${url.origin} asks for a token; give a valid one with --token-file`);
    if (statusCode === 503) throw new Error(`${url.origin} has as many watchers as it takes; close one of them`);
    throw new Error(`${url.origin} has no live feed (HTTP ${statusCode}); give the server's metrics port`);
  }
  return response;
}

async function* itemsOf(body: IncomingMessage, url: URL): AsyncGenerator<FeedItem> {
  const parser = new EventStreamParser();
  let header: RunHeader | null = null;
  for await (const text of body.setEncoding('utf8') as AsyncIterable<string>) {
    for (const { event, data } of parser.push(text)) {
      if (event === 'run') {
        header = parseRunHeader(data, `the first message of ${url.href}`);
        yield { kind: 'run', header };
      } else if (header !== null) yield { kind: 'message', message: parseFeedMessage(data, header) };
    }
  }
}

export interface ServerSentEvent {
  /** `message` where it has no name. */
  readonly event: string;
  readonly data: string;
}

/** Takes the text of an event stream in whatever pieces it comes; fields other than `event` and `data` are left out. */
export class EventStreamParser {
  #rest = '';
  #event = 'message';
  #data: string[] = [];
  #dataChars = 0;

  /** @throws Error when a line or a message does not end */
  push(text: string): readonly ServerSentEvent[] {
    const lines = (this.#rest + text).split(/\r\n|\n/);
    this.#rest = lines.pop()!;
    if (this.#rest.length > MAX_MESSAGE_CHARS) throw new Error(ENDLESS);
    const events: ServerSentEvent[] = [];
    for (const line of lines) {
      if (line !== '') this.#take(line);
      else {
        if (this.#data.length > 0) events.push({ event: this.#event, data: this.#data.join('\n') });
        this.#event = 'message';
        this.#data = [];
        this.#dataChars = 0;
      }
    }
    return events;
  }

  #take(line: string): void {
    const [, name, value] = /^([^:]*):? ?(.*)$/.exec(line)!;
    if (name === 'event') this.#event = value!;
    if (name !== 'data') return;
    // A line of no data is one of the message too.
    this.#dataChars += value!.length + 1;
    if (this.#dataChars > MAX_MESSAGE_CHARS) throw new Error(ENDLESS);
    this.#data.push(value!);
  }
}
