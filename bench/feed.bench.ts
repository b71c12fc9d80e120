import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type * as LiveFeedModule from '../src/server/telemetry/live-feed.js';
import type * as MetricsServerModule from '../src/server/telemetry/metrics-server.js';
import type * as RecordWriterModule from '../src/server/telemetry/record-writer.js';
import type * as SystemClockModule from '../src/server/system-clock.js';
import type { Event } from '../src/scheduler/domain/event.js';
import type * as PoliciesModule from '../src/simulator/policies/policies.js';
import type * as RunSeedModule from '../src/simulator/comparison/run-seed.js';
import type * as ScenarioFilesModule from '../src/simulator/scenarios/scenario-files.js';
import type * as SetupModule from '../src/simulator/scenarios/setup.js';
import { bench, type Scope } from './harness/bench.js';
import { startHelper } from './harness/helper.js';
import { interleaved } from './harness/repeat.js';
import { atMost, isTiny, report } from './harness/row.js';
import type { SubscriberRequest, SubscriberResult } from './helpers/feed-subscriber.js';

/*
 * What it costs the server to tell what happens: CPU of the whole process while the events of 200 requests a second are
 * played in real time into the feed, over what playing them to nobody takes in the same round. A simulated run of the
 * default planner gives the events, once it is under way. The subscriber is a process of its own, over HTTP.
 */

const RATE_PER_SEC = 200;
const ROUNDS = isTiny ? 1 : 5;
const ROUND_MS = isTiny ? 300 : 4000;
/** How often due events are played: as often as a router of that load wakes up. */
const PLAY_EVERY_MS = 5;
/** Of the simulated run: the first requests are still on their way then. */
const FIRST_MS = 1000;

// The build, not the sources: tsx names every closure at run time.
const built = async <T>(path: string): Promise<T> =>
  (await import(new URL(`../dist/${path}`, import.meta.url).href)) as T;
const { LiveFeed } = await built<typeof LiveFeedModule>('server/telemetry/live-feed.js');
const { RecordWriter } = await built<typeof RecordWriterModule>('server/telemetry/record-writer.js');
const { startMetricsServer } = await built<typeof MetricsServerModule>('server/telemetry/metrics-server.js');
const { SystemClock } = await built<typeof SystemClockModule>('server/system-clock.js');
const { policyFor } = await built<typeof PoliciesModule>('simulator/policies/policies.js');
const { runPolicy, worldOf } = await built<typeof RunSeedModule>('simulator/comparison/run-seed.js');
const { readScenario } = await built<typeof ScenarioFilesModule>('simulator/scenarios/scenario-files.js');
const { setUp } = await built<typeof SetupModule>('simulator/scenarios/setup.js');

type Play = (event: Event) => void;

await bench(async (scope) => {
  const events = eventsOfOneRound();
  const subscriber = startHelper<SubscriberRequest, SubscriberResult>(scope, 'feed-subscriber');
  const silent = await startFeed(scope);
  const watched = await startFeed(scope);
  const logged = await startFeed(scope);
  const writer = await RecordWriter.open({
    path: join(scope.folder(), 'events.jsonl'),
    onTrouble: (line) => console.warn(line),
  });
  scope.use(writer, (part) => part.close());
  logged.feed.follow({
    onRun: (header) => writer.begin(header),
    onChunk: ({ lines }) => writer.write(lines),
  });

  let byteCount = 0;
  const { nobody, ring, one, log } = await interleaved(ROUNDS, {
    nobody: () => coreShareOf(events, () => undefined),
    ring: () => coreShareOf(events, silent.play),
    one: async () => {
      const watching = subscriber.call({ url: watched.url, durationMs: ROUND_MS + 1000 });
      await delay(500);
      const share = await coreShareOf(events, watched.play);
      byteCount = (await watching).byteCount;
      return share;
    },
    log: () => coreShareOf(events, logged.play),
  });
  if (byteCount === 0) throw new Error('the subscriber heard nothing');
  if (writer.droppedRecords > 0) throw new Error(`the event log left out ${writer.droppedRecords} records`);

  const perSec = (1000 * events.length) / ROUND_MS;
  const row = (what: string, values: readonly number[], note: string): void =>
    report({
      what: `feeding ${RATE_PER_SEC} requests/s, ${what}`,
      unit: '% of a core',
      ours: values.map((value, round) => value - nobody[round]!),
      baseline: { what: 'the player alone, not counted in ours', values: nobody },
      budget: atMost(2),
      note,
    });
  row('nobody looks', ring, `${perSec.toFixed(0)} events/s`);
  row('one subscriber', one, `${perSec.toFixed(0)} events/s over HTTP`);
  row('event log', log, `${perSec.toFixed(0)} events/s to a file`);
});

/** In the order in which they happened; instants count from the beginning of the round. */
function eventsOfOneRound(): readonly Event[] {
  const keys = [
    `arrivals.ratePerSec=${RATE_PER_SEC}`,
    'profile=resnet18',
    `durationSec=${Math.ceil((FIRST_MS + ROUND_MS) / 1000)}`,
  ];
  const file = readScenario('authors-applied', keys);
  const setup = setUp(file.scenario, file.name, file.folder);
  const events: Event[] = [];
  runPolicy(setup, worldOf(setup, 1), policyFor('sponge', setup, 1), undefined, (event) => events.push(event));
  return events
    .map((event) => ({ ...event, atMs: event.atMs - FIRST_MS }))
    .filter(({ atMs }) => atMs >= 0 && atMs < ROUND_MS);
}

/** CPU of this process while the events are played, in % of a core. */
async function coreShareOf(events: readonly Event[], play: Play): Promise<number> {
  const startedAtMs = performance.now();
  const before = process.cpuUsage();
  for (let index = 0; performance.now() < startedAtMs + ROUND_MS;) {
    const dueBeforeMs = performance.now() - startedAtMs;
    for (; index < events.length && events[index]!.atMs <= dueBeforeMs; index++) play(events[index]!);
    await delay(PLAY_EVERY_MS);
  }
  const { user, system } = process.cpuUsage(before);
  return (100 * (user + system)) / 1000 / (performance.now() - startedAtMs);
}

async function startFeed(scope: Scope): Promise<{ feed: InstanceType<typeof LiveFeed>; url: string; play: Play }> {
  const clock = new SystemClock();
  const feed = scope.use(new LiveFeed({ clock, title: 'bench', startedAt: new Date().toISOString() }), (part) =>
    part.close(),
  );
  const server = scope.use(
    await startMetricsServer({
      host: '127.0.0.1',
      port: 0,
      render: () => Promise.resolve(''),
      contentType: 'text/plain',
      page: null,
      feed,
    }),
    (part) => part.close(),
  );
  const { observe: play } = feed.attachModel({
    name: 'resnet18',
    version: '1',
    policy: 'sponge',
    limits: { minMillicores: 1000, maxMillicores: 16_000, stepMillicores: 100 },
    cpuMillicores: 16_000,
    instances: 1,
    maxBatchSize: 8,
  });
  return { feed, url: `http://127.0.0.1:${server.port}/events`, play };
}
