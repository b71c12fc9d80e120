import type { Event } from '../../scheduler/domain/event.js';

/** What follows one model's events from now on, until the model is gone. */
export interface Attached {
  /** What its system calls with every event. */
  readonly observe: (event: Event) => void;
  /** Nothing more comes, and nothing of the model is kept. */
  readonly detach: () => void;
}
