import { HOW_TO_INSTALL, isInstalled, listOperatorTests } from './operator-tests.js';
import { judgeAll, type Judged } from './operator-suite.js';

/*
 * `npm run test:operators [name…]`: ONNX's operator tests through a running Sponge, and a table of what became of them. Exits 1
 * when an answer is wrong or a model does not start; 0, loudly, where the tests are not installed. About ten minutes on two cores.
 */

const TITLES: Readonly<Record<Judged['verdict']['kind'], string>> = {
  right: "right: as ONNX's reference",
  'right-by-runtime': 'right: as ONNX Runtime alone, which differs from the reference',
  chance: 'right in type and shape: operators of chance',
  'fails-alone': 'ONNX Runtime alone fails on the inputs too',
  refused: 'refused',
  'not-loaded': 'not loaded by ONNX Runtime',
  wrong: 'WRONG',
  'not-started': 'NOT STARTED',
};

/** Names, numbers and paths made one, so that equal reasons count together. */
function kindOfReason(reason: string): string {
  return reason
    .replaceAll(/'[^']*'/g, "'…'")
    .replaceAll(/\/\S+/g, '…')
    .replace(/(Could not find an implementation for) \S+/, '$1 …')
    .slice(0, 110);
}

function print(judged: readonly Judged[]): void {
  const reasons = new Map<string, Judged[]>();
  for (const entry of judged) {
    const { verdict } = entry;
    const isSorted = verdict.kind === 'refused' || verdict.kind === 'not-loaded' || verdict.kind === 'fails-alone';
    const key = isSorted ? `${TITLES[verdict.kind]}: ${kindOfReason(verdict.reason)}` : TITLES[verdict.kind];
    reasons.set(key, [...(reasons.get(key) ?? []), entry]);
  }
  const order = Object.values(TITLES);
  const rank = (key: string): number => order.findIndex((title) => key.startsWith(title));
  for (const [key, entries] of [...reasons].sort(([a], [b]) => rank(a) - rank(b))) {
    console.log(`${String(entries.length).padStart(5)}  ${key}`);
  }
  for (const { test, verdict } of judged) {
    if (verdict.kind === 'wrong') console.log(`wrong: ${test.name}: ${verdict.difference}`);
    if (verdict.kind === 'not-started') console.log(`not started: ${test.name}: ${verdict.reason}`);
  }
}

async function main(names: readonly string[]): Promise<void> {
  if (!isInstalled) {
    console.log(`SKIPPED, nothing was tested: ${HOW_TO_INSTALL}`);
    return;
  }
  const tests = listOperatorTests().filter(
    ({ name }) => names.length === 0 || names.some((part) => name.includes(part)),
  );
  const startedAtMs = performance.now();
  const judged = await judgeAll(tests, (sofar) => process.stderr.write(`\r${sofar.length} of ${tests.length} `));
  process.stderr.write('\n');
  print(judged);
  const served = judged.filter(({ verdict }) => verdict.kind !== 'refused' && verdict.kind !== 'not-loaded');
  const profiledCount = served.filter(({ isProfiledAtStart }) => isProfiledAtStart).length;
  console.log(`${profiledCount} of ${served.length} models profiled at start, on made-up inputs`);
  console.log(`${judged.length} tests in ${((performance.now() - startedAtMs) / 60_000).toFixed(1)} min`);
  const isBad = judged.some(({ verdict }) => verdict.kind === 'wrong' || verdict.kind === 'not-started');
  process.exitCode = isBad || judged.length === 0 ? 1 : 0;
}

await main(process.argv.slice(2));
