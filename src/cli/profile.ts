import { Command } from 'commander';
export function profileCommand(): Command {
  return new Command('profile');
}
