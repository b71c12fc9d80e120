import { spawn } from 'node:child_process';
import { createServer, type AddressInfo } from 'node:net';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import { http, infer } from '../server/clients.js';
import { eventually, type TestBench } from '../server/harness.js';
import { adapterExpressions, dashboardExpressions, scaledObjectExpressions, type Expression } from './expressions.js';
import { onPath } from './packages.js';

/* Every query in deploy/ is put to a real Prometheus that scrapes a served model. */

/** Of scrapes; a rate needs two in its window. */
const INTERVAL = '500ms';
const WINDOW = '10s';

export function prometheusGap(): string | null {
  return onPath('prometheus') === null ? 'prometheus is missing (Debian has it)' : null;
}

/** Grafana's and the adapter's variables as they would fill them in. */
function filledIn(text: string): string {
  return text
    .replaceAll('$__rate_interval', WINDOW)
    .replaceAll(/"\$\w+"/g, '".*"')
    .replaceAll('<<.GroupBy>>', 'instance')
    .replaceAll('<<.LabelMatchers>>', 'instance!=""')
    .replaceAll(/namespace!="",pod!=""/g, 'instance!=""');
}

interface Answer {
  readonly status: string;
  readonly error?: string;
  readonly data?: { readonly result: readonly { readonly value: readonly [number, string] }[] };
}

export async function queriesAnswer(bench: TestBench): Promise<string> {
  const server = await bench.serve(bench.repository('queried', { simple: simple() }), ['--no-refine']);
  const data = Array.from({ length: 16 }, (_, index) => index);
  const inputs = ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32' as const, shape: [1, 16], data }));
  await http(`${server.rest}/v2/models/simple/infer`, { method: 'POST', body: 'no JSON' });

  const port = await freePort();
  const target = new URL(server.metrics).host;
  const config = bench.file(
    'prometheus.yml',
    `global: { scrape_interval: ${INTERVAL} }\nscrape_configs: [{ job_name: sponge, static_configs: [{ targets: ['${target}'] }] }]\n`,
  );
  const flags = [`--config.file=${config}`, `--storage.tsdb.path=${bench.path('tsdb')}`];
  const prometheus = spawn('prometheus', [...flags, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' });
  const ended = new Promise((resolve) => prometheus.once('exit', resolve));
  try {
    const ask = async (query: string): Promise<Answer> => {
      const url = `http://127.0.0.1:${port}/api/v1/query?query=${encodeURIComponent(query)}`;
      return (await http(url)).json as unknown as Answer;
    };
    const all = [...dashboardExpressions(), ...adapterExpressions(), ...scaledObjectExpressions()];
    let unanswered: readonly string[] = [];
    await eventually('answers', async () => {
      await infer(server, 'simple', inputs, { sloMs: 20_000 });
      unanswered = await without(all, ask);
      return unanswered.length === 0;
    }).catch((error: unknown) => {
      throw new Error(`without an answer: ${unanswered.join('; ')}`, { cause: error });
    });
    return `${all.length} of the dashboard and the autoscalers are answered by a Prometheus that scrapes a served model`;
  } finally {
    prometheus.kill('SIGTERM');
    await ended;
  }
}

/** Those that Prometheus refuses, knows nothing of, or has no number for. */
async function without(
  all: readonly Expression[],
  ask: (query: string) => Promise<Answer>,
): Promise<readonly string[]> {
  const complaints: string[] = [];
  for (const { place, text } of all) {
    const { status, error, data } = await ask(filledIn(text)).catch((failure: unknown) => ({
      status: 'error',
      error: (failure as Error).message,
      data: undefined,
    }));
    const numbers = (data?.result ?? []).filter(({ value }) => value[1] !== 'NaN');
    if (status !== 'success' || numbers.length === 0) complaints.push(`${place}: ${error ?? 'nothing'}`);
  }
  return complaints;
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}
