import type { ReportFigure, ReportTable } from './figure.js';

/* Figures as aligned text. */

const WIDTH = 118;

export function figuresText(figures: readonly ReportFigure[]): string {
  return figures.map(figureText).join('\n');
}

function figureText({ title, tables, why }: ReportFigure): string {
  const sections = [...tables.map(tableText), ...why.map(([about, text]) => wrapped(`${about}: ${text}`, WIDTH, '  '))];
  return `${title}\n${'='.repeat(title.length)}\n\n${sections.join('\n\n')}\n`;
}

export function tableText({ caption, columns, rows }: ReportTable): string {
  const lines = [columns, ...rows];
  const widths = columns.map((_, column) => Math.max(...lines.map((row) => row[column]!.length)));
  const isText = columns.map((_, column) => rows.every((row) => !/\d/.test(row[column]!)));
  const aligned = lines.map((row) =>
    row
      .map((cell, column) =>
        column === 0 || isText[column] === true ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!),
      )
      .join('  ')
      .trimEnd(),
  );
  return [...wrapped(caption, WIDTH, '').split('\n'), ...aligned.map((line) => `  ${line}`)].join('\n');
}

/** At spaces, but not between a number and its unit. */
export function wrapped(text: string, width: number, indent: string): string {
  const lines: string[] = [];
  let line = indent;
  for (const word of text.split(/ (?!%|ms\b|s\b|cores\b)/)) {
    if (line !== indent && line.length + 1 + word.length > width) {
      lines.push(line);
      line = indent;
    }
    line += line === indent ? word : ` ${word}`;
  }
  return [...lines, line].join('\n');
}
