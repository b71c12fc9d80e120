import { requiredInputs, shapeText } from '../../../scheduler/domain/tensor.js';
import type { TensorSpec } from '../../../scheduler/domain/tensor.js';
import type { InferenceService, ModelEntry } from '../../../protocol/service.js';
import { exampleRequest, openApiDocument } from './openapi.js';

/* A page about what is served, for people: the same as the OpenAPI document, made here and without a script or a download. */

const STYLE = `
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; background: #fff }
code, pre { font: 14px/1.4 ui-monospace, monospace; background: #f3f3f3 } code { padding: 0 .2em } pre { padding: .7rem; overflow-x: auto }
table { display: block; overflow-x: auto; border-collapse: collapse } td, th { text-align: left; padding: .15rem 1rem .15rem 0; vertical-align: top }
@media (prefers-color-scheme: dark) { body { color: #ddd; background: #181818 } code, pre { background: #262626 } a { color: #8bf } }
`;

/**
 * @param origin of the server, as the client calls it
 * @param mayChangeModels whether whoever asks may load and unload models
 */
export function docsPage(service: InferenceService, origin: string, mayChangeModels: boolean): string {
  const { paths } = openApiDocument(service, mayChangeModels);
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, { summary }]) => [
      code(`${method.toUpperCase()} ${path}`),
      escaped(String(summary)),
    ]),
  );
  return `<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>${escaped(service.serverName)}</title><style>${STYLE}</style>
<h1>${escaped(service.serverName)} ${escaped(service.serverVersion)}</h1>
<p>Open Inference Protocol v2. For programs: <a href="openapi.json">openapi.json</a>.</p>
<p>A request says how much time it has, by the header <code>Request-Timeout-Ms</code> or the parameter <code>timeout</code> in
microseconds. It is answered by then, or told at once why not.</p>
${service
  .models()
  .map((model) => modelSection(model, origin))
  .join('\n')}
${mayChangeModels ? changingSection(origin) : ''}<h2>All paths</h2>
${table(['', ''], operations)}
</html>
`;
}

/** How models come and go. */
function changingSection(origin: string): string {
  const lines = ['index', 'models/NAME/load', 'models/NAME/unload'].map(
    (path) => `curl -X POST ${origin}/v2/repository/${path}`,
  );
  return `<h2>Loading and unloading</h2>
<p>A model of the repository by its name; one that is served already is loaded anew if its files have changed, beside the old one, which
serves until then.</p>
<pre>${escaped(lines.join('\n'))}</pre>
`;
}

function modelSection(model: ModelEntry, origin: string): string {
  const { name, version, state, stateReason, signature, maxBatchSize } = model;
  const heading = `<h2>${escaped(name)}</h2>\n<p>Version ${escaped(version)}, ${state}${stateReason === '' ? '' : `: ${escaped(stateReason)}`}. ${
    maxBatchSize > 0
      ? `The first axis is the batch; up to ${maxBatchSize} rows run together.`
      : 'One request runs at a time.'
  }</p>`;
  if (signature === null) return heading;
  const required = requiredInputs(signature);
  const rows = [
    ...signature.inputs.map((spec) => tensorRow(required.includes(spec) ? 'input' : 'input, may be left out', spec)),
    ...signature.outputs.map((spec) => tensorRow('output', spec)),
  ];
  const example = exampleRequest(model);
  const command = `curl ${origin}/v2/models/${encodeURIComponent(name)}/infer -H 'Request-Timeout-Ms: 1000' -d '${JSON.stringify(example).replaceAll("'", "'\\''")}'`;
  return [
    heading,
    table(['', 'name', 'type', 'shape'], rows),
    example === null
      ? '<p>Send tensors as binary data: docs/protocol.md says how.</p>'
      : `<pre>${escaped(command)}</pre>`,
  ].join('\n');
}

function tensorRow(kind: string, { name, datatype, shape }: TensorSpec): string[] {
  return [kind, code(name), datatype, code(shapeText(shape))];
}

/** @param rows of HTML */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[], tag: string): string =>
    `<tr>${cells.map((cell) => `<${tag}>${cell}</${tag}>`).join('')}</tr>`;
  return `<table>\n${line(head, 'th')}\n${rows.map((row) => line(row, 'td')).join('\n')}\n</table>`;
}

function code(text: string): string {
  return `<code>${escaped(text)}</code>`;
}

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;').replaceAll('"', '&quot;');
}
