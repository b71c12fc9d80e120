import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { textsOf } from '../../bench/text/texts.js';
import { eventually, TestBench } from '../system/server/harness.js';
import { textPython } from './packages.js';
import { MINILM_FILES, miniLm, quantisedMiniLm } from './text-model.js';

/*
 * all-MiniLM-L6-v2 as a text model, float and quantised: vectors equal to those of Python's ONNX Runtime and tokenizers for the same files, each
 * text alone there and all of them in one call here.
 */

const MOST_TOKENS = 256;
/** Of a vector of length 1. */
const TOLERANCE = 1e-4;
/** What tokenizers trip over, beside texts of many lengths. */
const ODD = [
  ...['', 'a', 'İstanbul ǅ ß ſ', 'naïve émigré, co-operate!', '漢字かな交じり文', '😀 👩‍👩‍👧', '[CLS] not special [SEP]'],
  ...[
    'x'.repeat(5000),
    '😀'.repeat(300),
    '\n\t mixed\r\nlines\u00a0\u200b',
    '3.14159 e-mail@example.org',
    '. '.repeat(600),
  ],
];

/** @returns what is wrong, a line each; and prints how near the vectors are */
export async function compareTexts(): Promise<readonly string[]> {
  const kinds = [
    { name: 'minilm', folder: miniLm(), isPadded: true },
    { name: 'minilm-quantised', folder: quantisedMiniLm(), isPadded: false },
  ];
  const texts = [...ODD, ...textsOf(60, 3)];
  const bench = new TestBench();
  const wrong: string[] = [];
  try {
    for (const { name, folder } of kinds) {
      mkdirSync(bench.path(`models/${name}`), { recursive: true });
      for (const file of MINILM_FILES) copyFileSync(join(folder, file), bench.path(`models/${name}/${file}`));
      bench.file(`models/${name}/model.yaml`, `text: { max_tokens: ${MOST_TOKENS} }\n`);
    }
    const server = await bench.serve(bench.path('models'), ['--no-refine']);
    const isTold = (name: string): boolean =>
      new RegExp(`${name}\\.tensors.*change by .* with padding`).test(server.log);
    await eventually('the word of padding', () => isTold('minilm-quantised'));
    for (const { name, folder, isPadded } of kinds) {
      if (isPadded === isTold(name)) wrong.push(`${name}: it is ${isPadded ? 'not ' : ''}padded`);
      const args = [
        join(import.meta.dirname, 'text_reference.py'),
        ...MINILM_FILES.map((file) => join(folder, file)),
        String(MOST_TOKENS),
      ];
      const printed = execFileSync(textPython(), args, {
        input: JSON.stringify(texts),
        encoding: 'utf8',
        maxBuffer: 2 ** 28,
      });
      const reference = JSON.parse(printed) as number[][];
      const response = await fetch(`${server.rest}/v1/embeddings`, {
        ...{ method: 'POST', body: JSON.stringify({ model: name, input: texts }) },
      });
      const { data } = (await response.json()) as { data: { embedding: number[] }[] };
      const differences = reference.map((vector, i) =>
        Math.max(...vector.map((value, axis) => Math.abs(value - data[i]!.embedding[axis]!))),
      );
      const most = Math.max(...differences);
      console.log(
        `${name.padEnd(21)} ${texts.length} texts in one call: at most ${most.toExponential(1)} from Python's`,
      );
      differences.forEach((difference, i) => {
        if (!(difference <= TOLERANCE))
          wrong.push(`${name}: text ${i} differs by ${difference}: ${texts[i]!.slice(0, 40)}`);
      });
    }
  } finally {
    await bench.close();
  }
  return wrong;
}
