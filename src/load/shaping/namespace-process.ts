import { runShare, type LoadShare, type ToLoadThread } from '../load-share.js';

/* A share of a load in a process of its own, started in the clients' network. Its first message is the share. */

// Whoever started it is gone: nobody would hear of the load.
process.once('disconnect', () => process.exit());

process.once('message', (share: LoadShare) => {
  runShare(share, {
    tell: (message) => process.send!(message),
    onTold: (hear) => process.on('message', (message: ToLoadThread) => hear(message)),
  });
});
