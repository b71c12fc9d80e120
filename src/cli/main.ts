import { Command, CommanderError } from 'commander';
import { printable } from '../adapters/doors/printable.js';
import { SERVER_VERSION } from '../adapters/serving/version.js';
import { experimentCommand } from './experiment.js';
import { inferCommand } from './infer.js';
import { loadCommand } from './load.js';
import { modelsCommand } from './models.js';
import { planCommand } from './plan.js';
import { profileCommand } from './profile.js';
import { serveCommand } from './serve.js';
import { simulateCommand } from './simulate.js';
import { watchCommand } from './watch.js';

const program = new Command('sponge')
  .description(
    'Serves ONNX models on CPU: every request has its own deadline, and the model gets only the CPU it needs, resized in place.',
  )
  .version(SERVER_VERSION)
  .showHelpAfterError('(add --help for the flags and examples)')
  // A verb within a verb has flags of its own, some of the same names.
  .enablePositionalOptions()
  .addCommand(serveCommand())
  .addCommand(watchCommand())
  .addCommand(inferCommand())
  .addCommand(profileCommand())
  .addCommand(planCommand())
  .addCommand(loadCommand())
  .addCommand(simulateCommand())
  .addCommand(experimentCommand())
  .addCommand(modelsCommand());

inheritSettings(program);

// Started with a channel, by an experiment: whoever holds its other end may be killed, and then nobody else would end this.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();

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

/** Commander passes settings on to commands that it makes, not to those that it is given. */
function inheritSettings(parent: Command): void {
  for (const command of parent.commands) {
    command.copyInheritedSettings(parent);
    inheritSettings(command);
  }
}
