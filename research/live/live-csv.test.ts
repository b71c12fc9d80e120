import { describe, expect, it } from 'vitest';
import { handMadeResults, handMadeRun, handMadeSimulation } from '../../test/fixtures/live-results.js';
import { liveCsv } from './live-csv.js';

const batch = { atMs: 12.5, size: 2, cpuMillicores: 750, predictedMs: 50, plannedMs: 60, actualToPredicted: null };
const run = handMadeRun({
  case: 'static, "full"',
  repetition: 2,
  measures: { latencyP99Ms: null, coreSeconds: 50, durationSec: 100 },
  run: { coldStartsMs: [1000, 2000], eventLog: 'events/1.jsonl' },
});
const live = { ...run, series: { ...run.series, batches: [{ ...batch, actualMs: null }] } };
const files = liveCsv(handMadeResults(['static, "full"'], [live], [handMadeSimulation('static, "full"')]));

/** Of a file whose one awkward field is the policy. */
function rowsOf(name: string): Record<string, string>[] {
  const [head, ...lines] = files.get(name)!.trimEnd().split('\n');
  return lines.map((line) => {
    expect(line.startsWith('"static, ""full""",')).toBe(true);
    const cells = ['', ...line.slice('"static, ""full""",'.length).split(',')];
    expect(cells).toHaveLength(head!.split(',').length);
    return Object.fromEntries(head!.split(',').map((column, index) => [column, cells[index]!]));
  });
}

describe('the CSV of a live experiment', () => {
  it('has a line for each live and each simulated run, with nothing where one of them has nothing', () => {
    const [ofLive, ofSimulated] = rowsOf('runs.csv');
    expect(ofLive).toMatchObject({
      idle_cpu: 'released',
      source: 'live',
      repetition: '2',
      charged_core_seconds: '50',
      mean_charged_cores: '0.5', // 50 core-seconds in 100 s
      latency_p99_ms: '',
      cold_starts: '2',
      cold_start_mean_ms: '1500',
      router_cpu_sec: '5',
    });
    expect(ofSimulated).toMatchObject({ source: 'simulated', repetition: '', router_cpu_sec: '', event_log: '' });
  });

  it('has a line for each second of each run', () => {
    const rows = rowsOf('over-time.csv');
    expect(rows.map(({ source, from_sec }) => `${source} ${from_sec}`)).toEqual([
      'live 0',
      'live 1',
      'simulated 0',
      'simulated 1',
    ]);
    expect(rows[0]).toMatchObject({
      granted_cores_mean: '1',
      queue_depth_most: '0',
      batches: '1',
      batch_size_mean: '2',
    });
    expect(rows[1]).toMatchObject({ batches: '0', batch_size_mean: '' });
  });

  it('has a line for each batch, predicted beside actual', () => {
    expect(rowsOf('batches.csv')).toEqual([
      {
        policy: '',
        idle_cpu: 'released',
        source: 'live',
        repetition: '2',
        started_at_ms: '12.5',
        batch_size: '2',
        cpu_millicores: '750',
        predicted_ms: '50',
        planned_p99_ms: '60',
        actual_ms: '',
      },
    ]);
  });
});
