import { availableParallelism } from 'node:os';
import { Command, InvalidArgumentError, Option } from 'commander';
import { nodePolicyTitles, parseNodePolicy } from '../simulator/policies/node-policies.js';
import { parsePipelinePolicy, pipelinePolicyTitles } from '../simulator/pipelines/pipeline-policies.js';
import { checkPolicy, policyTitles } from '../simulator/policies/policies.js';
import { splitPolicies } from '../simulator/policies/policy-spec.js';
import { writeEventLog } from '../simulator/comparison/recorded-run.js';
import { simulationReport } from '../reports/simulation-report.js';
import { loadVega } from '../reports/vega.js';
import { variantsPolicyTitles, checkVariantsPolicy } from '../simulator/policies/variants-policies.js';
import {
  READY_NAMES,
  READY_NODE_NAMES,
  READY_PIPELINE_NAMES,
  READY_VARIANTS_NAMES,
  readyScenarios,
  readScenario,
} from '../simulator/scenarios/scenario-files.js';
import { simulate, type ScenarioFile } from '../simulator/comparison/simulate.js';
import {
  checkWritable,
  collected,
  positiveInteger,
  seedCount,
  seedNumber,
  UserError,
  withConfiguration,
} from './options.js';
import { writeOwnFile } from './own-file.js';
import { createProgress } from './progress.js';
import { simulationTable } from './simulation-table.js';

interface SimulateFlags {
  readonly policies: readonly string[];
  readonly seed: number;
  readonly seeds: number;
  readonly set?: readonly string[];
  readonly threads: number;
  readonly list?: true;
  readonly json?: true;
  readonly report?: string;
  readonly eventLog?: string;
}

const NODE_POLICIES = ['sponge', 'even-split'];
const PIPELINE_POLICIES = ['sponge', 'equal-split', 'proportional-split', 'triton', 'pard'];
const VARIANTS_POLICIES = ['sponge', 'best-single', 'superserve'];
const DEFAULT_POLICIES = ['sponge', 'paper', 'released', 'static-8', 'static-16'];

/** `sponge simulate`: the scheduler that serves, on a virtual clock. */
export function simulateCommand(): Command {
  const command = new Command('simulate')
    .summary('judge serving policies on a scenario, in simulation')
    .description(
      'Runs serving policies on a scenario: who sends what over which network to which model. The code that decides is the ' +
        'code that serves; clients, network, worker and CPU are simulated on a virtual clock, and repeat bit for bit from ' +
        'their seed. Every policy meets the same requests and is judged by the same formulas, beside a bound that no policy ' +
        'can pass.',
    )
    .argument('[scenario]', 'a ready scenario by name (--list), or a YAML file')
    .addOption(
      new Option('--policies <list>', 'separated by commas; name or name(key=value,…)')
        .argParser(policies)
        .default(DEFAULT_POLICIES, DEFAULT_POLICIES.join(',')),
    )
    .option('--seed <n>', 'the first seed', seedNumber, 1)
    .option('--seeds <n>', 'how many seeds; counts and core-seconds are added up, quantiles pooled', seedCount, 1)
    .option(
      '--set <key=value>',
      'overrides a key of the scenario, such as arrivals.ratePerSec=30; repeatable',
      collected,
    )
    .option('--threads <n>', 'runs side by side', positiveInteger, availableParallelism())
    .option('--list', 'name the ready scenarios and the policies')
    .option('--json', 'one JSON object instead of the table')
    .option('--report <file>', 'also write an HTML page with plots')
    .option(
      '--event-log <file>',
      'also write every event of the run, of one policy and one seed, as serve --event-log does',
    )
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  sponge simulate authors-applied\n' +
        '  sponge simulate bursts --policies sponge,best-static,triton --seeds 5\n' +
        '  sponge simulate authors --set network.log=report_bus_0001.log --policies released,fa2\n' +
        '  sponge simulate bursts --policies sponge --event-log bursts.jsonl\n' +
        '  sponge simulate four-models --policies sponge --event-log four-models.jsonl\n' +
        '  sponge simulate crops --policies "sponge,triton(batch=2),pard(batch=4)" --set load=0.5\n' +
        '  sponge simulate my-scenario.yaml --set cpu.idleRelease=false --report out.html\n' +
        '  sponge simulate authors-applied --policies "static(cores=6,batch=4,order=edf),static(cores=6,batch=4)"',
    )
    .action(async (name: string | undefined, flags: SimulateFlags, self: Command) => {
      if (flags.list === true) process.stdout.write(listText());
      else if (name === undefined) self.error('sponge: simulate needs a scenario: a name from --list, or a YAML file');
      else await run(readScenario(name, flags.set ?? []), flags);
    });
  return withConfiguration(command);
}

function usualPolicies({ scenario: { models, variants, pipeline } }: ScenarioFile): readonly string[] {
  if (variants !== undefined) return VARIANTS_POLICIES;
  if (pipeline !== undefined) return PIPELINE_POLICIES;
  return models === undefined ? DEFAULT_POLICIES : NODE_POLICIES;
}

async function run(file: ScenarioFile, flags: SimulateFlags): Promise<void> {
  const { models, variants, pipeline } = file.scenario;
  const isPipeline = pipeline !== undefined;
  const isNode = models !== undefined;
  const chosen = flags.policies === DEFAULT_POLICIES ? usualPolicies(file) : flags.policies;
  for (const policy of chosen) {
    if (variants !== undefined) checkVariantsPolicy(policy, variants);
    else if (isPipeline) parsePipelinePolicy(policy);
    else if (isNode) parseNodePolicy(policy);
    else checkPolicy(policy);
  }
  if (variants !== undefined && flags.report !== undefined)
    throw new UserError(`${file.name} has variants, and --report is of one model; use --json or --event-log`);
  if (isNode && flags.report !== undefined)
    throw new UserError(`${file.name} is of several models, and --report is of one; use --json or --event-log`);
  if (flags.report !== undefined) {
    checkWritable('--report', flags.report);
    await loadVega();
  }
  if (flags.eventLog !== undefined) {
    assertOneRun({ ...flags, policies: chosen });
    checkWritable('--event-log', flags.eventLog);
  }
  const progress = createProgress(file.name, process.stderr);
  const startedAtMs = performance.now();
  const { summary, results } = await simulate({
    file,
    policies: chosen,
    seed: flags.seed,
    seeds: flags.seeds,
    threads: flags.threads,
    onProgress: (fraction, now) => {
      const elapsedMs = performance.now() - startedAtMs;
      progress.update(fraction, elapsedMs, fraction === 0 ? 0 : (elapsedMs * (1 - fraction)) / fraction, now);
    },
  }).finally(() => progress.clear());
  if (flags.report !== undefined) {
    writeOwnFile(flags.report, await simulationReport({ file, summary, results }));
  }
  if (flags.eventLog !== undefined) {
    // What hindsight chose can be run by name; shares of several models cannot, and are chosen again.
    const hindsight = isNode ? undefined : results[0]![0]!.chosen;
    const named = hindsight !== undefined && variants !== undefined ? `single(variant=${hindsight})` : hindsight;
    const policy = named ?? chosen[0]!;
    writeEventLog(flags.eventLog, { file, policy, seed: flags.seed });
  }
  process.stdout.write(flags.json === true ? `${JSON.stringify(summary, null, 2)}\n` : simulationTable(file, summary));
}

function assertOneRun({ policies: list, seeds }: SimulateFlags): void {
  if (list.length === 1 && seeds === 1) return;
  const asked = `${list.length} ${list.length === 1 ? 'policy' : 'policies'} and ${seeds} ${seeds === 1 ? 'seed' : 'seeds'}`;
  throw new UserError(
    `--event-log is of one run, and ${asked} are asked for; name one policy (--policies sponge) and one seed (--seeds 1)`,
  );
}

function listText(): string {
  const named = ({ name, title }: { name: string; title: string }): { name: string; text: string } => ({
    name,
    text: title,
  });
  const scenarios = readyScenarios([
    ...READY_NAMES,
    ...READY_NODE_NAMES,
    ...READY_PIPELINE_NAMES,
    ...READY_VARIANTS_NAMES,
  ]).map(named);
  const all = policyTitles().map(named);
  const ofNodes = nodePolicyTitles().map(named);
  const ofPipelines = pipelinePolicyTitles().map(named);
  const ofVariants = variantsPolicyTitles().map(named);
  const every = [...scenarios, ...all, ...ofNodes, ...ofPipelines, ...ofVariants];
  const width = Math.max(...every.map(({ name }) => name.length));
  const lines = (rows: readonly { name: string; text: string }[]): string =>
    rows.map(({ name, text }) => `  ${name.padEnd(width)}  ${text}\n`).join('');
  return (
    `Scenarios\n\n${lines(scenarios)}\nPolicies\n\n${lines(all)}\n` +
    `Policies of several models, such as four-models; each takes instances=n\n\n${lines(ofNodes)}\n` +
    'Policies of a pipeline, such as crops; the first three take instances=n, the others cores=c, batch=b, waitMs=t\n\n' +
    `${lines(ofPipelines)}\n` +
    `Policies of a model with variants, such as variants-bursts\n\n${lines(ofVariants)}\n` +
    'Every policy of one model but best-static also takes order=edf|fifo, batching=sponge|greedy|delay|window|window-fork|cork,\n' +
    'admission=sponge|none and expiry=on|off in parentheses, such as released(order=edf,batching=greedy).\n'
  );
}

function policies(text: string): readonly string[] {
  const list = splitPolicies(text);
  if (list.length === 0) throw new InvalidArgumentError('expected at least one policy.');
  const repeated = list.find((each, index) => list.indexOf(each) !== index);
  if (repeated !== undefined) throw new InvalidArgumentError(`${repeated} is named twice.`);
  return list;
}
