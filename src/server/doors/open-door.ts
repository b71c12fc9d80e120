import { Door } from './door.js';
import { TokenFile } from './tokens.js';

export interface DoorSettings {
  /** Names that browsers may call the server by beside its own. */
  readonly allowedHosts: readonly string[];
  /** Of sites whose pages may call it. */
  readonly corsOrigins: readonly string[];
  /** Whose tokens are asked for; null: nobody's. */
  readonly tokenPath: string | null;
}

/** @throws Error of one line, with the remedy, where the tokens cannot be had */
export async function openDoor(
  host: string,
  { tokenPath, ...names }: DoorSettings,
  onNotice: (line: string) => void,
): Promise<Door> {
  if (tokenPath === null) return new Door({ host, ...names });
  return new Door({ host, ...names, tokens: await TokenFile.open({ path: tokenPath, onNotice }) });
}
