import { existsSync, readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { Envelope, type EnvelopeNews } from '../../../scheduler/controlplane/envelope/envelope.js';
import type { ResizeRate } from '../../../scheduler/controlplane/envelope/resize-budget.js';
import { EnvelopedScaler } from '../../../scheduler/controlplane/envelope/enveloped-scaler.js';
import type { AllocationLimits } from '../../../scheduler/domain/plan.js';
import { ApiClient } from '../../../kubernetes/api-client.js';
import { findClusterAccess, type ClusterAccess } from '../../../kubernetes/cluster-access.js';
import { SystemClock } from '../../system-clock.js';
import { openCgroupV1 } from '../cgroup-v1.js';
import { openCgroupV2 } from '../cgroup-v2.js';
import { ROUTER_MILLICORES } from '../cpu-ceiling.js';
import { withFallback } from '../fallback.js';
import { createThreadUsage } from '../inference-threads.js';
import { quotaLimits, ScalerUnavailable, type AdapterOptions, type ScalerHandle } from '../scaler-handle.js';
import { findOwnQuota, type OwnQuota } from './own-quota.js';
import { leastLimit, type PodCpu } from './own-pod.js';
import { PodLimit, type PodName } from './pod-limit.js';
import { Reporting, type PodReport } from './pod-report.js';
import type { KubernetesSettings } from './settings.js';

/*
 * The scaler of a pod: its CPU limit, by `pods/resize`, and inside that the quota of a CPU group for each model and instance where the
 * container's cgroup can be written to. One limit for all models of this process: it is opened with the first and closed with the last.
 */

interface SharedEnvelope {
  readonly envelope: Envelope;
  readonly quota: OwnQuota;
  readonly cpu: PodCpu | null;
  readonly report: PodReport;
  readonly close: () => void;
}

/** A pause saves this many up. A profile changes allocations some dozens of times. */
const BURST = 10;
/** Held for nothing where only limits move, which take nothing from anybody; requests do. */
const HOLD_LIMIT_MS = 60_000;
const HOLD_REQUEST_MS = 10_000;
/** The start does not wait longer for an API server. */
const FIRST_LOOK_MS = 5000;

/** Of this process: it is in one pod. */
let shared: Promise<SharedEnvelope> | null = null;
let users = 0;

/** @throws ScalerUnavailable, in one line with its remedy */
export async function openKubernetes(options: AdapterOptions, settings: KubernetesSettings): Promise<ScalerHandle> {
  users += 1;
  shared ??= openShared(options, settings);
  try {
    return await openWithin(await shared, options, settings);
  } catch (error) {
    await leave();
    if (error instanceof ScalerUnavailable) throw error;
    throw new ScalerUnavailable((error as Error).message, { cause: error });
  }
}

async function leave(): Promise<void> {
  users -= 1;
  if (users > 0) return;
  const ending = shared;
  shared = null;
  await ending?.then(({ close }) => close()).catch(() => undefined);
}

async function openShared(options: AdapterOptions, settings: KubernetesSettings): Promise<SharedEnvelope> {
  const quota = findOwnQuota(settings.cgroupDirectory);
  if (settings.resizer === 'others') return openFollowed(options, quota);
  const access = await findClusterAccess();
  const pod = podName(settings.pod, access);
  const client = new ApiClient(access, 'sponge');
  const { onWarning, ceiling } = options;
  const isRequestFollowing = settings.requests === 'follow';
  const stepMillicores = options.limits.stepMillicores ?? STEP_MILLICORES;
  const asked = (options.limits.maxMillicores ?? Infinity) + ROUTER_MILLICORES;
  const mostMillicores = Math.min(1000 * ceiling.cpus.length, Math.ceil(asked / stepMillicores) * stepMillicores);
  const limit = new PodLimit({
    ...{ client, pod, container: settings.container, quota, isRequestFollowing, stepMillicores },
    unlimitedMillicores: mostMillicores,
    onLog: onWarning,
  });
  const close = (): void => {
    limit.stop();
    client.close();
  };
  try {
    const cpu = await limit.begin(FIRST_LOOK_MS);
    if (cpu !== null) {
      assertResizable(cpu, pod);
      await limit.tryRights(cpu);
    }
    const isHeldForFree = cpu?.qosClass !== 'Guaranteed' && !isRequestFollowing;
    const report = new Reporting(`${pod.namespace}/${pod.name}`);
    const rate: ResizeRate = { perSec: settings.resizesPerSecond, burst: BURST };
    const envelope = new Envelope({
      clock: new SystemClock({ keepsProcessAlive: false }),
      rules: {
        leastMillicores: cpu === null ? 0 : leastLimit(cpu, isRequestFollowing),
        mostMillicores,
        stepMillicores,
        reserveMillicores: ROUTER_MILLICORES,
        holdMs: settings.inner === 'none' ? 0 : isHeldForFree ? HOLD_LIMIT_MS : HOLD_REQUEST_MS,
        rate,
      },
      limitMillicores: limit.readLimit(),
      port: limit,
      onNews: (news) => {
        report.note(news);
        const line = lineOf(news);
        if (line !== null) onWarning(line);
      },
    });
    report.envelope = envelope;
    limit.start(envelope);
    return {
      ...{ envelope, quota, cpu, report },
      close: () => {
        envelope.stop();
        close();
      },
    };
  } catch (error) {
    close();
    throw error;
  }
}

/** The limit is set by others, and looked at. */
function openFollowed({ limits, ceiling, onWarning }: AdapterOptions, quota: OwnQuota): SharedEnvelope {
  const stepMillicores = limits.stepMillicores ?? STEP_MILLICORES;
  const asked = (limits.maxMillicores ?? Infinity) + ROUTER_MILLICORES;
  const mostMillicores = Math.min(1000 * ceiling.cpus.length, Math.ceil(asked / stepMillicores) * stepMillicores);
  const report = new Reporting('of this process');
  const readLimit = (): number => quota.readMillicores() ?? mostMillicores;
  const envelope = new Envelope({
    clock: new SystemClock({ keepsProcessAlive: false }),
    rules: {
      leastMillicores: 0,
      mostMillicores,
      stepMillicores,
      reserveMillicores: ROUTER_MILLICORES,
      holdMs: 0,
      rate: { perSec: 1, burst: 1 },
      isLeftToOthers: true,
    },
    limitMillicores: readLimit(),
    // Nothing is ever asked for.
    port: { resize: () => undefined },
  });
  report.envelope = envelope;
  const timer = setInterval(() => {
    try {
      envelope.noteInForce(readLimit());
    } catch (error) {
      onWarning(`the container's own quota cannot be read: ${(error as Error).message}`);
    }
  }, FOLLOW_EVERY_MS).unref();
  const close = (): void => {
    clearInterval(timer);
    envelope.stop();
  };
  return { envelope, quota, cpu: null, report, close };
}

/** Reading it takes 10 µs. */
const FOLLOW_EVERY_MS = 50;

/** What the systemd cgroup driver rounds to: 10 ms of 100. */
const STEP_MILLICORES = 100;

function podName(stated: string | null, { namespace, source }: ClusterAccess): PodName {
  if (stated !== null) {
    const [space, name, ...more] = stated.split('/');
    if (space === undefined || name === undefined || more.length > 0 || name === '') {
      throw new ScalerUnavailable(`--kubernetes-pod ${stated}: expected <namespace>/<name>`);
    }
    return { namespace: space, name };
  }
  const space = process.env['POD_NAMESPACE'] ?? namespace;
  if (space === null || space === '') {
    throw new ScalerUnavailable(`${source} names no namespace: give --kubernetes-pod <namespace>/<name>`);
  }
  return { namespace: space, name: process.env['POD_NAME'] ?? readHostname() };
}

/** Of a pod without hostNetwork: its name, which the kernel cuts at 64 bytes; /etc/hostname has all of it. */
function readHostname(): string {
  return existsSync('/etc/hostname') ? readFileSync('/etc/hostname', 'utf8').trim() : hostname();
}

function assertResizable({ qosClass, container }: PodCpu, { name }: PodName): void {
  if (qosClass !== 'BestEffort') return;
  throw new ScalerUnavailable(
    `pod ${name} is BestEffort, and a resize may not change that: give container ${container} a CPU request and limit`,
  );
}

async function openWithin(
  { envelope, quota, cpu, report }: SharedEnvelope,
  options: AdapterOptions,
  settings: KubernetesSettings,
): Promise<ScalerHandle> {
  const limits = podLimits(options, envelope.rules.mostMillicores);
  const notInner: string[] = [];
  const inner = settings.inner === 'none' ? null : await openInner(options, limits, envelope, notInner);
  const usage = createThreadUsage();
  const scaler = new EnvelopedScaler({
    envelope,
    limits,
    inner: inner?.scaler ?? null,
    kind: 'kubernetes',
    readCounters: () => {
      const throttling = quota.readThrottling() ?? { periods: 0, throttledPeriods: 0, throttledSeconds: 0 };
      return { ...throttling, usedSeconds: usage.usedSeconds() };
    },
  });
  const isFollowed = envelope.rules.isLeftToOthers === true;
  const qos = cpu === null ? 'not seen yet' : cpu.qosClass;
  const moves = cpu?.qosClass === 'Guaranteed' || settings.requests === 'follow' ? 'limit and request' : 'limit';
  const within = inner === null ? 'no quotas inside it' : `inside it ${inner.description}`;
  return {
    scaler,
    isEnveloped: true,
    pod: report,
    innerPassedOver: notInner,
    join: inner?.join ?? { kind: 'none' },
    rejoin: () => inner?.rejoin() ?? { kind: 'none' },
    description: `${isFollowed ? 'limit of the pod, as others set it' : `${moves} of pod ${report.pod} (${qos})`}, up to ${envelope.rules.mostMillicores} millicores, ${within}`,
    attachProcess: (pid, tid) => (inner === null ? usage.attach(pid) : inner.attachProcess(pid, tid)),
    async close() {
      scaler.close();
      await inner?.close();
      await leave();
    },
  };
}

/** Of all that the node's cores are, less the router's part. */
function podLimits(options: AdapterOptions, mostMillicores: number): AllocationLimits {
  // Below the number of CPUs: as of a quota, of which the router has its part.
  const ceiling = { ...options.ceiling, millicores: mostMillicores - 1 };
  const limits = quotaLimits({ ...options, ceiling });
  const { minMillicores, maxMillicores, stepMillicores } = limits;
  const steps = Math.floor((maxMillicores - minMillicores) / stepMillicores);
  return { ...limits, maxMillicores: minMillicores + steps * stepMillicores };
}

/** The best that the container's own cgroup allows; null where it allows none. */
async function openInner(
  options: AdapterOptions,
  limits: AllocationLimits,
  envelope: Envelope,
  notInner: string[],
): Promise<ScalerHandle | null> {
  const ceiling = { ...options.ceiling, millicores: limits.maxMillicores + ROUTER_MILLICORES };
  const inside: AdapterOptions = {
    ...options,
    limits,
    ceiling,
    // By cgroup v1 no more than what encloses it.
    mostNowMillicores: () => Math.max(limits.minMillicores, Math.floor(envelope.availableMillicores)),
  };
  const none = (): ScalerHandle => noneInside(limits);
  for (const [kind, open] of [
    ['cgroup-v2', openCgroupV2],
    ['cgroup-v1', openCgroupV1],
  ] as const) {
    try {
      return withFallback(await open(inside), none, options.onWarning);
    } catch (error) {
      if (!(error instanceof ScalerUnavailable)) throw error;
      notInner.push(`${kind} inside the pod's limit: ${error.message}`);
    }
  }
  return null;
}

/** Where a group can hold no worker any more: the pod's limit still does. */
function noneInside(limits: AllocationLimits): ScalerHandle {
  const usage = createThreadUsage();
  return {
    scaler: {
      kind: 'none',
      isActuating: false,
      limits,
      idleMillicores: limits.minMillicores,
      expectedDelayMs: 0,
      resize: (cpuMillicores, onApplied) => {
        queueMicrotask(() => onApplied({ kind: 'applied', cpuMillicores, isWritten: false, tookMs: 0 }));
      },
      readCounters: () => ({ usedSeconds: usage.usedSeconds(), periods: 0, throttledPeriods: 0, throttledSeconds: 0 }),
    },
    join: { kind: 'none' },
    rejoin: () => ({ kind: 'none' }),
    description: "only the pod's limit",
    attachProcess: (pid) => usage.attach(pid),
    close: () => Promise.resolve(),
  };
}

/** Null where nobody need hear of it. */
function lineOf(news: EnvelopeNews): string | null {
  switch (news.kind) {
    case 'trouble':
      return `the pod's limit stays where it is (${news.trouble}): ${news.message}`;
    case 'recovered':
      return "the pod's limit can be changed again";
    case 'asked':
    case 'in-force':
      return null;
  }
}
