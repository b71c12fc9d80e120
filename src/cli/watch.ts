import { setTimeout as delay } from 'node:timers/promises';
import { Command } from 'commander';
import { UserError, withConfiguration } from './options.js';
import { authorization, tokenOption } from './token-flag.js';
import { WatchDisplay } from './watch-display.js';
import { clientTls, withClientTls, type ClientTlsFlags } from './tls-flags.js';
import { feedUrl, readFeed, type FeedAccess } from './watch-feed.js';

/* `sponge watch`: allocation, queue and violations of a running server, in the terminal. */

const DEFAULT_URL = 'http://127.0.0.1:8002';
const RECONNECT_MS = 1000;

export function watchCommand(): Command {
  const command = new Command('watch')
    .description(
      "show a running server's allocation, queue and violations live in the terminal; one plain line a second where it is none",
    )
    .argument('[url]', "address of the server's metrics port", DEFAULT_URL)
    .addOption(tokenOption());
  withClientTls(command)
    .addHelpText(
      'after',
      `
Examples:
  sponge watch
  sponge watch http://10.0.0.7:8002
  sponge watch https://10.0.0.7:8002 --ca ca.pem
  sponge watch > watched.log

The same as a page: open the address in a browser.`,
    )
    .action(watch);
  return withConfiguration(command);
}

interface WatchFlags extends ClientTlsFlags {
  /** The token itself: see `tokenOption`. */
  readonly tokenFile?: string;
}

/** Until it is interrupted; a server that ends is waited for. */
async function watch(text: string, flags: WatchFlags): Promise<void> {
  const url = feedUrl(text);
  const tls = clientTls(flags);
  const display = createDisplay(`${url.origin}, Ctrl-C ends`);
  const interruption = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interruption.abort());
  // A reader that has seen enough, `| head` for example: there is nothing else to do here.
  process.stdout.on('error', () => interruption.abort());
  display.begin();
  try {
    await showFeed(url, { tls, headers: authorization(flags.tokenFile) }, display, interruption.signal);
  } catch (error) {
    if (!interruption.signal.aborted) throw error;
  } finally {
    display.end();
  }
}

async function showFeed(url: URL, access: FeedAccess, display: WatchDisplay, signal: AbortSignal): Promise<void> {
  let isKnown = false;
  for (;;) {
    let cause = 'the server has ended';
    try {
      for await (const item of readFeed(url, access, signal)) {
        isKnown = true;
        if (item.kind === 'run') display.onRun(item.header);
        else display.onMessage(item.message);
      }
    } catch (error) {
      signal.throwIfAborted();
      // A wrong address is said at once; a server that was there may come back.
      if (!isKnown) throw new UserError((error as Error).message);
      cause = (error as Error).message;
    }
    display.onLost(`${url.origin}: ${cause}; trying again`);
    await delay(RECONNECT_MS, undefined, { signal });
  }
}

/** On stdout, as wide as that is. */
export function createDisplay(status: string): WatchDisplay {
  const display = new WatchDisplay({
    output: process.stdout,
    environment: process.env,
    readNowMs: () => performance.now(),
    status,
  });
  process.stdout.on('resize', () => display.onResize());
  // Whatever ends the process: a terminal without a cursor is of no use to anybody.
  process.on('exit', () => display.end());
  return display;
}
