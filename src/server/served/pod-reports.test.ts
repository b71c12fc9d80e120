import { describe, expect, it } from 'vitest';
import { VirtualClock } from '../../scheduler/clock/virtual-clock.js';
import type { PodReport } from '../../scheduler/domain/pod-report.js';
import { shapeClass } from '../../scheduler/domain/request.js';
import type { ReportReader } from '../../protocol/reports.js';
import type { ModelListings, Registered } from '../models/model-listings.js';
import { PodReports } from './pod-reports.js';

const OUTLOOK = {
  leastMs: 10,
  aloneMs: 12.345678,
  instanceCount: 1,
  requestMs: 3,
  marks: [{ dueInMs: 0, startInMs: 1.00004, doneInMs: 1, roomMs: null }],
  spareCoreSeconds: 0.9,
};

/** One model, of which so much is held as the test says. */
function site() {
  const clock = new VirtualClock();
  const state = { heldRequests: 0, outlooks: 0 };
  const registered = {
    requestBytes: 600.4,
    replyBytes: 0,
    served: {
      source: { name: 'm', version: '3' },
      state: 'READY',
      defaultSloMs: 1000,
      likelyClass: shapeClass('x', 1),
      system: {
        status: () => ({ heldRequests: state.heldRequests }),
        outlook: () => {
          state.outlooks += 1;
          return OUTLOOK;
        },
      },
    },
  } as unknown as Registered;
  const pipeline = {
    ...{ source: { name: 'p', version: '1' }, state: 'READY', defaultSloMs: 5000, requestBytes: 70 },
    system: { heldRequests: 0 },
    outlook: () => ({ ...OUTLOOK, instanceCount: 4 / 3, marks: [{ ...OUTLOOK.marks[0]!, roomMs: Infinity }] }),
  };
  const listings = {
    ...{ registered: [registered], served: [registered.served], latest: () => registered },
    ...{ pipelines: [pipeline], pipeline: () => pipeline },
  } as unknown as ModelListings;
  const reports = new PodReports({ clock, listings });
  reports.setGrpcPort(8001);
  return { clock, state, reports, pipeline };
}

function reader(fields: Partial<ReportReader> = {}) {
  const taken: PodReport[] = [];
  let ended = 0;
  const own: ReportReader = {
    picker: 'p',
    intervalMs: 50,
    take: (json) => taken.push(JSON.parse(json) as PodReport),
    isReady: () => true,
    end: () => (ended += 1),
    ...fields,
  };
  return { own, taken, ended: () => ended };
}

describe('reports', () => {
  it('tell of each model, and of each pipeline, what its system foretells, to microseconds', () => {
    const { reports } = site();
    expect(JSON.parse(reports.now())).toEqual({
      schemaVersion: 1,
      isDraining: false,
      grpcPort: 8001,
      models: [
        {
          name: 'm',
          version: '3',
          isLatest: true,
          isReady: true,
          heldRequests: 0,
          defaultSloMs: 1000,
          requestBytes: 600,
          ...OUTLOOK,
          aloneMs: 12.346,
          marks: [{ dueInMs: 0, startInMs: 1, doneInMs: 1, roomMs: null }],
        },
        {
          name: 'p',
          version: '1',
          isLatest: true,
          isReady: true,
          heldRequests: 0,
          defaultSloMs: 5000,
          requestBytes: 70,
          ...OUTLOOK,
          aloneMs: 12.346,
          instanceCount: 1.333,
          marks: [{ dueInMs: 0, startInMs: 1, doneInMs: 1, roomMs: null }],
        },
      ],
      arrived: [],
      isArrivedCut: false,
    });
  });

  it('cost nothing while nobody reads them, however many requests come', () => {
    const { clock, reports, state } = site();
    for (let number = 0; number < 1000; number++) reports.arrived(`p.${number}`);
    clock.advanceTo(10_000);
    expect(state.outlooks).toBe(0);
  });

  it('come at the interval while something is held, and else as a heartbeat', () => {
    const { clock, reports, state } = site();
    const { own, taken } = reader();
    const end = reports.follow(own)!;
    clock.advanceTo(0);
    expect(taken).toHaveLength(1);
    clock.advanceTo(499);
    expect(taken).toHaveLength(1);
    clock.advanceTo(1000);
    expect(taken).toHaveLength(3);
    state.heldRequests = 1;
    clock.advanceTo(1500);
    expect(taken).toHaveLength(13);
    state.heldRequests = 0;
    // Once more, that nothing is held any more.
    clock.advanceTo(1900);
    expect(taken).toHaveLength(14);
    end();
    clock.advanceTo(5000);
    expect(taken).toHaveLength(14);
  });

  it('come at the interval while a pipeline holds something that no model has at the moment', () => {
    const { clock, reports, pipeline } = site();
    const { own, taken } = reader();
    reports.follow(own);
    clock.advanceTo(0);
    pipeline.system.heldRequests = 1;
    clock.advanceTo(499);
    expect(taken).toHaveLength(10);
    expect(taken.at(-1)!.models.at(-1)).toMatchObject({ name: 'p', heldRequests: 1 });
  });

  it('come soon after a batch has begun, ten milliseconds after the last at the soonest', () => {
    const { clock, reports, state } = site();
    const { own, taken } = reader();
    const end = reports.follow(own)!;
    clock.advanceTo(0);
    state.heldRequests = 1;
    clock.advanceTo(20);
    reports.began();
    expect(taken).toHaveLength(1);
    clock.advanceTo(20);
    expect(taken).toHaveLength(2);
    // Ten batches within five milliseconds are one report, ten after the last; the next one is an interval later.
    for (let batch = 0; batch < 10; batch++) {
      clock.advanceBy(0.5);
      reports.began();
    }
    clock.advanceTo(29.9);
    expect(taken).toHaveLength(2);
    clock.advanceTo(30);
    expect(taken).toHaveLength(3);
    clock.advanceTo(79.9);
    expect(taken).toHaveLength(3);
    clock.advanceTo(80);
    expect(taken).toHaveLength(4);
    end();
    reports.began();
    clock.advanceTo(5000);
    expect(taken).toHaveLength(4);
  });

  it('say, to each who numbers its requests, which of them have come', () => {
    const { clock, reports } = site();
    const [p, q] = [reader(), reader({ picker: 'q' })];
    reports.follow(p.own);
    reports.follow(q.own);
    clock.advanceTo(0);
    for (const pick of ['p.1', 'p.3', 'q.1', 'r.1', 'p.', 'p.x', 'p', '']) reports.arrived(pick);
    clock.advanceTo(50);
    expect(p.taken.map(({ arrived }) => arrived)).toEqual([[], [1, 3]]);
    expect(q.taken.map(({ arrived }) => arrived)).toEqual([[], [1]]);
    clock.advanceTo(600);
    expect(p.taken.at(-1)!.arrived).toEqual([]);
  });

  it('say so where more have come than fit', () => {
    const { clock, reports } = site();
    const { own, taken } = reader();
    reports.follow(own);
    clock.advanceTo(0);
    for (let number = 0; number < 5000; number++) reports.arrived(`p.${number}`);
    clock.advanceTo(50);
    expect(taken[1]).toMatchObject({ isArrivedCut: true });
    expect(taken[1]!.arrived).toHaveLength(4096);
  });

  it('are of the present: who has not taken one is spared the next, and loses no number', () => {
    const { clock, reports, state } = site();
    let isReady = true;
    const { own, taken } = reader({ isReady: () => isReady });
    reports.follow(own);
    clock.advanceTo(0);
    isReady = false;
    state.heldRequests = 1;
    reports.arrived('p.7');
    clock.advanceTo(400);
    expect(taken).toHaveLength(1);
    isReady = true;
    clock.advanceTo(450);
    expect(taken).toHaveLength(2);
    expect(taken[1]!.arrived).toEqual([7]);
  });

  it('tell at once that the server drains, and end with it', () => {
    const { clock, reports } = site();
    const { own, taken, ended } = reader();
    reports.follow(own);
    clock.advanceTo(0);
    reports.drain();
    expect(taken.at(-1)).toMatchObject({ isDraining: true });
    reports.close();
    expect(ended()).toBe(1);
    clock.advanceTo(2000);
    expect(taken).toHaveLength(2);
  });

  it('are read by so many and no more', () => {
    const { reports } = site();
    const ends = Array.from({ length: 16 }, (_, index) => reports.follow(reader({ picker: `p${index}` }).own));
    expect(ends).not.toContain(null);
    expect(reports.follow(reader().own)).toBeNull();
    ends[0]!();
    expect(reports.follow(reader().own)).not.toBeNull();
  });
});
