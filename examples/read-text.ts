import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { loadCharacters } from './ocr/decode.js';
import { LINE_SHAPE, loadLine } from './ocr/image.js';
import { prepareQuestion } from './ocr/infer.js';
import { showPage } from './read-page.js';
import { COLUMNS, describeReplies, describeReply, replyRow, type Reply } from './ocr/report.js';

/*
 * Sends a picture of a line of text with a deadline and prints the text that was read, and what the server says about how
 * it served the request. With `--count` it sends several, on a fixed beat and without waiting for answers, so that queue,
 * batches and CPU allocation can be watched; they are decoded when all are here, so that the beat is kept.
 */

const USAGE = `usage: node --import tsx examples/read-text.ts [picture] [options]

  picture       one line of text, any size and format (default: examples/line-of-text.png)
  --slo MS      total time budget of each request (default 250)
  --url URL     where the server is (default http://127.0.0.1:8000)
  --count N     send the picture N times (default 1)
  --every MS    time from one request to the next (default 100)
  --page        a picture of a whole page instead (default: examples/page/page.jpg, SLO 5000 ms), for "npm run start:page"

A line of 20 that share batches:  node --import tsx examples/read-text.ts --count 20 --every 20 --slo 500`;

const MODEL = 'ocr';
const DEFAULT_PICTURE = fileURLToPath(new URL('line-of-text.png', import.meta.url));

interface Options {
  /** Undefined: the one that is here. */
  readonly picture: string | undefined;
  readonly isPage: boolean;
  readonly url: string;
  readonly sloMs: number;
  readonly count: number;
  readonly everyMs: number;
}

/** Null: help was asked for. Throws one clear line. */
function readOptions(): Options | null {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      page: { type: 'boolean', default: false },
      slo: { type: 'string' },
      url: { type: 'string', default: 'http://127.0.0.1:8000' },
      count: { type: 'string', default: '1' },
      every: { type: 'string', default: '100' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) return null;
  const isPage = values.page;
  values.slo ??= isPage ? '5000' : '250';
  const positive = (name: 'slo' | 'count' | 'every'): number => {
    const value = Number(values[name]);
    if (!(value > 0) || value === Infinity)
      throw new Error(`--${name} must be a number above 0, got "${values[name]}"`);
    return value;
  };
  const count = positive('count');
  if (!Number.isInteger(count)) throw new Error(`--count must be a whole number, got "${values.count}"`);
  return {
    picture: positionals[0],
    isPage,
    url: values.url.replace(/\/+$/, ''),
    sloMs: positive('slo'),
    count,
    everyMs: positive('every'),
  };
}

async function main(): Promise<void> {
  const options = readOptions();
  if (options === null) {
    console.log(USAGE);
    return;
  }
  const { picture, isPage, url, sloMs, count, everyMs } = options;
  if (isPage) {
    await showPage(url, picture, sloMs);
    return;
  }
  const values = await loadLine(picture ?? DEFAULT_PICTURE);
  const characters = loadCharacters();
  const ask = await prepareQuestion({ url, model: MODEL, shape: LINE_SHAPE, values, sloMs });
  const send = async (): Promise<Reply> => ({ answer: await ask(), sloMs });
  if (count === 1) {
    const reply = await send();
    console.log(describeReply(reply, characters));
    if (reply.answer.kind === 'refused') process.exitCode = 1;
    return;
  }
  console.log(`${count} requests, one every ${everyMs} ms, SLO ${sloMs} ms; times in ms\n${COLUMNS}`);
  const startAtMs = performance.now();
  const replies = await Promise.all(
    Array.from({ length: count }, async (_, index) => {
      await sleep(startAtMs + index * everyMs - performance.now());
      const reply = await send();
      console.log(replyRow(index + 1, reply));
      return reply;
    }),
  );
  console.log(`\n${describeReplies(replies, characters)}`);
}

try {
  await main();
} catch (error) {
  console.error(`read-text: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
