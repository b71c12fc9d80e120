import { Option, type Command } from 'commander';
import { CONTROL_MODES, type ControlChoice, type ControlMode } from '../server/models/model-control.js';
import { collected, positiveNumber, UserError } from './options.js';

/** Which models are served after the start, as commander parses it. */
export interface ControlFlags {
  readonly modelName?: string;
  readonly modelControl: ControlMode;
  readonly pollSeconds: number;
  readonly loadModel?: readonly string[];
}

export function addControlFlags(command: Command): Command {
  return command
    .optionsGroup('Models:')
    .option(
      '--model-name <name>',
      'name of the model that the path is the file or the folder of (default: as that is called)',
    )
    .addOption(
      new Option(
        '--model-control <mode>',
        'poll: those that are in the repository now; explicit: those that clients load and unload, from this machine or with a token',
      )
        .choices(CONTROL_MODES)
        .default('none'),
    )
    .option('--poll-seconds <s>', 'of --model-control poll, between two looks at the repository', positiveNumber, 15)
    .option(
      '--load-model <name>',
      'of --model-control explicit, what to begin with; * for all (repeatable)',
      collected,
    );
}

/** @throws UserError where they contradict each other */
export function controlOf({ modelControl: mode, pollSeconds, loadModel }: ControlFlags): ControlChoice {
  if (loadModel !== undefined && mode !== 'explicit') {
    throw new UserError('--load-model is of --model-control explicit: otherwise all models are loaded');
  }
  return { mode, pollMs: pollSeconds * 1000, loadModels: loadModel ?? [] };
}
