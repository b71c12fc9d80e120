import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { elementCount, type Datatype, type Tensor } from '../../src/scheduler/domain/tensor.js';
import { Prng } from '../../src/scheduler/random/prng.js';
import { binaryOutputs, inferBinary, type Reply } from '../system/server/clients.js';
import { TestBench, type RunningServer } from '../system/server/harness.js';
import { numericElements } from '../system/corpus/tensors.js';
import type { ComparedModel } from './models.js';
import { python } from './packages.js';

/*
 * One real model, through Sponge and through Python's ONNX Runtime: the same requests, alone and many at once, and what each
 * process holds afterwards.
 */

export const THREADS = 2;
const LEAST_REQUESTS = 3;
/** Copies of the requests that are sent at once. */
const COPIES = 4;
const SLO_MS = 120_000;
/** Of an output's largest value: threads and batches add up in other orders, through all the layers of a network. */
const TOLERANCE = 1e-4;

/** Of a process, as the kernel counts: all that is mapped and in memory, and of it what is not the page of a file. */
export interface MemoryMb {
  readonly resident: number;
  readonly anonymous: number;
}

export interface Comparison {
  /** What was wrong, one line each; empty where all is right. */
  readonly differences: readonly string[];
  readonly isBatched: boolean;
  readonly oursMb: MemoryMb;
  readonly pythonMb: MemoryMb;
}

const NUMPY_TYPES: Readonly<Partial<Record<Datatype, string>>> = {
  BOOL: 'bool',
  INT32: 'int32',
  INT64: 'int64',
  FP32: 'float32',
};

/** @param source the model's file */
export async function compare(model: ComparedModel, source: string): Promise<Comparison> {
  const bench = new TestBench();
  try {
    const folder = bench.path(model.name);
    mkdirSync(folder);
    const path = join(folder, `${model.name}.onnx`);
    copyFileSync(source, path);
    const prng = new Prng(7);
    const requests = Array.from({ length: Math.max(LEAST_REQUESTS, model.batch) }, () => model.request(prng));
    const reference = askPython(bench, path, model, requests);
    const flags = ['--no-refine', '--threads', [...new Set([1, THREADS])].join(), '--max-batch', String(model.batch)];
    const server = await bench.serve(path, [...flags, ...shapeFlags(requests[0]!)]);
    const differences = await differencesOf(server, model, requests, reference.answers);
    return {
      differences,
      isBatched: !/served one at a time/.test(server.banner),
      oursMb: memoryMb(server.worker()),
      pythonMb: reference.memoryMb,
    };
  } finally {
    await bench.close();
  }
}

/** None where an input is a scalar, which has no size to give: the first request tells. */
function shapeFlags(inputs: readonly Tensor[]): string[] {
  if (inputs.some(({ shape }) => shape.length === 0)) return [];
  return inputs.flatMap(({ name, shape }) => ['--shape', `${name}=${shape.join()}`]);
}

interface Reference {
  readonly answers: readonly (readonly Tensor[])[];
  readonly memoryMb: MemoryMb;
}

interface PythonAnswer {
  readonly answers: readonly (readonly { name: string; shape: number[]; dtype: string; file: string }[])[];
  readonly memoryMb: MemoryMb;
}

function askPython(
  bench: TestBench,
  path: string,
  model: ComparedModel,
  requests: readonly (readonly Tensor[])[],
): Reference {
  const answers = bench.path('answers');
  mkdirSync(answers);
  const job = {
    model: path,
    threads: THREADS,
    batch: model.batch,
    answers,
    requests: requests.map((inputs, index) =>
      inputs.map(({ name, datatype, shape, data }, place) => {
        const file = bench.path(`input-${index}-${place}.bin`);
        writeFileSync(file, data);
        const dtype = NUMPY_TYPES[datatype];
        if (dtype === undefined) throw new Error(`${model.name}: no NumPy type for ${datatype}`);
        return { name, dtype, shape, file };
      }),
    ),
  };
  const script = join(import.meta.dirname, 'reference.py');
  const printed = execFileSync(python(), [script, bench.file('job.json', JSON.stringify(job))], { encoding: 'utf8' });
  const answer = JSON.parse(printed) as PythonAnswer;
  const datatypeOf = (dtype: string): Datatype => {
    const found = Object.entries(NUMPY_TYPES).find(([, type]) => type === dtype);
    if (found === undefined) throw new Error(`${model.name}: output of type ${dtype}`);
    return found[0] as Datatype;
  };
  return {
    memoryMb: answer.memoryMb,
    answers: answer.answers.map((outputs) =>
      outputs.map(({ name, shape, dtype, file }) => ({
        name,
        shape,
        datatype: datatypeOf(dtype),
        data: readFileSync(file),
      })),
    ),
  };
}

async function differencesOf(
  server: RunningServer,
  { name, batch }: ComparedModel,
  requests: readonly (readonly Tensor[])[],
  answers: Reference['answers'],
): Promise<string[]> {
  const send = (inputs: readonly Tensor[]): Promise<Reply> => inferBinary(server, name, inputs, { sloMs: SLO_MS });
  const differences: string[] = [];
  const check = (how: string, reply: Reply, answer: readonly Tensor[]): void => {
    const found =
      reply.status === 200 ? differenceBetween(answer, binaryOutputs(reply)) : `${reply.status} ${reply.json.error}`;
    if (found !== null) differences.push(`${how}: ${found}`);
  };
  for (const [index, inputs] of requests.entries())
    check(`request ${index} alone`, await send(inputs), answers[index]!);
  const many = Array.from({ length: COPIES }, () => [...requests.entries()]).flat();
  const replies = await Promise.all(many.map(([, inputs]) => send(inputs)));
  for (const [place, [index]] of many.entries()) check(`request ${index} among many`, replies[place]!, answers[index]!);
  // The batch that Python ran, as one request; its memory is compared.
  if (batch > 1) {
    const reply = await send(joined(requests.slice(0, batch)));
    check(`a request of ${batch} rows`, reply, joined(answers.slice(0, batch)));
  }
  return differences;
}

/** Tensors of one row each, end to end. */
function joined(rows: readonly (readonly Tensor[])[]): Tensor[] {
  return rows[0]!.map((tensor, place) => ({
    ...tensor,
    shape: [rows.length, ...tensor.shape.slice(1)],
    data: Buffer.concat(rows.map((row) => row[place]!.data)),
  }));
}

function differenceBetween(expected: readonly Tensor[], actual: readonly Tensor[]): string | null {
  for (const [place, tensor] of expected.entries()) {
    const other = actual[place];
    if (
      other?.name !== tensor.name ||
      other.shape.join() !== tensor.shape.join() ||
      other.datatype !== tensor.datatype
    ) {
      return `output ${tensor.name} [${tensor.shape.join()}] came as ${other?.name ?? 'nothing'} [${other?.shape.join() ?? ''}]`;
    }
    const wanted = numericElements(tensor).map(Number);
    const got = numericElements(other).map(Number);
    const largest = wanted.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const worst = wanted.reduce((most, value, i) => Math.max(most, Math.abs(value - got[i]!)), 0);
    if (wanted.length !== elementCount(tensor.shape) || !(worst <= TOLERANCE * largest)) {
      return `output ${tensor.name} is off by ${worst} of at most ${largest}`;
    }
  }
  return null;
}

function memoryMb(pid: number): MemoryMb {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  const read = (field: string): number => {
    const line = new RegExp(`^${field}:\\s+(\\d+) kB`, 'm').exec(status);
    if (line === null) throw new Error(`no ${field} of process ${pid}`);
    return Number(line[1]) / 1024;
  };
  return { resident: read('VmRSS'), anonymous: read('RssAnon') };
}
