import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { ProgressLine } from '../../src/commands/progress.js';

test.each([
  [30, 29],
  [0, 79],
  [undefined, 79],
])('a progress line on a terminal of %s columns is cut off at %i characters', (columns, length) => {
  const terminal = Object.assign(new PassThrough(), {
    isTTY: true,
    columns,
  }) as unknown as NodeJS.WriteStream;
  new ProgressLine(terminal).show('x'.repeat(500));
  expect(String(terminal.read())).toBe(`\r\x1b[K${'x'.repeat(length)}`);
});
