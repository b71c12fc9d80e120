import { pathToFileURL } from 'node:url';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { BYTE_STAGES, stageBytes, type ByteStage, type StageBytes } from '../../bench/harness/path-stages.js';
import { pathWatch, type PathWatch } from '../../bench/harness/path-watch.js';
import { median } from '../../bench/harness/statistics.js';
import { IMAGE_ELEMENTS, mirror } from '../../bench/harness/tensor-models.js';
import { floatsOf, floatTensor, GrpcClient, grpcRequest, http, inferBinary, binaryOutputs } from './server/clients.js';
import { REPOSITORY_ROOT, TestBench, type RunningServer } from './server/harness.js';

/*
 * How often the bytes of a request are copied on its way through the server, so that a copy does not come back unseen. Counts, never
 * times: 602 112 bytes go to a model that returns them. Whoever takes a copy away writes that down here.
 *
 * A server that copies once more than ours, in two ways, shows that it would be noticed.
 */

const MODEL = 'mirror';
const VALUES = Float32Array.from({ length: IMAGE_ELEMENTS }, (_, i) => Math.sin(i + 1));
const TENSOR = floatTensor('x', [1, IMAGE_ELEMENTS], VALUES);
const JSON_BODY = JSON.stringify({ inputs: [{ name: 'x', datatype: 'FP32', shape: TENSOR.shape, data: [...VALUES] }] });
const REQUEST_COUNT = 16;
/** No deadline passes, on whatever machine. */
const FLAGS = ['--no-refine', '--slo', '600000'];

/** How often all bytes were copied, allocated, read from the kernel and written to it; what is not named, not at all. */
type Times = { readonly [Kind in keyof StageBytes]?: number };
type PathBytes = Readonly<Partial<Record<ByteStage, Times>>>;

/** Pieces as Node's parser reads them; a body goes from there to where the worker reads it. */
const RECEIVE = { copied: 1, allocated: 1, read: 1 };
/** From ONNX Runtime's own memory into what is shared. */
const OUTPUT = { copied: 1 };

/** Of the JSON's text where it comes in and goes out; of the tensor elsewhere. Between router and worker nothing goes through the kernel. */
const EXPECTED: Readonly<Record<'REST JSON' | 'REST binary' | 'gRPC', PathBytes>> = {
  'REST JSON': {
    // The pieces, and the text that is made of them.
    'router: receive': { ...RECEIVE, allocated: 2 },
    // On another thread, whose allocations are not seen: out of the array that was read into, to where it was sent here.
    'router: parse': { copied: 1 },
    // To where the worker reads it.
    'router: admit': { copied: 1 },
    'worker: back': OUTPUT,
    // For the thread that writes them as text.
    'router: encode': { allocated: 1 },
    'router: write': { written: 1 },
  },
  'REST binary': { 'router: receive': RECEIVE, 'worker: back': OUTPUT, 'router: write': { written: 1 } },
  // A stream that is reset may still have to send what it was given.
  gRPC: {
    'router: receive': RECEIVE,
    'worker: back': OUTPUT,
    'router: encode': { copied: 1, allocated: 1 },
    'router: write': { written: 1 },
  },
};

type Protocol = keyof typeof EXPECTED;

const bench = new TestBench();
const modelPath = bench.model(MODEL, mirror());
afterAll(() => bench.close());

describe('on its way', () => {
  it('a request is copied as often as is written down here, over every protocol', async () => {
    await serving('ours', [], async (server, watch) => {
      for (const protocol of Object.keys(EXPECTED) as Protocol[]) {
        expect(await countedBytes(server, watch, protocol), protocol).toEqual(EXPECTED[protocol]);
      }
    });
  });

  it.each([
    ['by a function for bytes', 'Buffer.from(data)', { copied: 1, allocated: 1 }],
    ['by hand', 'byHand(data)', { allocated: 1 }],
  ] as const)('one more copy %s is seen where it is made', async (way, copy, more) => {
    await serving(way.replaceAll(' ', '-'), [copyingInputs(copy)], async (server, watch) => {
      const {
        'router: check': check,
        'router: admit': admit,
        ...others
      } = await countedBytes(server, watch, 'REST binary');
      expect(check).toEqual(more);
      // What no longer lies where the worker reads it has to be put there.
      expect(admit).toEqual({ copied: 1 });
      expect(others).toEqual(EXPECTED['REST binary']);
    });
  });
});

/** A module for the router by which inputs are copied first. */
function copyingInputs(copy: string): string {
  const module = pathToFileURL(join(REPOSITORY_ROOT, 'dist/server/served/inference-service.js')).href;
  const source = `import { Inference } from ${JSON.stringify(module)};
    const { infer } = Inference.prototype;
    const byHand = (data) => {
      const into = new Uint8Array(data.length);
      for (let i = 0; i < data.length; i++) into[i] = data[i];
      return into;
    };
    Inference.prototype.infer = function (call, departure) {
      const inputs = call.inputs.map(({ data, ...tensor }) => ({ ...tensor, data: ${copy} }));
      return infer.call(this, { ...call, inputs }, departure);
    };`;
  return `data:text/javascript,${encodeURIComponent(source)}`;
}

/** @param modules that the router loads too */
async function serving(
  name: string,
  modules: readonly string[],
  act: (server: RunningServer, watch: PathWatch) => Promise<void>,
): Promise<void> {
  const watch = pathWatch(bench.folder, 'bytes', name);
  const flags = [...watch.nodeFlags, ...modules.flatMap((module) => ['--import', module])];
  const server = await bench.serve(modelPath, FLAGS, { NODE_OPTIONS: flags.join(' ') });
  try {
    await act(server, watch);
  } finally {
    await server.stop();
  }
}

/** What a request did, in tensors or texts; only where it did something. */
async function countedBytes(server: RunningServer, watch: PathWatch, protocol: Protocol): Promise<PathBytes> {
  // What is made once and kept is no part of a request.
  await ask(server, protocol);
  await watch.take();
  await ask(server, protocol);
  const bytes = stageBytes(await watch.take());
  return Object.fromEntries(
    BYTE_STAGES.flatMap((stage) => {
      const isText = protocol === 'REST JSON' && (stage === 'router: receive' || stage === 'router: write');
      const times = timesOf(bytes[stage], isText ? JSON_BODY.length : TENSOR.data.length);
      return Object.keys(times).length === 0 ? [] : [[stage, times]];
    }),
  );
}

function timesOf(requests: readonly StageBytes[], unit: number): Times {
  return Object.fromEntries(
    (['copied', 'allocated', 'read', 'written'] as const).flatMap((kind) => {
      const known = requests.map((each) => each[kind]).filter((value) => value !== null);
      // A tenth: heads, frames' headers and what is made beside a request have some hundred bytes.
      const times = known.length === 0 ? NaN : Math.round((10 * median(known)) / unit) / 10;
      return times === 0 ? [] : [[kind, times]];
    }),
  );
}

/** One after the other. */
async function ask(server: RunningServer, protocol: Protocol): Promise<void> {
  const client = new GrpcClient(server);
  for (let i = 0; i < REQUEST_COUNT; i++) {
    const last = await answerOf(server, client, protocol);
    if (i === REQUEST_COUNT - 1) expect(last).toEqual(VALUES);
  }
  client.close();
}

async function answerOf(server: RunningServer, client: GrpcClient, protocol: Protocol): Promise<Float32Array> {
  switch (protocol) {
    case 'REST JSON': {
      const url = `${server.rest}/v2/models/${MODEL}/infer`;
      const { json } = await http(url, { method: 'POST', body: JSON_BODY });
      return Float32Array.from((json.outputs?.[0]?.data ?? []) as number[]);
    }
    case 'REST binary':
      return floatsOf(binaryOutputs(await inferBinary(server, MODEL, [TENSOR]))[0]!);
    case 'gRPC': {
      const { error, response } = await client.infer(grpcRequest(MODEL, [TENSOR]));
      expect(error).toBeNull();
      return new Float32Array(Uint8Array.from(response.rawOutputContents[0]!).buffer);
    }
  }
}
