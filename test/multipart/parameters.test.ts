import fc from 'fast-check';
import { expect, test } from 'vitest';
import { parseHeaderParameters, parseMultipartType } from '../../src/multipart/parameters.js';

const parsed = (header: string) => {
  const { value, parameters } = parseHeaderParameters(header);
  return [value, Object.fromEntries(parameters)];
};

test.each([
  ['attachment; filename="a.txt"', 'attachment', { filename: 'a.txt' }],
  ['attachment; filename="a \\"b\\".txt"', 'attachment', { filename: 'a "b".txt' }],
  ['attachment; filename="a;b=c\\\\.txt"; size=3', 'attachment', { filename: 'a;b=c\\.txt', size: '3' }],
  ['Attachment;FILENAME = plain.txt ;  Size="1"', 'attachment', { filename: 'plain.txt', size: '1' }],
  // Of equal names the first counts; the extended form is not decoded.
  [
    "form-data; name=a; name=b; filename*=UTF-8''%e2%82%ac",
    'form-data',
    { name: 'a', 'filename*': "UTF-8''%e2%82%ac" },
  ],
  ['application/json; error="true"', 'application/json', { error: 'true' }],
  ['a; flag; ; =x; b=1', 'a', { b: '1' }],
  ['a; b="not closed', 'a', { b: 'not closed' }],
  ['a; b=""; c=', 'a', { b: '', c: '' }],
  ['', '', {}],
])('%s', (header, value, parameters) => {
  expect(parsed(header)).toEqual([value, parameters]);
});

test('a quoted parameter comes back whatever it holds', () => {
  const text = fc.string({ unit: fc.constantFrom('"', '\\', ';', '=', ' ', 'a', '\n', 'ä', '😀') });
  fc.assert(
    fc.property(text, text, (one, two) => {
      const quoted = (text: string) => `"${text.replace(/["\\]/g, '\\$&')}"`;
      expect(parsed(`x; one=${quoted(one)};two=${quoted(two)}`)).toEqual(['x', { one, two }]);
    }),
  );
});

test('a header of any form is read in little time', () => {
  for (const piece of ['; ', ';a', '; a =', ';a="', ';a="\\', ' \t', '"']) {
    const began = performance.now();
    parseHeaderParameters(`x;${piece.repeat(200_000 / piece.length)}`);
    expect(performance.now() - began, piece).toBeLessThan(1000);
  }
});

test.each([
  ['multipart/related; boundary="abc123"', 'multipart/related', 'abc123', undefined],
  ['multipart/related;boundary=abc123', 'multipart/related', 'abc123', undefined],
  ['Multipart/Mixed; start="<a@b>"; BOUNDARY="a b;c"', 'multipart/mixed', 'a b;c', '<a@b>'],
  ['multipart/related; type="application/json"; boundary=--0f', 'multipart/related', '--0f', undefined],
  [`multipart/x; boundary=${'b'.repeat(200)}`, 'multipart/x', 'b'.repeat(200), undefined],
])('the type %s', (header, type, boundary, start) => {
  expect(parseMultipartType(header)).toEqual({ type, boundary, start });
});

test.each([
  undefined,
  '',
  'application/json; boundary=a',
  'multipart; boundary=a',
  'multipart/; boundary=a',
  'multipart/related',
  'multipart/related; boundary=',
  'multipart/related; boundary=""',
  'multipart/related; boundary="a\r\nb"',
  'multipart/related; boundary=\u00e4',
  `multipart/related; boundary=${'b'.repeat(201)}`,
])('no multipart type: %j', (header) => {
  expect(parseMultipartType(header)).toBeUndefined();
});
