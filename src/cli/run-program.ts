import { CommanderError, type Command } from 'commander';
import { printable } from '../server/doors/printable.js';

/** Runs what the command line asks for. What goes wrong is said in one line, and the exit code is not 0. */
export async function runProgram(program: Command): Promise<void> {
  inheritSettings(program);
  try {
    await program.parseAsync();
  } catch (error) {
    // Everything thrown on purpose is one line with cause and remedy; a stack helps nobody who runs a server.
    if (error instanceof CommanderError) process.exitCode = error.exitCode;
    else {
      const message = error instanceof Error ? error.message : String(error);
      console.error(`sponge: ${message.split('\n').map(printable).join('\n')}`);
      if (process.env['SPONGE_DEBUG'] === '1' && error instanceof Error) console.error(error.stack);
      process.exitCode = 1;
    }
  }
}

/** Commander passes settings on to commands that it makes, not to those that it is given. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}
