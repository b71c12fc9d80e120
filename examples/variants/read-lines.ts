import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { Client, InferenceError, numbersOf, tensorOf } from 'sponge-inference/client';
import { decodeText, loadCharacters } from '../ocr/decode.js';
import { LINE_SHAPE, prepareLine } from '../ocr/image.js';
import { characterAccuracy, LINE_COUNT, testLines, type TestLine } from './test-lines.js';

/*
 * Sends lines of text to the model `lines`, which has variants, and prints what was read and by which of them; or, with `--measure`, all
 * lines to each variant by its own name, and prints how well each reads: the accuracies that variants.yaml says.
 */

const USAGE = `usage: node --import tsx examples/variants/read-lines.ts [options]

  --count N     so many of the ${LINE_COUNT} lines (default 24)
  --every MS    time from one request to the next (default 100)
  --slo MS      total time budget of each request (default 1000)
  --measure     every line to every variant, one after the other: how well, and how fast
  --url URL     where the server is (default http://127.0.0.1:8000)`;

const MODEL = 'lines';
const VARIANTS = ['full', 'three-quarters', 'two-thirds'];
const PATIENCE_MS = 30_000;

interface Reading {
  readonly text: string;
  readonly answer: string;
  readonly variant: string;
  readonly computeMs: number;
  readonly elapsedMs: number;
  readonly isLate: boolean;
}

class Reader {
  readonly #client: Client;
  readonly #characters = loadCharacters();

  constructor(url: string) {
    this.#client = new Client(url);
  }

  /** @throws InferenceError where it is refused */
  async read(model: string, { text, picture }: TestLine, sloMs: number): Promise<Reading> {
    const inputs = [tensorOf('x', LINE_SHAPE, await prepareLine(picture))];
    const signal = AbortSignal.timeout(sloMs + PATIENCE_MS);
    const { header, outputs, elapsedMs } = await this.#client.infer({ model, inputs, sloMs, signal });
    const parameters = header.parameters ?? {};
    return {
      ...{ text, elapsedMs, isLate: parameters['sponge_late'] === true },
      answer: decodeText(numbersOf(outputs[0]!, 'FP32'), this.#characters).text,
      variant: String(parameters['sponge_variant'] ?? model),
      computeMs: Number(parameters['sponge_actual_us'] ?? 0) / 1000,
    };
  }
}

async function showLines(reader: Reader, lines: readonly TestLine[], everyMs: number, sloMs: number): Promise<void> {
  const startAtMs = performance.now();
  const counts = new Map<string, number>();
  await Promise.all(
    lines.map(async (line, index) => {
      await sleep(startAtMs + index * everyMs - performance.now());
      const number = String(index + 1).padStart(4);
      try {
        const { answer, variant, elapsedMs, isLate } = await reader.read(MODEL, line, sloMs);
        counts.set(variant, (counts.get(variant) ?? 0) + 1);
        const time = `${elapsedMs.toFixed(0).padStart(6)} ms${isLate ? ' LATE' : ''}`;
        console.log(`${number}  ${variant.padEnd(15)}${time}  "${answer}"`);
      } catch (error) {
        if (!(error instanceof InferenceError)) throw error;
        counts.set('refused', (counts.get('refused') ?? 0) + 1);
        console.log(`${number}  refused: ${error.message}`);
      }
    }),
  );
  console.log(`\n${[...counts].map(([variant, count]) => `${count} by ${variant}`).join(', ')}`);
}

/** Every variant has each line in turn, so that all meet the same machine. */
async function measure(reader: Reader, lines: readonly TestLine[]): Promise<void> {
  const readings = new Map<string, Reading[]>(VARIANTS.map((variant) => [variant, []]));
  for (const line of lines)
    for (const variant of VARIANTS)
      readings.get(variant)!.push(await reader.read(`${MODEL}.${variant}`, line, PATIENCE_MS));
  console.log(`${lines.length} lines, ${lines.reduce((sum, { text }) => sum + text.length, 0)} characters`);
  for (const [variant, read] of readings) {
    const times = read.map(({ computeMs }) => computeMs).sort((a, b) => a - b);
    const accuracy = (100 * characterAccuracy(read)).toFixed(1).padStart(6);
    const exact = read.filter(({ text, answer }) => text === answer).length;
    const median = times[Math.floor(times.length / 2)]!.toFixed(1);
    console.log(
      `${variant.padEnd(15)}${accuracy} % of the characters, ${exact} lines without a fault, ` +
        `${median} ms (median; least ${times[0]!.toFixed(1)})`,
    );
  }
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      count: { type: 'string' },
      every: { type: 'string', default: '100' },
      slo: { type: 'string', default: '1000' },
      measure: { type: 'boolean', default: false },
      url: { type: 'string', default: 'http://127.0.0.1:8000' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return;
  }
  const positive = (name: string, text: string): number => {
    if (!(Number(text) > 0)) throw new Error(`--${name} must be a number above 0, got "${text}"`);
    return Number(text);
  };
  const count = positive('count', values.count ?? (values.measure ? String(LINE_COUNT) : '24'));
  const lines = await testLines(Math.min(LINE_COUNT, Math.ceil(count)));
  const reader = new Reader(values.url);
  if (values.measure) await measure(reader, lines);
  else await showLines(reader, lines, positive('every', values.every), positive('slo', values.slo));
}

try {
  await main();
} catch (error) {
  console.error(`read-lines: ${error instanceof Error ? error.message : String(error)}`);
  process.exit(1);
}
