import { Command } from 'commander';
import {
  LOAD_MODELS,
  TINY_MODELS,
  VARIANT_MODELS,
  writeModelFile,
  writeVariantsFile,
} from '../load-models/model-files.js';

/** `npm run research -- load-models <dir>`: makes the project's own models, ready to be served. */
export function loadModelsCommand(): Command {
  return new Command('load-models')
    .summary('write the load models (ResNet-18 shape, MLP) as a model repository')
    .description(
      'Writes models to put load on, with weights from a fixed seed and no download, as a model repository\n' +
        '(<dir>/<name>/1/model.onnx):\n' +
        LOAD_MODELS.map(({ name, summary }) => `  ${name.padEnd(9)} ${summary}\n`).join(''),
    )
    .argument('<dir>', 'folder to write to; made if missing, models of the same names in it are replaced')
    .option(
      '--variants',
      'also write ResNet-10 and 34 shapes, and the model `resnet` that has the three as variants',
      false,
    )
    .option('--tiny', 'also write the tiny models for trying clients and failures', false)
    .addHelpText('after', '\nExample:\n  npm run research -- load-models load-models/ && npx sponge serve load-models/')
    .action(async (folder: string, options: LoadModelsFlags, command: Command) => {
      const models = [
        ...LOAD_MODELS,
        ...(options.variants ? VARIANT_MODELS : []),
        ...(options.tiny ? TINY_MODELS : []),
      ];
      for (const [i, model] of models.entries()) {
        process.stdout.write(`[${i + 1}/${models.length}] ${model.name.padEnd(16)} `);
        const startedAtMs = performance.now();
        try {
          const written = await writeModelFile(folder, model);
          const tookSec = ((performance.now() - startedAtMs) / 1000).toFixed(1);
          process.stdout.write(`${sizeText(written.fileBytes)}  ${tookSec} s  ${written.path}\n`);
        } catch (error) {
          process.stdout.write('\n');
          const cause = error instanceof Error ? error.message : String(error);
          command.error(
            `sponge: cannot write ${model.name}: ${cause}. Name a folder that can be written, with 100 MB free.`,
          );
        }
      }
      if (options.variants) process.stdout.write(`${await writeVariantsFile(folder)}\n`);
    });
}

interface LoadModelsFlags {
  readonly tiny: boolean;
  readonly variants: boolean;
}

function sizeText(bytes: number): string {
  const [value, unit] = bytes >= 1e6 ? [bytes / 1e6, 'MB'] : [bytes / 1e3, 'kB'];
  return `${value.toFixed(1).padStart(6)} ${unit}`;
}
