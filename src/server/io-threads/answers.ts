import type { Tensor } from '../../scheduler/domain/tensor.js';
import type { Explanation, InferReply } from '../../protocol/service.js';
import type { ExplanationEntry, ToIoThread, WireTensor } from './wire.js';

/* An answer as it is said to an io thread, and back again. */

type AnswerEntry = Extract<ToIoThread, readonly ['ok' | 'refused' | 'error', ...unknown[]]>;

/** @param outputs of an answer that has them, as they are carried */
export function answerEntry(id: number, reply: InferReply, outputs: readonly WireTensor[]): AnswerEntry {
  switch (reply.kind) {
    case 'error':
      return ['error', id, reply.error];
    case 'refused':
      return ['refused', id, reply.outcome, explanationEntry(reply.explanation)];
    case 'ok': {
      const { modelName, modelVersion, outcome, explanation } = reply;
      const { service } = outcome;
      return [
        'ok',
        id,
        modelName,
        modelVersion,
        outputs,
        outcome.isLate,
        service.queuedMs,
        service.slackAtDispatchMs,
        service.batchId,
        service.batchSize,
        service.cpuMillicores,
        service.threadCount,
        service.plannedLatencyMs,
        service.latencyMs,
        explanationEntry(explanation),
      ];
    }
  }
}

/** @param tensorOf reads what was carried */
export function answerOf(entry: AnswerEntry, tensorOf: (tensor: WireTensor) => Tensor): InferReply {
  switch (entry[0]) {
    case 'error':
      return { kind: 'error', error: entry[2] };
    case 'refused':
      return { kind: 'refused', outcome: entry[2], explanation: explanationOf(entry[3]) };
    case 'ok': {
      const [, , modelName, modelVersion, wireOutputs, isLate, queuedMs, slackAtDispatchMs] = entry;
      const [batchId, batchSize, cpuMillicores, threadCount, plannedLatencyMs, latencyMs, explanation] = [
        entry[8],
        entry[9],
        entry[10],
        entry[11],
        entry[12],
        entry[13],
        entry[14],
      ] as const;
      const outputs = wireOutputs.map(tensorOf);
      const service = {
        queuedMs,
        slackAtDispatchMs,
        batchId,
        batchSize,
        cpuMillicores,
        threadCount,
        plannedLatencyMs,
        latencyMs,
      };
      return {
        kind: 'ok',
        modelName,
        modelVersion,
        outputs,
        outcome: { kind: 'completed', isLate, outputs, service },
        explanation: explanationOf(explanation),
      };
    }
  }
}

function explanationEntry(explanation: Explanation): ExplanationEntry {
  const { sloMs, budgetMs, networkDelayMs, networkDelaySource, routerDelayMs, isDeadlineDefaulted } = explanation;
  return [sloMs, budgetMs, networkDelayMs, networkDelaySource, routerDelayMs, isDeadlineDefaulted];
}

function explanationOf(entry: ExplanationEntry): Explanation {
  const [sloMs, budgetMs, networkDelayMs, networkDelaySource, routerDelayMs, isDeadlineDefaulted] = entry;
  return { sloMs, budgetMs, networkDelayMs, networkDelaySource, routerDelayMs, isDeadlineDefaulted };
}
