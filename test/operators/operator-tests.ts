import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Tensor, TensorSpec } from '../../src/scheduler/domain/tensor.js';
import { ModelSessions } from '../../src/server/onnx-runtime/model-sessions.js';
import { Runtime } from '../../src/server/onnx-runtime/runtime.js';
import { UnsupportedModelError } from '../../src/server/onnx-runtime/unsupported-model-error.js';
import { bytesOfHeld, isHeld } from '../../src/server/onnx-runtime/values.js';
import { readTensorFile } from './tensor-files.js';

/*
 * The operator tests of ONNX as Debian packs them (`apt-get install libonnx-testdata`): a model of one or a few operators each,
 * with its inputs and the outputs that ONNX's reference gives.
 */

const TEST_DATA = '/usr/share/libonnx-testdata/data';
const SUITES = ['node', 'simple', 'pytorch-operator', 'pytorch-converted'];

export const isInstalled = existsSync(join(TEST_DATA, 'node'));
export const HOW_TO_INSTALL = `${TEST_DATA} is missing: apt-get install libonnx-testdata`;

export interface OperatorTest {
  /** Of the model when it is served. */
  readonly name: string;
  readonly modelPath: string;
  readonly folder: string;
}

export function listOperatorTests(): OperatorTest[] {
  return SUITES.flatMap((suite) =>
    readdirSync(join(TEST_DATA, suite))
      .sort()
      .map((test) => ({
        name: `${suite}_${test}`,
        modelPath: join(TEST_DATA, suite, test, 'model.onnx'),
        folder: join(TEST_DATA, suite, test, 'test_data_set_0'),
      }))
      .filter(({ modelPath, folder }) => existsSync(modelPath) && existsSync(folder)),
  );
}

/** What ONNX Runtime itself says of a model, before Sponge has anything to do with it. */
export type Standing =
  | { readonly kind: 'served'; readonly inputs: readonly Tensor[]; readonly expected: readonly Tensor[] }
  /** ONNX Runtime does not load it: not Sponge's. */
  | { readonly kind: 'not-loaded'; readonly reason: string }
  /** ONNX Runtime loads it, and the protocol has no words for it. */
  | { readonly kind: 'refused'; readonly reason: string };

/** ONNX Runtime in this process, for one model after another. */
export class Reference {
  readonly #runtime = new Runtime();

  async standingOf(test: OperatorTest): Promise<Standing> {
    let sessions: ModelSessions;
    try {
      sessions = await this.#load(test);
    } catch (error) {
      const reason = (error as Error).message.replaceAll(/\s+/g, ' ');
      return { kind: error instanceof UnsupportedModelError ? 'refused' : 'not-loaded', reason };
    }
    const { inputs, outputs } = sessions.description.signature;
    const named = (kind: 'input' | 'output', specs: readonly TensorSpec[]): Tensor[] =>
      readdirSync(test.folder)
        .filter((file) => file.startsWith(`${kind}_`))
        .flatMap((_, index) => {
          const tensor = readTensorFile(readFileSync(join(test.folder, `${kind}_${index}.pb`)));
          if (tensor === null) return [];
          // In the order of the graph, whatever they are called in the file; a test may leave out an input in between.
          const spec = specs.find(({ name }) => name === tensor.name) ?? specs[index]!;
          // NumPy has no bfloat16: the files have its bits.
          const isBits = spec.datatype === 'BF16' && tensor.datatype === 'UINT16';
          return [{ ...tensor, name: spec.name, datatype: isBits ? spec.datatype : tensor.datatype }];
        });
    return { kind: 'served', inputs: named('input', inputs), expected: named('output', outputs) };
  }

  /** Its own answers to the same inputs, one run after another: operators of chance give another each time. */
  async answers(test: OperatorTest, inputs: readonly Tensor[], count: number): Promise<(readonly Tensor[])[]> {
    const sessions = await this.#load(test);
    const answers: (readonly Tensor[])[] = [];
    while (answers.length < count) answers.push(await this.#run(sessions, inputs));
    return answers;
  }

  async #run(sessions: ModelSessions, inputs: readonly Tensor[]): Promise<readonly Tensor[]> {
    const runOptions = this.#runtime.api.pointer('createRunOptions');
    try {
      const { outputs } = await sessions.run({ inputs, outputNames: [], threadCount: 1, runOptions });
      return outputs.map((output) => {
        if (!isHeld(output)) return output;
        const { name, datatype, shape } = output;
        const tensor = { name, datatype, shape, data: bytesOfHeld(output).slice() };
        this.#runtime.values.release(output.value);
        return tensor;
      });
    } finally {
      this.#runtime.api.call('releaseRunOptions', runOptions);
    }
  }

  #load({ modelPath }: OperatorTest): Promise<ModelSessions> {
    return ModelSessions.load(this.#runtime, modelPath, { threadCounts: [1], onTrouble: () => undefined });
  }
}
