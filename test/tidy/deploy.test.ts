import { execFileSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { readFiles } from './source-files.js';

/*
 * What deploy/ and the Containerfile say of Sponge is so: verbs and flags exist, ports are those that it listens on, the same image runs as
 * the same user everywhere. What needs Helm, Kubernetes' schemas or a container is tried by `npm run test:deploy`.
 */

const files = readFiles();
const textAt = (path: string): string => files.find((file) => file.path === path)!.text;
const help = (...verbs: readonly string[]): string =>
  execFileSync(process.execPath, ['bin/sponge.js', ...verbs, '--help'], { encoding: 'utf8' });

const values = parse(textAt('deploy/helm/sponge/values.yaml')) as {
  readonly route: Verb;
  readonly operate: Verb;
  readonly drainSeconds: number;
};
interface Verb {
  readonly enabled: boolean;
  readonly args: readonly string[];
}
const chart = parse(textAt('deploy/helm/sponge/Chart.yaml')) as {
  readonly version: string;
  readonly appVersion: string;
};
const runtime = parse(textAt('deploy/kserve/cluster-serving-runtime.yaml')) as {
  readonly spec: { readonly containers: readonly [Container] };
};
interface Container {
  readonly name: string;
  readonly image: string;
  readonly args: readonly string[];
  readonly ports: readonly { readonly containerPort: number }[];
  readonly securityContext: { readonly runAsUser: number };
}

/** Flags of `sponge serve` that a file has in a list, or behind the command. */
function flagsIn(text: string): readonly string[] {
  const inLists = [...text.matchAll(/^\s*- (?:\{\{ printf )?"?(--[a-z][a-z-]*)/gm)];
  const inCommands = [...text.matchAll(/sponge serve([^\n]*)/g)].flatMap(([, words]) => [
    ...words!.matchAll(/(--[a-z][a-z-]*)/g),
  ]);
  return [...inLists, ...inCommands].map(([, flag]) => flag!);
}

const withFlags = files.filter(
  ({ path }) =>
    path.startsWith('deploy/helm/sponge/templates/deployment') ||
    path.startsWith('deploy/kserve/') ||
    path.startsWith('deploy/systemd/'),
);

describe('deploy/', () => {
  it('has only flags that `sponge serve` has', () => {
    const flags = withFlags.flatMap(({ path, text }) => flagsIn(text).map((flag) => ({ path, flag })));
    expect(flags.length).toBeGreaterThan(20);
    const known = help('serve');
    for (const { path, flag } of flags) expect(known, `${path}: ${flag}`).toMatch(new RegExp(`${flag}[ ,\n]`));
    expect(
      flagsIn('  - --no-such=1\n  - {{ printf "--neither=%s" . }}\nExecStart=sponge serve x --nor-this 1'),
    ).toEqual(['--no-such', '--neither', '--nor-this']);
  });

  it('leaves off what has no verb yet', () => {
    const verbs = help();
    for (const verb of ['route', 'operate'] as const) {
      const isThere = new RegExp(`^ {2}${verb} `, 'm').test(verbs);
      const { enabled, args } = values[verb];
      expect(enabled && !isThere, `deploy/helm/sponge/values.yaml enables ${verb}`).toBe(false);
      if (!isThere) continue;
      const flags = [...flagsIn(textAt(`deploy/helm/sponge/templates/${verb}.yaml`)), ...args];
      for (const flag of flags) expect(help(verb), `${verb}: ${flag}`).toContain(flag.split('=')[0]);
    }
  });

  it('has the ports that the server listens on by default', () => {
    const known = help('serve');
    const ports = ['port', 'grpc-port', 'metrics-port'].map(
      (flag) => new RegExp(`--${flag} <port>[^)]*default:\\s*(\\d+)`).exec(known)![1]!,
    );
    expect(ports).toEqual(['8000', '8001', '8002']);
    expect(textAt('Containerfile')).toMatch(`EXPOSE ${ports.join(' ')}\n`);
    for (const port of ports) {
      expect(textAt('deploy/helm/sponge/templates/deployment.yaml')).toContain(`containerPort: ${port}`);
      expect(textAt('deploy/helm/sponge/templates/service.yaml')).toContain(`port: ${port}`);
    }
    expect(runtime.spec.containers[0].ports.map(({ containerPort }) => String(containerPort))).toEqual([ports[0]]);
  });

  it('has one version, and one user that is not root', () => {
    const { version } = JSON.parse(textAt('package.json')) as { readonly version: string };
    const [container] = runtime.spec.containers;
    expect([chart.version, chart.appVersion, container.image]).toEqual([version, version, `sponge:${version}`]);
    const user = String(container.securityContext.runAsUser);
    expect(textAt('Containerfile')).toContain(`USER ${user}:${user}\n`);
    expect(textAt('deploy/container/rootfs.sh')).toContain(`sponge:x:${user}:${user}:`);
    expect(textAt('deploy/helm/sponge/templates/_helpers.tpl')).toContain(`runAsUser: ${user}\n`);
  });

  it('has an image on a Node that is tried', () => {
    const [, version] = /^ARG BASE=\S+\/node:(\d+\.\d+\.\d+)-/m.exec(textAt('Containerfile'))!;
    expect(textAt('test/system/node-versions/run.ts')).toContain(`node: '${version}'`);
    expect(textAt('deploy/container/base.sh')).toContain(`node=\${2:-${version}}`);
  });

  it('gives a server time to drain, and KServe the container that it looks for', () => {
    const service = textAt('deploy/systemd/sponge.service');
    const stopSec = Number(/^TimeoutStopSec=(\d+)$/m.exec(service)![1]);
    const [, drainSeconds] = /--drain-seconds <s>[^)]*default:\s*(\d+)/.exec(help('serve'))!;
    // Ten seconds more are what the server takes to end its workers.
    expect(stopSec).toBeGreaterThan(Number(drainSeconds) + 10);
    expect(values.drainSeconds).toBe(Number(drainSeconds));
    expect(runtime.spec.containers[0].name).toBe('kserve-container');
  });
});
