import { execFile } from 'node:child_process';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { oneLine } from '../../src/server/workers/load-failure.js';
import { TestBench, type RunningServer } from '../system/server/harness.js';
import { clientModels } from './models.js';
import { askedByReceiver } from './otlp.js';
import { grpcurl, nodeWith, perfAnalyzer, pythonWith } from './packages.js';

/*
 * `npm run test:clients [word…]`: stock clients of other projects, from their registries, against a real server; those whose name has
 * one of the words. Each says what it was tried with and what failed. Exits 1 when something failed; what cannot be fetched is left
 * out, loudly.
 */

interface Outcome {
  readonly check: string;
  readonly ok: boolean;
  readonly detail?: string;
}

interface StockClient {
  readonly name: string;
  /** Fetches what it needs. @returns what asks a server. @throws Error where it cannot be had */
  readonly prepare: () => (server: RunningServer) => Promise<readonly Outcome[]>;
}

const TRITON = '2.73.0';
const PERF_ANALYZER = '2.41.0';
const KSERVE = '0.21.0';
const GRPCURL = '1.9.4';
const SCHEMATHESIS = '4.32.5';
const OPENAI_PYTHON = '3.57.0';
const OPENAI_NODE = '7.59.0';
const OPENTELEMETRY_PROTO = '1.45.2';

const CLIENT_TIMEOUT_MS = 180_000;
const SCHEMATHESIS_TIMEOUT_MS = 600_000;
const execute = promisify(execFile);

const CLIENTS: readonly StockClient[] = [
  ...['http', 'http.aio', 'grpc', 'grpc.aio'].map((kind) => ({
    name: `tritonclient.${kind} ${TRITON}`,
    prepare: () => asked(tritonPython(), 'triton.py', kind),
  })),
  ...['rest', 'grpc'].map((kind) => ({
    name: `KServe SDK, ${kind} ${KSERVE}`,
    prepare: () => asked(pythonWith(`kserve-${KSERVE}`, [`kserve==${KSERVE}`]), 'kserve_sdk.py', kind),
  })),
  { name: 'grpcio-reflection 1.81.1', prepare: () => asked(tritonPython(), 'reflection.py', '-') },
  ...['sync', 'async'].map((kind) => ({
    name: `openai for Python, ${kind} ${OPENAI_PYTHON}`,
    prepare: () => asked(pythonWith(`openai-${OPENAI_PYTHON}`, [`openai==${OPENAI_PYTHON}`]), 'openai_python.py', kind),
  })),
  {
    name: `openai for Node ${OPENAI_NODE}`,
    prepare: () => {
      const modules = nodeWith(`openai-${OPENAI_NODE}`, [`openai@${OPENAI_NODE}`]);
      return asked(process.execPath, 'openai-node.ts', modules);
    },
  },
  { name: `grpcurl ${GRPCURL}`, prepare: () => askedByGrpcurl(grpcurl(GRPCURL)) },
  ...(['http', 'grpc'] as const).map((protocol) => ({
    name: `perf_analyzer, ${protocol} ${PERF_ANALYZER}`,
    prepare: () => askedByPerfAnalyzer(protocol),
  })),
  { name: `schemathesis ${SCHEMATHESIS}`, prepare: askedBySchemathesis },
  {
    name: `otlp, as opentelemetry-proto ${OPENTELEMETRY_PROTO} reads it`,
    prepare: () => {
      const python = pythonWith(`otlp-${OPENTELEMETRY_PROTO}`, [`opentelemetry-proto==${OPENTELEMETRY_PROTO}`]);
      return async () => (await askedByReceiver(python)).map((line) => JSON.parse(line) as Outcome);
    },
  },
];

function tritonPython(): string {
  return pythonWith(`triton-${TRITON}`, [`tritonclient[http,grpc]==${TRITON}`, 'grpcio-reflection==1.81.1']);
}

/** A script beside this file that prints an outcome a line. */
function asked(
  program: string,
  script: string,
  ...more: readonly string[]
): (server: RunningServer) => Promise<readonly Outcome[]> {
  return async (server) => {
    const reading = script.endsWith('.ts') ? ['--import', 'tsx'] : [];
    const args = [...reading, join(import.meta.dirname, script), new URL(server.rest).host, server.grpc, ...more];
    const { stdout } = await execute(program, args, {
      timeout: CLIENT_TIMEOUT_MS,
      env: { ...process.env, PYTHONDONTWRITEBYTECODE: '1' },
    });
    return stdout
      .trim()
      .split('\n')
      .map((line) => JSON.parse(line) as Outcome);
  };
}

function askedByGrpcurl(program: string): (server: RunningServer) => Promise<readonly Outcome[]> {
  return async (server) => {
    const ask = async (...args: string[]): Promise<string> => {
      const { stdout } = await execute(program, ['-plaintext', ...args], { timeout: CLIENT_TIMEOUT_MS });
      return stdout;
    };
    const service = 'inference.GRPCInferenceService';
    const tensor = {
      name: 'x',
      datatype: 'INT64',
      shape: [1, 4],
      contents: { int64_contents: ['9007199254740993', 2, 3, 4] },
    };
    const data = JSON.stringify({ model_name: 'identity_int64', inputs: [tensor] });
    return [
      await outcomeOf('list', async () => expectIn(await ask(server.grpc, 'list'), service)),
      await outcomeOf('describe everything', async () => expectIn(await ask(server.grpc, 'describe'), 'ModelInfer')),
      await outcomeOf('describe a message with maps', async () =>
        expectIn(
          await ask(server.grpc, 'describe', 'inference.ModelInferRequest'),
          'map<string, .inference.InferParameter> parameters = 4;',
        ),
      ),
      await outcomeOf('infer', async () => {
        const answer = JSON.parse(await ask('-d', data, server.grpc, `${service}/ModelInfer`)) as {
          rawOutputContents: string[];
        };
        const values = new BigInt64Array(new Uint8Array(Buffer.from(answer.rawOutputContents[0]!, 'base64')).buffer);
        expectIn([...values].join(), '9007199254740993,2,3,4');
      }),
      await outcomeOf('health', async () =>
        expectIn(await ask('-d', '{"service":"simple"}', server.grpc, 'grpc.health.v1.Health/Check'), 'SERVING'),
      ),
    ];
  };
}

function askedByPerfAnalyzer(protocol: 'http' | 'grpc'): (server: RunningServer) => Promise<readonly Outcome[]> {
  const { program, libraries } = perfAnalyzer(PERF_ANALYZER);
  return async (server) => {
    const url = protocol === 'http' ? new URL(server.rest).host : server.grpc;
    // How steady it is on this machine is not what is asked.
    const measuring = [
      '--measurement-mode',
      'count_windows',
      '--measurement-request-count',
      '50',
      '-s',
      '99',
      '--max-trials',
      '10',
    ];
    const perform = async (...args: string[]): Promise<void> => {
      const all = ['-u', url, '-i', protocol, ...measuring, ...args];
      const env = { ...process.env, LD_LIBRARY_PATH: libraries };
      const { stdout } = await execute(program, all, { timeout: CLIENT_TIMEOUT_MS, env });
      if (!/throughput: [1-9]/.test(stdout)) throw new Error(stdout.split('\n').slice(-5).join(' '));
      expectIn(stdout, 'Inference count:');
    };
    return [
      await outcomeOf('two at a time, with what the server says of it', () =>
        perform('-m', 'simple', '--concurrency-range', '2'),
      ),
      await outcomeOf('batches of four', () => perform('-m', 'identity_fp32', '-b', '4')),
      await outcomeOf('strings', () => perform('-m', 'identity_bytes', '--string-length', '16')),
    ];
  };
}

/** Thousands of requests that the OpenAPI document allows or forbids; what it cannot say is in the file beside this one. */
function askedBySchemathesis(): (server: RunningServer) => Promise<readonly Outcome[]> {
  const python = pythonWith(`schemathesis-${SCHEMATHESIS}`, [`schemathesis==${SCHEMATHESIS}`]);
  return async (server) => {
    // Models and versions that differ in nothing that a document says are left out.
    const alike = ['--exclude-path-regex', '/versions/|/identity_(bool|int64|uint64)'];
    const args = ['--config-file', join(import.meta.dirname, 'schemathesis.toml'), 'run', '--no-color'];
    const run = [...args, '--seed', '1', '--max-examples', '20', ...alike, `${server.rest}/v2/openapi.json`];
    const program = join(dirname(python), 'schemathesis');
    // What it draws is not kept: nothing is left in the folder that this was called in.
    const options = { timeout: SCHEMATHESIS_TIMEOUT_MS, cwd: dirname(python), maxBuffer: 2 ** 26 };
    return [
      await outcomeOf('all that /v2/openapi.json says: examples, coverage, fuzzing, sequences', async () => {
        const { stdout } = await execute(program, run, options).catch((error: unknown) => {
          const printed = (error as { readonly stdout?: string }).stdout ?? '';
          throw new Error(printed.split(/=+ FAILURES =+/).at(-1));
        });
        if (!/\b[1-9]\d* generated, [1-9]\d* passed/.test(stdout)) throw new Error(stdout.slice(-200));
      }),
    ];
  };
}

function expectIn(text: string, part: string): void {
  if (!text.includes(part)) throw new Error(`no ${part} in ${text.slice(0, 200)}`);
}

async function outcomeOf(check: string, act: () => Promise<void>): Promise<Outcome> {
  try {
    await act();
    return { check, ok: true };
  } catch (error) {
    return { check, ok: false, detail: oneLine(error) };
  }
}

async function main(words: readonly string[]): Promise<void> {
  const chosen = CLIENTS.filter(({ name }) => words.length === 0 || words.some((word) => name.includes(word)));
  const bench = new TestBench();
  const rows: string[] = [];
  let failed = chosen.length === 0;
  try {
    const server = await bench.serve(clientModels(bench), [
      '--no-refine',
      '--model-control',
      'explicit',
      '--load-model',
      '*',
    ]);
    for (const { name, prepare } of chosen) {
      let ask: ReturnType<typeof prepare>;
      try {
        ask = prepare();
      } catch (error) {
        rows.push(`| ${name} | not tried | ${oneLine(error)} |`);
        continue;
      }
      const outcomes = await ask(server).catch((error: unknown) => [
        { check: 'runs', ok: false, detail: oneLine(error) },
      ]);
      for (const { check, ok, detail } of outcomes)
        console.log(`${ok ? 'ok  ' : 'FAIL'} ${name}: ${check}${ok ? '' : `: ${detail ?? ''}`}`);
      const passed = outcomes.filter(({ ok }) => ok);
      failed ||= passed.length < outcomes.length || outcomes.length === 0;
      rows.push(
        `| ${name} | ${passed.length} of ${outcomes.length} | ${outcomes.map(({ check }) => check).join('; ')} |`,
      );
    }
  } finally {
    await bench.close();
  }
  console.log(['', '| client | passes | tried |', '|---|--:|---|', ...rows].join('\n'));
  process.exitCode = failed ? 1 : 0;
}

await main(process.argv.slice(2));
