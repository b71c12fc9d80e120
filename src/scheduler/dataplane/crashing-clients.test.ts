import { describe, expect, it } from 'vitest';
import { dueAt } from '../../../test/simulation/fixed-latency.js';
import type { Event } from '../domain/event.js';
import { CrashingClients } from './crashing-clients.js';

const SECOND = 1000;
const MINUTE = 60 * SECOND;

function served(client: string): Event {
  const service = {} as never;
  const outcome = { kind: 'completed', isLate: false, outputs: [], service } as const;
  return { kind: 'request-finished', atMs: 0, request: { ...dueAt(1, 1000), client }, outcome };
}

function crash(clients: CrashingClients, times: number, atMs = 0, client = 'a'): void {
  for (let i = 0; i < times; i++) clients.crashed(atMs, client);
}

describe('a client whose requests end workers', () => {
  it('runs alone after the second, and is refused after the third for 10 s, then 20 s, at most 5 min', () => {
    const clients = new CrashingClients();
    const kindAfter = (): string => {
      crash(clients, 1);
      return clients.standing(0, 'a').kind;
    };
    expect([kindAfter(), kindAfter()]).toEqual(['free', 'alone']);
    const refusals = [3, 4, 5, 6, 7, 8, 9].map((crashes) => {
      crash(clients, 1);
      expect(clients.standing(0, 'a')).toMatchObject({ crashes });
      const standing = clients.standing(0, 'a');
      return standing.kind === 'refused' ? standing.retryAfterMs / SECOND : 0;
    });
    expect(refusals).toEqual([10, 20, 40, 80, 160, 300, 300]);
    expect(clients.standing(0, 'b').kind).toBe('free');
    expect(clients.standing(300 * SECOND, 'a').kind).toBe('alone');
  });

  it('starts over after ten minutes without a crash', () => {
    const clients = new CrashingClients();
    crash(clients, 2);
    expect(clients.standing(10 * MINUTE - 1, 'a').kind).toBe('alone');
    expect(clients.standing(10 * MINUTE, 'a').kind).toBe('free');
    crash(clients, 1, 10 * MINUTE);
    expect(clients.standing(10 * MINUTE, 'a').kind).toBe('free');
  });

  it('makes up for each crash by a hundred requests that are served', () => {
    const clients = new CrashingClients();
    crash(clients, 3);
    for (let i = 0; i < 99; i++) clients.observe(served('a'));
    for (let i = 0; i < 200; i++) clients.observe(served('b'));
    expect(clients.standing(10 * SECOND, 'a').kind).toBe('alone');
    for (let i = 0; i < 101; i++) clients.observe(served('a'));
    expect(clients.standing(10 * SECOND, 'a').kind).toBe('free');
  });

  it('that left before it was known whose doing it was is refused for nothing', () => {
    const clients = new CrashingClients();
    for (let i = 0; i < 5; i++) clients.suspected(0, 'a');
    expect(clients.standing(0, 'a').kind).toBe('alone');
    crash(clients, 3, 0, 'b');
    clients.suspected(0, 'b');
    expect(clients.standing(0, 'b')).toMatchObject({ kind: 'refused', crashes: 3, retryAfterMs: 10 * SECOND });
  });

  it('is forgotten where a thousand others crashed since', () => {
    const clients = new CrashingClients();
    crash(clients, 3);
    for (let i = 0; i < 1000; i++) crash(clients, 1, 1, `other ${i}`);
    expect(clients.standing(1, 'a').kind).toBe('free');
  });
});
