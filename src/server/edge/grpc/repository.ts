/* RepositoryIndex, RepositoryModelLoad and RepositoryModelUnload. */
import type { Door } from '../../doors/door.js';
import { assertMayChangeModels, repositoryOf, sentModelIn, unloadsDependents } from '../../../protocol/repository.js';
import type { EdgeLimits, InferenceService } from '../../../protocol/service.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import type {
  ModelRepositoryParameter,
  RepositoryModelLoadRequest,
  RepositoryModelLoadResponse,
} from '../../../protocol/grpc/generated/open_inference.js';

const METHODS = GRPCInferenceServiceDefinition.methods;

/** @param limits of a model that is sent: as of tensors */
export function repositoryHandlers(
  service: InferenceService,
  door: Door,
  { maxBinaryBytes }: Pick<EdgeLimits, 'maxBinaryBytes'>,
  context: AnswerContext,
) {
  const repository = repositoryOf(service);
  const load = async ({ modelName, parameters }: RepositoryModelLoadRequest): Promise<RepositoryModelLoadResponse> => {
    assertMayChangeModels(door);
    await repository.load(modelName, sentModelIn(parametersIn(parameters)));
    return {};
  };
  return {
    repositoryIndex: unary(context, METHODS.repositoryIndex, async ({ ready }) => {
      const models = (await repository.index()).filter((model) => !ready || model.state === 'READY');
      return {
        models: models.map(({ name, version, state, stateReason }) => ({ name, version, state, reason: stateReason })),
      };
    }),
    repositoryModelLoad: unary(context, METHODS.repositoryModelLoad, load, maxBinaryBytes),
    repositoryModelUnload: unary(context, METHODS.repositoryModelUnload, async ({ modelName, parameters }) => {
      assertMayChangeModels(door);
      await repository.unload(modelName, unloadsDependents(parametersIn(parameters)));
      return {};
    }),
  };
}

function parametersIn(parameters: Readonly<Record<string, ModelRepositoryParameter>>): ReadonlyMap<string, unknown> {
  return new Map(Object.entries(parameters).map(([name, { parameterChoice }]) => [name, parameterChoice?.value]));
}
