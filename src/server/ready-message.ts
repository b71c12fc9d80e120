import type { ChildProcess } from 'node:child_process';
import type { Server } from './server.js';

/*
 * What `sponge serve` tells a program that has started it with a channel (`stdio: 'ipc'`), as soon as it is ready: where it can be
 * asked. The banner says the same to people.
 */

export interface ReadyMessage extends Pick<Server, 'restUrl' | 'grpcAddress' | 'metricsUrl'> {
  readonly kind: 'ready';
}

/** Nothing where nobody has opened a channel, or has closed it since. */
export function tellReady({ restUrl, grpcAddress, metricsUrl }: Server): void {
  const message: ReadyMessage = { kind: 'ready', restUrl, grpcAddress, metricsUrl };
  process.send?.(message, undefined, {}, () => undefined);
}

/** Waits for as long as the process lives, and longer: whoever waits has to hear of its end by himself. */
export function whenReady(child: ChildProcess): Promise<ReadyMessage> {
  return new Promise((resolve) => {
    child.on('message', (message: unknown) => {
      if ((message as Partial<ReadyMessage>).kind === 'ready') resolve(message as ReadyMessage);
    });
  });
}
