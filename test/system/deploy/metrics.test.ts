import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { simple } from '../../../research/load-models/tiny-graphs.js';
import { http, infer } from '../server/clients.js';
import { eventually, TestBench } from '../server/harness.js';
import { adapterExpressions, dashboardExpressions, readDashboard, scaledObjectExpressions } from './expressions.js';
import { missing } from './promql.js';

/* The dashboard and the autoscalers' queries ask for what a served model has: metrics, labels, and the values that they are compared with. */

const bench = new TestBench();
let page = '';

beforeAll(async () => {
  const server = await bench.serve(bench.repository('models', { simple: simple() }), ['--no-refine']);
  const data = Array.from({ length: 16 }, (_, index) => index);
  const inputs = ['INPUT0', 'INPUT1'].map((name) => ({ name, datatype: 'INT32' as const, shape: [1, 16], data }));
  await infer(server, 'simple', inputs, { sloMs: 20_000 });
  // What is refused before it is a request has a series once there was one.
  await http(`${server.rest}/v2/models/simple/infer`, { method: 'POST', body: 'no JSON' });
  await eventually('a refusal in the metrics', async () => {
    page = (await http(server.metrics)).bytes.toString();
    return page.includes('sponge_edge_refusals_total{');
  });
});
afterAll(() => bench.close());

describe.for([
  ['the dashboard', dashboardExpressions, 40],
  ['the rules of prometheus-adapter', adapterExpressions, 4],
  ["the chart's ScaledObject", scaledObjectExpressions, 2],
] as const)('%s', ([, expressions, atLeast]) => {
  it('asks for metrics, labels and values that a served model has', () => {
    expect(expressions().length).toBeGreaterThanOrEqual(atLeast);
    expect(expressions().flatMap(({ place, text }) => missing(text, page).map((line) => `${place}: ${line}`))).toEqual(
      [],
    );
  });
});

describe('the dashboard', () => {
  it('uses no variable but its own and those of Grafana', () => {
    const { templating } = readDashboard();
    const own = templating.list.map(({ name }) => name);
    const used = dashboardExpressions().flatMap(({ text }) =>
      [...text.matchAll(/\$\{?(\w+)/g)].map((match) => match[1]!),
    );
    expect([...new Set(used)].filter((name) => !own.includes(name) && name !== '__rate_interval')).toEqual([]);
  });
});
