import { channel } from 'node:diagnostics_channel';

/*
 * Where a request is on its way through this server, for whoever measures the path stage by stage. Nobody does while it serves: then
 * telling costs a look at a property. A point has no request's name; who listens sends one request at a time.
 */

/**
 * In the order in which a request that is served passes them; `begun`, `ran` and `sent` in the worker, all others in the router. A
 * point that is passed several times, as outputs come in pieces, counts where it is passed last.
 */
export type PathPoint =
  /** The head of the call has been read. */
  | 'head'
  /** So has all of its body, or its one message. */
  | 'received'
  /** Its bytes are tensors. */
  | 'parsed'
  /** They are right for the model. */
  | 'checked'
  /** It has a deadline and a place in the queue; what was planned at its arrival is planned. */
  | 'admitted'
  /** The worker has its inputs, or they are small enough to go with the batch. */
  | 'staged'
  /** Its batch was chosen, and the cores for it; the word to run it is written next. */
  | 'planned'
  /** The model is called. */
  | 'begun'
  /** It has returned. */
  | 'ran'
  /** The worker's kernel has taken all outputs; the router may have them by then. */
  | 'sent'
  /** The router has read that it is done, and outputs. */
  | 'returned'
  /** The request has its outcome, and everybody concerned has been told of the batch. */
  | 'settled'
  /** The answer is bytes. */
  | 'encoded'
  /** The router's kernel has taken all of them. */
  | 'written';

/** Each message is a `PathPoint`. */
const path = channel('sponge:path');

export function reached(point: PathPoint): void {
  if (path.hasSubscribers) path.publish(point);
}
