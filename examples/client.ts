import { Client, InferenceError, numbersOf, tensorOf } from 'sponge-inference/client';

/*
 * Sends zeros to a model that has one FP32 input, with a deadline, and prints what came back and how its time was spent.
 *
 *   sponge serve examples/models
 *   node --import tsx examples/client.ts ocr 1,3,48,320
 */

const [model = 'ocr', sizes = '1,3,48,320', url = 'http://127.0.0.1:8000'] = process.argv.slice(2);
const client = new Client(url);

const { inputs } = await client.describe(model);
const shape = sizes.split(',').map(Number);
const zeros = new Float32Array(shape.reduce((product, size) => product * size, 1));

try {
  const answer = await client.infer({ model, inputs: [tensorOf(inputs[0]!.name, shape, zeros)], sloMs: 1000 });
  for (const output of answer.outputs) console.log(output.name, output.shape, numbersOf(output, 'FP32').slice(0, 4));
  console.log(`answered in ${answer.elapsedMs.toFixed(1)} ms`, answer.header.parameters);
} catch (error) {
  if (!(error instanceof InferenceError)) throw error;
  console.error(error.message, error.retryAfterMs === null ? '' : `(try again after ${error.retryAfterMs} ms)`);
  process.exitCode = 1;
}
