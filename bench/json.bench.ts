import { decodeInferBody } from '../src/server/edge/rest/infer-request.js';
import { encodeInferResponse } from '../src/server/edge/rest/infer-response.js';
import { outlineJson } from '../src/server/edge/rest/json-outline.js';
import { interleaved } from './harness/repeat.js';
import { atMost, isTiny, report } from './harness/row.js';

/*
 * What an image as JSON costs: 3 × 224 × 224 FP32 numbers from the bytes of a request to a typed array, and from a typed array to the
 * bytes of an answer, beside what one would write first: `JSON.parse` and a typed array of what it made; `JSON.stringify`
 * of an array. Budget: 6 ms each way.
 *
 *   npx tsx bench/json.bench.ts [--tiny]
 *
 * Floats have up to 17 digits where they are made doubles before they are written, as Python's `tolist()` and JavaScript's typed
 * arrays do, and three where somebody rounded them.
 */

const SHAPE = isTiny ? [1, 3, 8, 8] : [1, 3, 224, 224];
const COUNT = SHAPE.reduce((product, size) => product * size, 1);
const ROUNDS = isTiny ? 2 : 31;
const BUDGET = atMost(6);

/** Linear congruential sequence (Numerical Recipes), in [0, 1). */
let lcgState = 1;
function nextRandom(): number {
  lcgState = (Math.imul(lcgState, 1_664_525) + 1_013_904_223) >>> 0;
  return lcgState / 2 ** 32;
}

const floats = Float32Array.from({ length: COUNT }, nextRandom);
const rounded = Array.from(floats, (value) => Math.round(1000 * value) / 1000);

/** CPU time of all the process's threads: the collector's are part of the price, and others' turns on the cores are not. */
function timed(act: () => unknown): () => Promise<number> {
  return () => {
    const before = process.cpuUsage();
    act();
    const { user, system } = process.cpuUsage(before);
    return Promise.resolve((user + system) / 1000);
  };
}

for (const [digits, values] of [
  ['17 digits', [...floats]],
  ['3 digits', rounded],
] as const) {
  const body = Buffer.from(JSON.stringify({ inputs: [{ name: 'x', shape: SHAPE, datatype: 'FP32', data: values }] }));
  const { ours, parsed } = await interleaved(ROUNDS, {
    ours: timed(() => decodeInferBody(body, null, outlineJson(body))),
    parsed: timed(() => {
      const { inputs } = JSON.parse(body.toString('utf8')) as { inputs: [{ data: number[] }] };
      return Float32Array.from(inputs[0].data);
    }),
  });
  report({
    what: `${COUNT} FP32 of ${digits}, JSON → typed array`,
    unit: 'ms CPU',
    ours,
    baseline: { what: 'JSON.parse, then filled', values: parsed },
    budget: BUDGET,
    note: `${body.length} bytes`,
  });
}

const response = { modelName: 'm', modelVersion: '1', parameters: {} };
const tensor = { name: 'y', datatype: 'FP32', shape: SHAPE, data: new Uint8Array(floats.buffer) } as const;
const { ours, stringified, alone } = await interleaved(ROUNDS, {
  ours: timed(() => encodeInferResponse({ ...response, outputs: [{ tensor, isBinary: false }] })),
  stringified: timed(() => Buffer.from(JSON.stringify(Array.from(floats)))),
  alone: timed(() => floats.reduce((length, value) => length + String(value).length, 0)),
});
for (const [what, values] of [
  ['JSON.stringify', stringified],
  ['String of each number, thrown away', alone],
] as const) {
  report({
    what: `${COUNT} FP32, typed array → JSON, beside ${what}`,
    unit: 'ms CPU',
    ours,
    baseline: { what, values },
    budget: BUDGET,
    note: '',
  });
}
