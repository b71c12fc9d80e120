/* RepositoryIndex; loading and unloading are refused: models come from the command line. */
import { LOAD_NOT_ALLOWED } from '../model-description.js';
import { OipFailure } from '../service.js';
import type { InferenceService } from '../service.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { GRPCInferenceServiceDefinition } from './generated/open_inference.js';
import type { RepositoryIndexResponse } from './generated/open_inference.js';

const METHODS = GRPCInferenceServiceDefinition.methods;

export function repositoryHandlers(service: InferenceService, context: AnswerContext) {
  return {
    repositoryIndex: unary(context, METHODS.repositoryIndex, (request): RepositoryIndexResponse => {
      const models = service.models().filter((model) => !request.ready || model.state === 'READY');
      return {
        models: models.map(({ name, version, state, stateReason }) => ({ name, version, state, reason: stateReason })),
      };
    }),
    repositoryModelLoad: unary(context, METHODS.repositoryModelLoad, refuse),
    repositoryModelUnload: unary(context, METHODS.repositoryModelUnload, refuse),
  };
}

function refuse(): never {
  throw new OipFailure('not_allowed', LOAD_NOT_ALLOWED);
}
