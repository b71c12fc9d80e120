import { afterAll, describe, expect, it } from 'vitest';
import { status } from '@grpc/grpc-js';
import { Door } from '../../src/server/doors/door.js';
import { createLogger, logControlOf } from '../../src/server/telemetry/logger.js';
import { call, startHarness } from './grpc-harness.js';
import { call as callRest, startRest } from './rest-harness.js';

/* Triton's trace, logging and shared memory extensions, over both protocols. */

const closers: (() => Promise<void>)[] = [];
afterAll(async () => {
  for (const close of closers) await close();
});

async function start(door?: Door) {
  const lines: string[] = [];
  const logger = createLogger({ format: 'json', level: 'info', write: (line) => lines.push(line) });
  const ofModel = logger.child({ model: 'raw' });
  const logControl = logControlOf(logger);
  const rest = await startRest({ logControl, ...(door === undefined ? {} : { door }) });
  const grpc = await startHarness({}, 'none', door, logControl);
  closers.push(
    () => rest.server.close(),
    () => grpc.close(),
  );
  return { rest, grpc, lines, ofModel };
}

const AT_INFO = {
  log_file: '',
  log_info: true,
  log_warning: true,
  log_error: true,
  log_verbose_level: 0,
  log_format: 'ISO8601',
};

describe('log settings', () => {
  it('are read and changed over REST, for loggers that were made before as well', async () => {
    const { rest, lines, ofModel } = await start();
    const get = await callRest(rest.server, 'GET', '/v2/logging');
    expect([get.status, get.json()]).toEqual([200, AT_INFO]);
    const quiet = await callRest(rest.server, 'POST', '/v2/logging', { log_info: false });
    expect([quiet.status, quiet.json()]).toEqual([200, { ...AT_INFO, log_info: false }]);
    ofModel.info('not heard');
    ofModel.warn('heard');
    expect((await callRest(rest.server, 'POST', '/v2/logging', { log_verbose_level: 1 })).json()).toEqual({
      ...AT_INFO,
      log_verbose_level: 1,
    });
    ofModel.debug('heard too');
    expect(lines.map((line) => (JSON.parse(line) as { msg: string }).msg)).toEqual(['heard', 'heard too']);
  });

  it('are read and changed over gRPC', async () => {
    const { grpc } = await start();
    const ask = (settings: Parameters<typeof call<'logSettings'>>[2]['settings']) =>
      call(grpc.client, 'logSettings', { settings });
    const off = { parameterChoice: { $case: 'boolParam', value: false } } as const;
    const { response } = await ask({});
    expect(response.settings['log_info']).toEqual({ parameterChoice: { $case: 'boolParam', value: true } });
    expect(response.settings['log_format']).toEqual({ parameterChoice: { $case: 'stringParam', value: 'ISO8601' } });
    const changed = await ask({ log_info: off, log_warning: off });
    expect(changed.response.settings).toMatchObject({ log_info: off, log_warning: off });
    expect(changed.response.settings['log_error']).toEqual({ parameterChoice: { $case: 'boolParam', value: true } });
  });

  it.each([
    [{ log_warning: false }, 'log_warning cannot be off at level info, which includes it'],
    [{ log_info: 1 }, 'log_info: expected true or false'],
    [{ log_verbose_level: -1 }, 'log_verbose_level: expected an integer ≥ 0'],
    [{ log_file: '/tmp/log' }, "log_file cannot be changed while the server runs: it is ''"],
    [{ log_format: 'default' }, "log_format cannot be changed while the server runs: it is 'ISO8601'"],
    [{ loud: true }, "there is no log setting 'loud'"],
    [{ log_info: false, toString: true }, "there is no log setting 'toString'"],
    [[], 'request body must be a JSON object'],
  ])('that make no level are refused, and nothing is changed: %j', async (changes, text) => {
    const { rest } = await start();
    const reply = await callRest(rest.server, 'POST', '/v2/logging', changes);
    expect(reply.status).toBe(400);
    expect(reply.bytes.toString()).toContain(text);
    expect((await callRest(rest.server, 'GET', '/v2/logging')).json()).toEqual(AT_INFO);
  });

  it('cannot be changed by whoever reaches a server that is open to other machines', async () => {
    const { rest, grpc } = await start(new Door({ host: '0.0.0.0' }));
    const reply = await callRest(rest.server, 'POST', '/v2/logging', { log_error: false });
    expect(reply.status).toBe(400);
    expect(reply.bytes.toString()).toContain('from this machine alone (--host 127.0.0.1), or with a token');
    const { error } = await call(grpc.client, 'logSettings', {
      settings: { log_info: { parameterChoice: { $case: 'boolParam', value: false } } },
    });
    expect(error?.code).toBe(status.FAILED_PRECONDITION);
    expect((await call(grpc.client, 'logSettings', { settings: {} })).error).toBeNull();
  });
});

describe('trace settings', () => {
  it('say that traces are off, of the server and of a model', async () => {
    const { rest, grpc } = await start();
    const off = {
      trace_level: ['OFF'],
      trace_rate: '1000',
      trace_count: '-1',
      log_frequency: '0',
      trace_file: '',
      trace_mode: 'triton',
    };
    for (const path of ['/v2/trace/setting', '/v2/models/raw/trace/setting']) {
      expect((await callRest(rest.server, 'GET', path)).json()).toEqual(off);
      const same = { trace_level: ['OFF'], trace_rate: null, trace_count: '-1' };
      expect((await callRest(rest.server, 'POST', path, same)).json()).toEqual(off);
    }
    const { response } = await call(grpc.client, 'traceSetting', { settings: {}, modelName: 'raw' });
    expect(response.settings['trace_level']).toEqual({ value: ['OFF'] });
    expect((await callRest(rest.server, 'GET', '/v2/models/nope/trace/setting')).status).toBe(404);
    const unknown = await call(grpc.client, 'traceSetting', { settings: {}, modelName: 'nope' });
    expect(unknown.error?.code).toBe(status.NOT_FOUND);
  });

  it('cannot be switched on', async () => {
    const { rest, grpc } = await start();
    const reply = await callRest(rest.server, 'POST', '/v2/trace/setting', { trace_level: ['TIMESTAMPS'] });
    expect(reply.status).toBe(400);
    expect(reply.bytes.toString()).toContain('trace_level cannot be changed, traces are off');
    const settings = { trace_level: { value: ['TIMESTAMPS'] } };
    const { error } = await call(grpc.client, 'traceSetting', { settings, modelName: '' });
    expect(error?.code).toBe(status.FAILED_PRECONDITION);
    const odd = await callRest(rest.server, 'POST', '/v2/trace/setting', { loud: '1' });
    expect(odd.bytes.toString()).toContain("there is no trace setting 'loud'");
    const number = await callRest(rest.server, 'POST', '/v2/trace/setting', { log_frequency: 0 });
    expect([number.status, number.bytes.toString()]).toEqual([400, expect.stringContaining('log_frequency: expected')]);
  });
});

describe('shared memory', () => {
  it('has no regions, forgets any, and takes none', async () => {
    const { rest, grpc } = await start();
    for (const kind of ['system', 'cuda']) {
      const path = `/v2/${kind}sharedmemory`;
      expect((await callRest(rest.server, 'GET', `${path}/status`)).json()).toEqual([]);
      expect((await callRest(rest.server, 'POST', `${path}/unregister`)).status).toBe(200);
      expect((await callRest(rest.server, 'POST', `${path}/region/r/unregister`)).status).toBe(200);
      expect((await callRest(rest.server, 'GET', `${path}/region/r/status`)).status).toBe(404);
      const register = { key: '/r', offset: 0, byte_size: 16 };
      const refused = await callRest(rest.server, 'POST', `${path}/region/r/register`, register);
      expect(refused.status).toBe(404);
      expect(refused.json()).toEqual({
        error: `${kind} shared memory is not supported: send tensors in the request`,
      });
    }
    expect((await call(grpc.client, 'systemSharedMemoryStatus', { name: '' })).response).toEqual({ regions: {} });
    expect((await call(grpc.client, 'cudaSharedMemoryStatus', { name: '' })).response).toEqual({ regions: {} });
    expect((await call(grpc.client, 'systemSharedMemoryStatus', { name: 'r' })).error?.code).toBe(status.NOT_FOUND);
    expect((await call(grpc.client, 'systemSharedMemoryUnregister', { name: 'r' })).error).toBeNull();
    expect((await call(grpc.client, 'cudaSharedMemoryUnregister', { name: '' })).error).toBeNull();
    const system = await call(grpc.client, 'systemSharedMemoryRegister', {
      name: 'r',
      key: '/r',
      offset: 0,
      byteSize: 1,
    });
    expect(system.error?.code).toBe(status.UNIMPLEMENTED);
    const cuda = { name: 'r', rawHandle: Buffer.alloc(64), deviceId: 0, byteSize: 1 };
    expect((await call(grpc.client, 'cudaSharedMemoryRegister', cuda)).error?.code).toBe(status.UNIMPLEMENTED);
  });
});
