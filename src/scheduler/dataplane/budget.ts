import type { NetworkDelaySource } from '../domain/request.js';

/** All that is known about a request's time when its last byte is there. Durations in ms, instants on the server's clock. */
export interface BudgetInputs {
  readonly firstByteAtMs: number;
  readonly receivedAtMs: number;
  /** Total time budgets that the client stated, each > 0; the tightest one counts. */
  readonly statedBudgetsMs: readonly number[];
  /** Used when none is stated. */
  readonly defaultSloMs: number;
  readonly declaredUploadMs?: number | undefined;
  /** Send → fully received by the client's own stamp, clock offset already taken out; absent until that is learned. */
  readonly sendStampDelayMs?: number | undefined;
  readonly expectedReplyMs: number;
  /** Of the time until receipt, what the router stood still for: it is spent like any other, and not the network's doing. */
  readonly routerDelayMs?: number;
}

export interface Budget {
  readonly sloMs: number;
  readonly isDeadlineDefaulted: boolean;
  readonly networkDelayMs: number;
  readonly networkDelaySource: NetworkDelaySource;
  readonly replyReserveMs: number;
  readonly routerDelayMs: number;
  /** May lie in the past: the network used everything up. */
  readonly dueAtMs: number;
}

/**
 * Turns what a client said and what we measured into a deadline. The network delay is the largest credible of: the
 * transfer we saw, the upload time the client declares, the client's send stamp. A client can therefore only shorten its
 * own budget by overstating, never lengthen it. Unlike the paper, where the client subtracts its own network time.
 */
export function resolveBudget(inputs: BudgetInputs): Budget {
  const isDeadlineDefaulted = inputs.statedBudgetsMs.length === 0;
  const sloMs = isDeadlineDefaulted ? inputs.defaultSloMs : Math.min(...inputs.statedBudgetsMs);
  let networkDelayMs = 0;
  let networkDelaySource: NetworkDelaySource = 'none';
  const consider = (delayMs: number | undefined, source: NetworkDelaySource): void => {
    if (delayMs !== undefined && delayMs > networkDelayMs) {
      networkDelayMs = delayMs;
      networkDelaySource = source;
    }
  };
  const routerDelayMs = Math.min(inputs.routerDelayMs ?? 0, sloMs);
  consider(inputs.receivedAtMs - inputs.firstByteAtMs - routerDelayMs, 'transfer');
  consider(inputs.declaredUploadMs, 'declared_upload');
  if (inputs.sendStampDelayMs !== undefined) consider(inputs.sendStampDelayMs - routerDelayMs, 'send_stamp');
  const budgetMs = sloMs - routerDelayMs;
  networkDelayMs = Math.min(networkDelayMs, budgetMs);
  const replyReserveMs = Math.min(Math.max(0, inputs.expectedReplyMs), budgetMs - networkDelayMs);
  return {
    sloMs,
    isDeadlineDefaulted,
    networkDelayMs,
    networkDelaySource,
    replyReserveMs,
    routerDelayMs,
    // What is left first: a budget that is used up must give the instant of receipt itself, whatever rounding does.
    dueAtMs: inputs.receivedAtMs + (budgetMs - networkDelayMs - replyReserveMs),
  };
}
