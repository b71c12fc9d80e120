import { describe, expect, it } from 'vitest';
import { Intake, type Pressure } from './intake.js';

const intakeOf = (pressure: Pressure, maxCalls = 1000): Intake =>
  new Intake({ maxCalls, clientFraction: 0.75, compat: 'none', pressure: () => pressure });

describe('the intake', () => {
  it('turns away the part of calls that the pressure says, evenly, and says why', () => {
    const intake = intakeOf({ fraction: 0.25, cause: 'its memory is nearly used up' });
    const replies = Array.from({ length: 100 }, () => intake.begin('a'));
    const refused = replies.filter((reply) => reply !== null);
    expect(refused).toHaveLength(25);
    expect(refused[0]).toMatchObject({
      status: { http: 429, grpc: 8 },
      reason: 'server_overload',
      message: 'its memory is nearly used up; try again later',
      retryAfterMs: 1000,
    });
    // Never two in a row.
    expect(replies.some((reply, index) => reply !== null && replies[index + 1] != null)).toBe(false);
    expect(intake.callsInProgress).toBe(75);
  });

  it('lets everything in without pressure, and nothing under all of it', () => {
    expect(intakeOf({ fraction: 0, cause: '' }).begin('a')).toBeNull();
    expect(intakeOf({ fraction: 1, cause: 'x' }).begin('a')).not.toBeNull();
  });

  it('leaves room for others where one client has its share, and tells the two apart', () => {
    const intake = intakeOf({ fraction: 0, cause: '' }, 4);
    for (let count = 0; count < 3; count++) expect(intake.begin('a')).toBeNull();
    expect(intake.begin('a')).toMatchObject({
      reason: 'client_limit',
      message: '3 calls of this client are in progress, which is the limit for one; try again later',
    });
    expect(intake.begin('b')).toBeNull();
    expect(intake.begin('b')).toMatchObject({ reason: 'queue_full' });
    intake.end('a');
    expect(intake.begin('b')).toBeNull();
  });
});
