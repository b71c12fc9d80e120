import { describe, expect, it } from 'vitest';
import { addressesOf, type EndpointSlice } from './endpoint-slices.js';

type Endpoint = NonNullable<EndpointSlice['endpoints']>[number];

function slice(endpoints: Endpoint[], rest: Partial<EndpointSlice> = {}): EndpointSlice {
  const ports = [
    { name: 'grpc', port: 8001 },
    { name: 'http', port: 8000 },
  ];
  return { metadata: { name: 'a' }, addressType: 'IPv4', endpoints, ports, ...rest };
}

const ready = (host: string, rest: Partial<Endpoint> = {}): Endpoint => ({ addresses: [host], ...rest });

describe('addresses of endpoint slices', () => {
  it('are those of pods that take calls, each once, in a fixed order', () => {
    const pods = slice([
      ready('10.0.0.2', { targetRef: { kind: 'Pod', name: 'b' }, zone: 'z' }),
      ready('10.0.0.1', { conditions: { ready: true } }),
      ready('10.0.0.3', { conditions: { ready: false } }),
      ready('10.0.0.4', { conditions: { ready: true, terminating: true } }),
      ready('10.0.0.5', { conditions: { ready: null } }),
    ]);
    const moved = slice([ready('10.0.0.1')]);
    expect(addressesOf([pods, moved], 'http')).toEqual([
      { host: '10.0.0.1', port: 8000, pod: null, zone: null },
      { host: '10.0.0.2', port: 8000, pod: 'b', zone: 'z' },
      { host: '10.0.0.5', port: 8000, pod: null, zone: null },
    ]);
  });

  it('have the port of that name, or the first', () => {
    expect(addressesOf([slice([ready('::1')])], 'grpc')).toMatchObject([{ host: '::1', port: 8001 }]);
    expect(addressesOf([slice([ready('::1')])], null)).toMatchObject([{ port: 8001 }]);
    expect(addressesOf([slice([ready('::1')])], 'metrics')).toEqual([]);
  });

  it('are none of names, of empty slices, and of ports that say nothing', () => {
    expect(addressesOf([slice([ready('a.example')], { addressType: 'FQDN' })], null)).toEqual([]);
    expect(addressesOf([slice([], { endpoints: null }), slice([ready('10.0.0.1')], { ports: null })], null)).toEqual(
      [],
    );
    expect(addressesOf([slice([ready('10.0.0.1')], { ports: [{ name: 'http', port: null }] })], 'http')).toEqual([]);
  });
});
