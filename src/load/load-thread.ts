import { parentPort, workerData } from 'node:worker_threads';
import { runShare, type LoadShare, type ToLoadThread } from './load-share.js';

/* A share of a load on a thread of this process. */

const port = parentPort!;

runShare(workerData as LoadShare, {
  tell: (message) => port.postMessage(message),
  onTold: (hear) => port.on('message', (message: ToLoadThread) => hear(message)),
});
