import type { Event } from '../../src/scheduler/domain/event.js';
import { outcomeName } from '../../src/scheduler/domain/outcome.js';

/** One line an event, with what a reader of a run wants to know of it. The same run gives the same text. */
export function describeEvent(event: Event): string {
  return `${event.atMs.toFixed(6)} ${describe(event)}`;
}

function describe(event: Event): string {
  switch (event.kind) {
    case 'request-received':
    case 'request-admitted':
      return `${event.kind} ${event.request.sequence}`;
    case 'request-finished':
      return `${event.kind} ${event.request.sequence} ${outcomeName(event.outcome)}`;
    case 'batch-started':
      return `${event.kind} ${event.batchId} [${event.sequences.join(' ')}] on ${event.cpuMillicores} × ${event.threadCount}`;
    case 'batch-ended':
      return `${event.kind} ${event.batchId} ${event.result}`;
    case 'planned':
      return `${event.kind} ${event.trigger} ${event.plan.kind} ${event.plan.cpuMillicores} ${event.plan.batchSize}`;
    case 'resize-requested':
      return `${event.kind} ${event.toMillicores}`;
    case 'resized':
      return `${event.kind} ${event.cpuMillicores}`;
    case 'instances-requested':
      return `${event.kind} ${event.toInstances}`;
    case 'instances-changed':
      return `${event.kind} ${event.instances}`;
    case 'resize-refused':
    case 'worker-lost':
    case 'worker-ready':
    case 'router-standstill':
      return event.kind;
  }
}
