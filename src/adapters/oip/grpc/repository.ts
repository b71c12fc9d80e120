/* RepositoryIndex; loading and unloading are refused: models come from the command line. */
import type { UntypedServiceImplementation } from '@grpc/grpc-js';
import { LOAD_NOT_ALLOWED } from '../model-description.js';
import { OipFailure } from '../service.js';
import type { InferenceService } from '../service.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import {
  RepositoryIndexRequest,
  RepositoryModelLoadRequest,
  RepositoryModelUnloadRequest,
} from './generated/open_inference.js';
import type { RepositoryIndexResponse } from './generated/open_inference.js';

export function repositoryHandlers(service: InferenceService, context: AnswerContext): UntypedServiceImplementation {
  return {
    repositoryIndex: unary(context, RepositoryIndexRequest, (request): RepositoryIndexResponse => {
      const models = service.models().filter((model) => !request.ready || model.state === 'READY');
      return {
        models: models.map(({ name, version, state, stateReason }) => ({ name, version, state, reason: stateReason })),
      };
    }),
    repositoryModelLoad: unary(context, RepositoryModelLoadRequest, refuse),
    repositoryModelUnload: unary(context, RepositoryModelUnloadRequest, refuse),
  };
}

function refuse(): never {
  throw new OipFailure('not_allowed', LOAD_NOT_ALLOWED);
}
