import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Scope } from './bench.js';

/*
 * Load generators and baselines run in processes of their own, as clients and other servers do: a request goes over as a
 * message, its result comes back as one. One at a time.
 */

export interface Helper<Request, Result> {
  readonly pid: number;
  call(request: Request): Promise<Result>;
  /** Safe to call twice. */
  stop(): Promise<void>;
}

type Answer<Result> = { readonly result: Result } | { readonly error: string };

/** @param name of a file in `bench/helpers/`, without its ending */
export function startHelper<Request, Result>(
  scope: Scope,
  name: string,
  nodeFlags: readonly string[] = [],
): Helper<Request, Result> {
  const child = fork(new URL(`../helpers/${name}.ts`, import.meta.url), {
    execArgv: ['--import', 'tsx', ...nodeFlags],
    // As in the server's own workers.
    env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
    serialization: 'advanced',
  });
  const ended = once(child, 'exit');
  const stop = async (): Promise<void> => {
    child.kill('SIGKILL');
    await ended;
  };
  scope.onEnd(stop);
  return {
    pid: child.pid!,
    stop,
    async call(request) {
      child.send(request as object);
      const message = once(child, 'message').then(([answer]) => answer as Answer<Result>);
      const lost = ended.then(() => ({ error: `the ${name} process ended` }));
      const answer = await Promise.race([message, lost]);
      if ('error' in answer) throw new Error(answer.error);
      return answer.result;
    },
  };
}

/** The other side: answers every request with what `handle` makes of it. Ends with the process that started it. */
export function serveRequests(handle: (request: never) => Promise<unknown>): void {
  process.on('message', (request) => {
    handle(request as never).then(
      (result) => process.send!({ result } satisfies Answer<unknown>),
      (error: unknown) => process.send!({ error: String(error) } satisfies Answer<unknown>),
    );
  });
  process.on('disconnect', () => process.exit());
}
