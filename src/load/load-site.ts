import { startModuleThread } from '../threads/module-thread.js';
import type { FromLoadThread, LoadShare, ToLoadThread } from './load-share.js';

/* Where the threads of a load run, and over what links their clients send. */

export interface LoadSite {
  /** Each client's own; null where clients send from wherever this machine does. */
  readonly clientAddresses: readonly string[] | null;
  startThread(share: LoadShare): ThreadLink;
  /** The plan's 0 is at that instant, a little ahead. @param onFailure told when links can no longer be kept as planned */
  begin(startUnixMs: number, onFailure: (error: Error) => void): void;
  /** The load is over. Another may follow. */
  end(): void;
}

/** One thread, as whoever started it sees it. */
export interface ThreadLink {
  tell(message: ToLoadThread): void;
  onTold(hear: (message: FromLoadThread) => void): void;
  /** It failed, or it ended; also when it was asked to. */
  onLost(hear: (error: Error) => void): void;
  end(): Promise<void>;
}

/** Threads of this process, over whatever network there is. */
export const thisProcess: LoadSite = {
  clientAddresses: null,
  begin: () => undefined,
  end: () => undefined,
  startThread: (share) => {
    const worker = startModuleThread(import.meta.url, './load-thread.js', { workerData: share });
    return {
      tell: (message) => worker.postMessage(message),
      onTold: (hear) => worker.on('message', hear),
      onLost: (hear) => {
        worker.on('error', hear);
        worker.on('exit', () => hear(new Error(ENDED_EARLY)));
      },
      end: async () => {
        await worker.terminate();
      },
    };
  },
};

export const ENDED_EARLY = 'a thread of the load generator ended before its load did';
