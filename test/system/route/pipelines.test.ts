import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { jsonRequest } from '../../../bench/harness/messages.js';
import { startPicker, type PickerProcess } from '../../../bench/harness/picker-process.js';
import { slow, SLOW_WIDTH } from '../../../research/load-models/tiny-graphs.js';
import type { ModelReport, PodReport } from '../../../src/scheduler/domain/pod-report.js';
import { eventually, TestBench, type RunningServer } from '../server/harness.js';
import { PickerClient, type Picked } from './ask-picker.js';

/*
 * `sponge route` before two real servers of a pipeline: its requests are placed and refused as a model's are. Asked as Envoy asks, without one.
 */

const bench = new TestBench();
const ROWS = 3;
const INPUT = { name: 'x', datatype: 'FP32', shape: [ROWS, SLOW_WIDTH] } as const;
const { path, headers, body } = jsonRequest('chain', INPUT, new Array<number>(ROWS * SLOW_WIDTH).fill(1));

const CHAIN = `
inputs:
  x: { datatype: FP32, shape: [-1, ${SLOW_WIDTH}] }
outputs: [y]
steps:
  - { name: first, model: slow, for_each: x, inputs: { x: x }, outputs: { y: between } }
  - { name: second, model: slow, for_each: x, inputs: { x: between }, outputs: { y: y } }
`;

const CHOICE = `
variants:
  - { model: slow, accuracy: 80 }
  - { model: quick, accuracy: 50 }
`;

let servers: RunningServer[] = [];
let picker: PickerProcess;
let client: PickerClient;

beforeAll(async () => {
  bench.repository('models', { slow: slow(30), quick: slow(3) });
  bench.file('models/chain/pipeline.yaml', CHAIN);
  bench.file('models/choice/variants.yaml', CHOICE);
  servers = await Promise.all(
    [0, 1].map((index) =>
      bench.serve(bench.path('models'), [
        ...['--max-cores', '0.5', '--min-cores', '0.2', '--no-refine', '--group', `${bench.group}-${index}`],
      ]),
    ),
  );
  picker = await startPicker(servers.map(({ port }) => port));
  client = new PickerClient(picker.port);
  await eventually('both servers to be heard of', async () =>
    (await (await fetch(picker.metricsUrl)).text()).includes('sponge_route_pods{contact="reporting"} 2'),
  );
});

afterAll(async () => {
  (client as PickerClient | undefined)?.close();
  await (picker as PickerProcess | undefined)?.kill('SIGKILL');
  await bench.close();
});

const addressOf = ({ port }: RunningServer): string => `127.0.0.1:${port}`;

async function reportOf(server: RunningServer, model = 'chain'): Promise<ModelReport> {
  const report = (await (await fetch(`http://${addressOf(server)}/v2/sponge/report`)).json()) as PodReport;
  return report.models.find(({ name }) => name === model)!;
}

function infer(server: string, extra: Readonly<Record<string, string>>): Promise<Response> {
  return fetch(`http://${server}${path}`, {
    method: 'POST',
    headers: { ...headers, ...extra },
    body: Buffer.from(body),
  });
}

/** How many went to a pod by what was believed of it, rather than blindly. */
async function placed(): Promise<number> {
  const text = await (await fetch(picker.metricsUrl)).text();
  const sent = [...text.matchAll(/^sponge_route_sent_total\{pod="[^"]+",reason="(?:least|most)-to-spare"\} (\d+)$/gm)];
  return sent.reduce((sum, [, count]) => sum + Number(count), 0);
}

const budget = (ms: number) => ({ 'request-timeout-ms': String(ms) });

describe('a pipeline behind the picker', () => {
  it('is reported beside its models: what a whole request takes, and where one more would stand', async () => {
    const answer = await infer(addressOf(servers[0]!), budget(60_000));
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    const chain = await reportOf(servers[0]!);
    expect(chain).toMatchObject({ version: '1', isLatest: true, isReady: true, heldRequests: 0 });
    expect(chain.requestBytes).toBeGreaterThan(0);
    expect(chain.leastMs).toBeGreaterThan(0);
    expect(chain.aloneMs).toBeGreaterThanOrEqual(chain.leastMs);
    expect(chain.marks[0]!.dueInMs).toBe(0);
  });

  it('has its requests placed by what is believed of it, and answered there', async () => {
    await eventually('the picker to know the pipeline', async () =>
      (await (await fetch(picker.podsUrl)).text()).includes('"chain"'),
    );
    const before = await placed();
    const picked = await client.pick(path, budget(60_000));
    expect(picked.kind).toBe('sent');
    const { destinations, headers: told } = picked as Extract<Picked, { kind: 'sent' }>;
    expect([...destinations].sort()).toEqual(servers.map(addressOf).sort());
    expect(await placed()).toBe(before + 1);
    const answer = await infer(destinations[0]!, { ...budget(60_000), 'x-sponge-pick': told['x-sponge-pick']! });
    const reply = (await answer.json()) as { outputs: { name: string; shape: number[] }[] };
    expect(answer.status).toBe(200);
    expect(reply.outputs.map(({ name, shape }) => [name, shape])).toEqual([['y', [ROWS, SLOW_WIDTH]]]);
  });

  it('is placed beside a model with variants, which stands as the quickest of them does', async () => {
    const [choice, slowest] = await Promise.all(['choice', 'slow'].map((model) => reportOf(servers[0]!, model)));
    expect(choice!.isReady).toBe(true);
    expect(choice!.leastMs).toBeLessThan(slowest!.leastMs);
    const before = await placed();
    expect((await client.pick('/v2/models/choice/infer', budget(60_000))).kind).toBe('sent');
    expect(await placed()).toBe(before + 1);
  });

  it('is refused before it is sent where no server could do all of its steps', async () => {
    expect(await client.pick(path, budget(0.5))).toMatchObject({
      ...{ kind: 'refused', status: 504 },
      headers: { 'x-sponge-reason': 'infeasible_at_max_cores' },
    });
  });

  it('goes where less waits', async () => {
    const [busy, idle] = servers;
    // What waits for its second step is in no model's queue yet.
    const held = Array.from({ length: 40 }, () => infer(addressOf(busy!), budget(600_000)));
    const told: string[] = [];
    await eventually('the busy server to be passed over', async () => {
      const { heldRequests, marks } = await reportOf(busy!);
      if (heldRequests === 0) throw new Error(`the load is over; picked were ${told.join(', ')}`);
      const waitMs = marks.at(-1)!.startInMs;
      if (waitMs === 0) return false;
      // As much again as waits: with a tenth of it to spare it would be as good as the other.
      const picked = await client.pick(path, budget(Math.max(2 * waitMs, 4 * (await reportOf(idle!)).aloneMs)));
      if (picked.kind === 'sent') told.push(picked.destinations[0]!);
      return picked.kind === 'sent' && picked.destinations[0] === addressOf(idle!);
    });
    const answers = await Promise.all(held);
    expect(answers.map(({ status }) => status)).toEqual(new Array(40).fill(200));
    await Promise.all(answers.map((answer) => answer.arrayBuffer()));
  });

  it('goes on at the other server when one is told to end', async () => {
    servers[0]!.signal('SIGTERM');
    await eventually('all to go to the other', async () => {
      const picked = await Promise.all(Array.from({ length: 4 }, () => client.pick(path, budget(60_000))));
      return picked.every((each) => each.kind === 'sent' && each.destinations[0] === addressOf(servers[1]!));
    });
    const answer = await infer(addressOf(servers[1]!), budget(60_000));
    expect(answer.status).toBe(200);
    await answer.arrayBuffer();
    await servers[0]!.exited;
  });
});
