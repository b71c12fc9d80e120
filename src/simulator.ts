/*
 * `sponge-inference/simulator`: scenarios on a virtual clock, under any policy by its name, as `sponge simulate` runs them.
 */
export { simulate } from './experiments/simulate.js';
export type { ScenarioFile, SimulateOptions, SimulationResults } from './experiments/simulate.js';
export { readScenario, readyScenarios } from './experiments/scenarios/scenario-files.js';
export { parseScenario } from './experiments/scenarios/parse-scenario.js';
export type { Scenario } from './experiments/scenarios/schema.js';
export { checkPolicy, policyTitles } from './experiments/policies.js';
export type { PolicySummary, SimulationSummary } from './experiments/summary.js';
