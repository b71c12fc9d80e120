import { Command } from 'commander';
import { SERVER_VERSION } from '../server/version.js';
import { runProgram } from './run-program.js';

/** Each is imported when it is called: all together have 500 modules, a server 300. */
const VERBS: ReadonlyMap<string, () => Promise<Command>> = new Map([
  ['serve', async () => (await import('./serve.js')).serveCommand()],
  ['watch', async () => (await import('./watch.js')).watchCommand()],
  ['route', async () => (await import('./route.js')).routeCommand()],
  ['operate', async () => (await import('./operate.js')).operateCommand()],
  ['infer', async () => (await import('./infer.js')).inferCommand()],
  ['profile', async () => (await import('./profile.js')).profileCommand()],
  ['plan', async () => (await import('./plan.js')).planCommand()],
  ['load', async () => (await import('./load.js')).loadCommand()],
  ['simulate', async () => (await import('./simulate.js')).simulateCommand()],
]);

const program = new Command('sponge')
  .description(
    'Serves ONNX models on CPU: every request has its own deadline, and the model gets only the CPU it needs, resized in place.',
  )
  .version(SERVER_VERSION)
  .showHelpAfterError('(add --help for the flags and examples)')
  // A verb within a verb has flags of its own, some of the same names.
  .enablePositionalOptions();

for (const command of await commandsFor(process.argv[2])) program.addCommand(command);

// Started with a channel, by an experiment: whoever holds its other end may be killed, and then nobody else would end this.
process.once('disconnect', () => process.kill(process.pid, 'SIGTERM'));
process.channel?.unref();

await runProgram(program);

/** The verb that is called; all, for help and for guesses at what was meant, where it is none. */
function commandsFor(verb = ''): Promise<readonly Command[]> {
  const called = VERBS.get(verb);
  return Promise.all((called === undefined ? [...VERBS.values()] : [called]).map((command) => command()));
}
