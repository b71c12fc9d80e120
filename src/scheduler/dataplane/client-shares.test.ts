import { describe, expect, it } from 'vitest';
import { aRequest, completed, finished, overloaded, received } from '../../../test/fixtures/events.js';
import { ClientShares } from './client-shares.js';

function ask(shares: ClientShares, client: string, atMs: number, isServed: boolean): void {
  const request = aRequest({ client, receivedAtMs: atMs });
  shares.observe(received(request));
  shares.observe(finished(atMs, isServed ? completed() : overloaded(), request));
}

describe('the shares of clients', () => {
  it('count what was served in time, half as much after five seconds', () => {
    const shares = new ClientShares();
    for (let i = 0; i < 4; i++) ask(shares, 'a', 1000, true);
    ask(shares, 'a', 1000, false);
    shares.observe(finished(1000, completed(true), aRequest({ client: 'a' })));
    expect(shares.servedOf('a', 1000)).toBe(4);
    expect(shares.servedOf('a', 6000)).toBeCloseTo(2, 9);
    expect(shares.servedOf('nobody', 6000)).toBe(0);
  });

  it('have a floor of half an equal share of all that was served', () => {
    const shares = new ClientShares();
    for (let i = 0; i < 12; i++) ask(shares, 'a', 0, true);
    ask(shares, 'b', 0, false);
    ask(shares, 'c', 0, false);
    expect(shares.floor(0)).toBe(2); // 12 / 3 / 2
  });

  it('have none for a client alone, nor beside one that asks no more', () => {
    const shares = new ClientShares();
    ask(shares, 'gone', 0, true);
    for (let i = 0; i < 12; i++) ask(shares, 'a', 10_000, true);
    expect(shares.floor(10_000)).toBe(0);
  });

  it('forget the client heard of longest ago', () => {
    const shares = new ClientShares();
    for (let i = 0; i < 1025; i++) ask(shares, `client ${i}`, i, true);
    expect(shares.servedOf('client 0', 0)).toBe(0);
    expect(shares.servedOf('client 1', 1)).toBe(1);
  });
});
