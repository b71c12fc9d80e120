/* TraceSetting and LogSettings: Triton's trace and logging extensions. Both tell what is in force, after what they are asked to change. */
import type { Door } from '../../doors/door.js';
import { assertMaySetLogs, changeLogSettings, logSettings } from '../log-settings.js';
import type { LogControl } from '../log-settings.js';
import type { InferenceService } from '../../../protocol/service.js';
import { TRACE_SETTINGS, checkTraceChanges } from '../trace-settings.js';
import { unary } from './answers.js';
import type { AnswerContext } from './answers.js';
import { GRPCInferenceServiceDefinition } from '../../../protocol/grpc/generated/open_inference.js';
import type { LogSettingsResponse_SettingValue } from '../../../protocol/grpc/generated/open_inference.js';

const METHODS = GRPCInferenceServiceDefinition.methods;

export function settingHandlers(
  service: InferenceService,
  { logControl, door }: { readonly logControl: LogControl; readonly door: Door },
  context: AnswerContext,
) {
  return {
    traceSetting: unary(context, METHODS.traceSetting, ({ settings, modelName }) => {
      if (modelName !== '') service.model(modelName);
      checkTraceChanges(new Map(Object.entries(settings).map(([name, { value }]) => [name, value] as const)));
      const entries = [...TRACE_SETTINGS].map(([name, value]) => [name, { value: [...value] }] as const);
      return { settings: Object.fromEntries(entries) };
    }),
    logSettings: unary(context, METHODS.logSettings, ({ settings }) => {
      const changes = Object.entries(settings).map(([name, { parameterChoice }]) => [name, parameterChoice?.value]);
      if (changes.length > 0) {
        assertMaySetLogs(door);
        changeLogSettings(logControl, Object.fromEntries(changes) as Record<string, unknown>);
      }
      const current = logSettings(logControl) as unknown as Record<string, string | number | boolean>;
      const entries = Object.entries(current).map(([name, value]) => [name, settingValue(value)] as const);
      return { settings: Object.fromEntries(entries) };
    }),
  };
}

function settingValue(value: string | number | boolean): LogSettingsResponse_SettingValue {
  if (typeof value === 'boolean') return { parameterChoice: { $case: 'boolParam', value } };
  if (typeof value === 'number') return { parameterChoice: { $case: 'uint32Param', value } };
  return { parameterChoice: { $case: 'stringParam', value } };
}
