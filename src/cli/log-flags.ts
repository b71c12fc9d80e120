import { Option, type Command } from 'commander';

/** `--log-format` and `--log-level` of a command whose log goes to stderr. */
export function addLogFlags(command: Command): Command {
  return command
    .addOption(new Option('--log-format <format>', 'of stderr').choices(['text', 'json']).default('text'))
    .addOption(
      new Option('--log-level <level>', 'least level logged')
        .choices(['debug', 'info', 'warn', 'error'])
        .default('info'),
    );
}
