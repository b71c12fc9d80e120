/** Lines of a Markdown table: the first row is its head, the first column text, the others numbers. */
export function markdownTable(rows: readonly (readonly string[])[]): string[] {
  const [head, ...body] = rows;
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`;
  const rule = `|${head!.map((_, column) => (column === 0 ? '---' : '--:')).join('|')}|`;
  return [line(head!), rule, ...body.map(line)];
}
