import { InvalidArgumentError, type Command } from 'commander';
import { allowedHostOf, originOf } from '../server/doors/door.js';
import type { DoorSettings } from '../server/doors/open-door.js';

/** Who is let in, as commander parses it. */
export interface DoorFlags {
  readonly authTokenFile?: string;
  readonly allowHost?: readonly string[];
  readonly corsOrigin?: readonly string[];
}

export function addDoorFlags(command: Command): Command {
  return command
    .optionsGroup('Doors:')
    .option(
      '--auth-token-file <file>',
      'only for who shows a token of it; its lines: <name> <token>, and read-only for metrics and metadata alone',
    )
    .option('--allow-host <name>', 'a name that browsers may call the server by; repeatable', collecting(allowedHostOf))
    .option(
      '--cors-origin <origin>',
      'a site whose pages may call it, https://app.example.com; repeatable',
      collecting(originOf),
    );
}

export function doorsOf({ allowHost, corsOrigin, authTokenFile }: DoorFlags): DoorSettings {
  return { allowedHosts: allowHost ?? [], corsOrigins: corsOrigin ?? [], tokenPath: authTokenFile ?? null };
}

function collecting(read: (text: string) => string) {
  return (text: string, previous: readonly string[] = []): readonly string[] => {
    try {
      return [...previous, read(text)];
    } catch (error) {
      throw new InvalidArgumentError(`${(error as Error).message}.`);
    }
  };
}
