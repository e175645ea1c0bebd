import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import {
  type Attachment,
  attachmentsMember,
  readAttachments,
  splitAttachments,
} from '../../src/store/attachments/members.js';
import { editOf, storedText } from '../../src/store/document.js';
import { members } from '../../src/json/text.js';

const REV = '7-0123456789abcdef0123456789abcdef';
const DIGEST = 'md5-XUFAKrxLKna5cZ2REBfFkg==';

const name = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 6 }),
  fc.constantFrom('_attachments', '"_attachments":{', 'x"_attachments', '__proto__', '1', '0'),
);

const attachment: fc.Arbitrary<Attachment> = fc
  .record({
    contentType: fc.oneof(fc.constant('text/plain'), fc.string({ unit: 'grapheme' })),
    revpos: fc.nat(9),
    digest: fc.constantFrom(DIGEST, 'md5-1B2M2Y8AsgTpgAmY7PhCfg=='),
    length: fc.nat(),
    encoded: fc.option(
      fc.record({
        encoding: fc.constant('gzip' as const),
        digest: fc.constant('md5-rx8l9tnQ2Ei/tjXMdY+eyw=='),
        length: fc.nat(),
        shownLength: fc.nat(),
      }),
      { nil: undefined },
    ),
  })
  .map(({ encoded, ...plain }) => (encoded === undefined ? plain : { ...plain, encoded }));

const attachments = fc
  .uniqueArray(fc.tuple(name, attachment), { maxLength: 4, selector: ([key]) => key })
  .map((entries) => new Map(entries));

/** Members that look like attachments, but are the document's own. */
const own = fc
  .dictionary(
    name.filter((key) => !key.startsWith('_')),
    fc.oneof(
      fc.constantFrom<unknown>(1, 'x', '"_attachments":{}', ',"_attachments":{"f":{}}'),
      fc.dictionary(name, fc.constantFrom<unknown>({}, { f: { digest: DIGEST } }, [{ _attachments: {} }])),
      fc.constant([{ _attachments: { f: { digest: DIGEST } } }]),
    ),
    { maxKeys: 4 },
  )
  .map((value) => JSON.stringify(value).slice(1, -1));

const joined = (...parts: string[]): string => parts.filter((part) => part !== '').join(',');

describe('the attachments in a stored body', () => {
  test('are found wherever they stand, and nothing else is taken for them', () => {
    fc.assert(
      fc.property(own, own, attachments, (before, after, given) => {
        const last = joined(before, attachmentsMember(given));
        for (const text of [
          storedText('a', REV, false, last),
          storedText('a', REV, true, joined(before, attachmentsMember(given), after && `"z":{${after}}`)),
          `{${joined(attachmentsMember(given), before, `"_id":"a","_rev":"${REV}"`)}}`,
        ]) {
          expect([...readAttachments(text)]).toEqual([...given]);
          const others = members(text) ?? new Map<string, string>();
          others.delete('_attachments');
          const parts = splitAttachments(text);
          expect(parts === undefined).toBe(given.size === 0);
          expect(members(parts?.before ?? text)).toEqual(others);
        }
        const copy = editOf(storedText('a', REV, false, last), 'shared');
        expect(copy.body).toBe(
          joined(
            ...Array.from(members(`{${before}}`) ?? [], ([key, value]) => `${JSON.stringify(key)}:${value}`),
          ),
        );
        expect([...(copy.attachments ?? [])]).toEqual(
          Array.from(given, ([key, one]) => [key, { kind: 'shared', attachment: one }]),
        );
      }),
      { numRuns: 1000 },
    );
  });

  test('are not those of a member whose name ends like theirs', () => {
    const file = `{"f":{"digest":"${DIGEST}"}}`;
    for (const member of ['x"_attachments', '"_attachments', ',"_attachments', '\\"_attachments']) {
      const text = storedText('a', REV, false, `"a":1,${JSON.stringify(member)}:${file}`);
      expect(splitAttachments(text)).toBeUndefined();
    }
  });

  test('of PouchDB, that lack members, get those that follow from the revision', () => {
    const body = `{"_attachments":{"f":{"stub":true,"digest":"${DIGEST}"}},"_id":"a","_rev":"${REV}"}`;
    expect([...readAttachments(body)]).toEqual([
      ['f', { contentType: 'application/octet-stream', revpos: 7, digest: DIGEST, length: 0 }],
    ]);
  });
});
