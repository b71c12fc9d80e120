import { commandText } from '../../src/reports/run-origin.js';

/** The program's name, as one types it. */
export const RESEARCH = 'npm run research --';

/** To type to have the same again. */
export function typedCommand(): string {
  return commandText(process.argv.slice(2), RESEARCH);
}
