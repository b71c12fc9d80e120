import type { LoadPlan } from '../load-plan.js';
import type { CallEvents, Transport } from '../transport.js';

/*
 * What is left to do for a client whose link the kernel shapes: to add the propagation to the instant of its reply (its first
 * byte leaves as late as ever). Bodies go to the kernel whole. How long one took nobody here can see: the kernel takes the
 * last byte long before the link has carried it, so that no end of an upload is told.
 */

export function overShapedLinks(
  plan: LoadPlan,
  transport: Transport,
): { readonly plan: LoadPlan; readonly transport: Transport } {
  return {
    // The reply has come over the client's link.
    plan: { ...plan, replyEndAtMs: ({ upload }, repliedAtMs) => repliedAtMs + (upload?.propagationMs ?? 0) },
    transport: {
      send: (request, { onReply }) => {
        const heard: CallEvents = { onReply, onSent: () => undefined };
        return transport.send({ ...request, upload: null }, heard);
      },
      close: () => transport.close(),
    },
  };
}
