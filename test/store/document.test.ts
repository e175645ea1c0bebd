import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { CouchError } from '../../src/errors.js';
import { JsonError, JsonReader } from '../../src/json/reader.js';
import { members } from '../../src/json/text.js';
import { atOnce } from '../../src/json/turns.js';
import { decoded } from '../../src/store/attachments/given.js';
import {
  documentText,
  localRev,
  parseDocument,
  parseRev,
  type ParsedDocument,
  type ParseOptions,
  readDocument,
  storedText,
  validateDocid,
} from '../../src/store/document.js';
import { Rounds } from '../support/rounds.js';

const HEX = 'ABCDEF0123456789abcdef0123456789';

function parse(text: string, options: Partial<ParseOptions> = {}): ParsedDocument {
  const reader = new JsonReader(text);
  const all = { newEdits: true, maxSize: 1000, makeId: () => 'made', ...options };
  const document = atOnce(readDocument(reader, all));
  reader.end();
  return document;
}

/** Status, error and reason of what is thrown. */
function thrown(work: () => unknown): string {
  try {
    work();
  } catch (error) {
    if (error instanceof CouchError) return `${String(error.status)} ${error.error}: ${error.reason}`;
    throw error;
  }
  return 'nothing';
}

describe('readDocument', () => {
  test('parts the members of the store from the own ones, whose text stays', () => {
    const edit = parse(
      ` { "_id":"a", "n" : 1.0 , "_rev":"1-${HEX}", "big":12345678901234567890, "constructor":{"__proto__":[ ]} } `,
    );
    expect(edit).toEqual({
      id: 'a',
      revisions: { start: 1, ids: [HEX.toLowerCase()] },
      deleted: false,
      body: '"n":1.0,"big":12345678901234567890,"constructor":{"__proto__":[]}',
    });
  });

  test('takes the id from the URL, then from the document, then makes one', () => {
    expect(parse('{"_id":"a"}', { id: 'b' }).id).toBe('b');
    expect(parse('{"_id":"a"}').id).toBe('a');
    expect(parse('{}').id).toBe('made');
    expect(parse('{}', { id: 'b' }).id).toBe('b');
  });

  test('reads the next document of a larger text and leaves the rest', () => {
    const reader = new JsonReader('[{"_id":"a","v":1},{"_id":"b"}]');
    const ids: string[] = [];
    reader.openArray();
    while (reader.nextElement()) ids.push(atOnce(readDocument(reader, { newEdits: true, maxSize: 100 })).id);
    reader.end();
    expect(ids).toEqual(['a', 'b']);
  });

  test('the last of repeated members counts', () => {
    const text = `{"_id":5,"v":1,"_deleted":0,"_rev":"x","_attachments":1,"w":0,"v":2,"_id":"y","_deleted":false,
      "_rev":"1-${HEX}","_attachments":{"a":{"data":1},"a":{"data":""}}}`;
    expect(parse(text)).toMatchObject({
      id: 'y',
      deleted: false,
      revisions: { start: 1, ids: [HEX.toLowerCase()] },
      body: '"w":0,"v":2',
    });
    expect([...(parse(text).attachments?.keys() ?? [])]).toEqual(['a']);
    expect(thrown(() => parse('{"_id":"x","_id":5}'))).toMatch(/^400 illegal_docid/);
    expect(thrown(() => parse('{"_deleted":true,"_deleted":0}'))).toMatch(/^400 doc_validation/);
  });

  test('has the own members in their final form, wherever those of the store stand between them', () => {
    const key = fc.constantFrom(
      '"a"',
      '"b"',
      '"\\u0061"',
      '"_conflicts"',
      '"_rev"',
      '"long name of a member"',
    );
    const value = fc.constantFrom(
      '1',
      '1.50',
      '-0',
      'null',
      '"x"',
      '"\\u0078"',
      '[1,{"c":2}]',
      '{"c":1,"c":2}',
    );
    const space = fc.constantFrom('', '', ' ');
    const member = fc
      .tuple(space, key, space, value, space)
      .map(
        ([before, name, between, text, after]) =>
          `${before}${name}:${between}${name === '"_rev"' ? '"1-a"' : text}${after}`,
      );
    fc.assert(
      fc.property(fc.array(member, { maxLength: 8 }), (given) => {
        const text = `{${given.join(',')}}`;
        const own = [...(members(text) ?? [])].filter(([name]) => !name.startsWith('_'));
        const expected = own.map(([name, of]) => `${JSON.stringify(name)}:${of}`).join(',');
        expect(parse(text).body).toBe(expected);
      }),
      { numRuns: 1000 },
    );
  });

  test('drops what CouchDB itself adds, keeps what its replicator writes', () => {
    const added =
      '"_revs_info":[],"_conflicts":["1-x"],"_deleted_conflicts":[],"_local_seq":7,"_attachments":{}';
    expect(parse(`{${added},"v":1}`).body).toBe('"v":1');
    expect(parse('{"_replication_id":"x","_replication_state":"completed"}').body).toBe(
      '"_replication_id":"x","_replication_state":"completed"',
    );
  });

  test('has the revisions of replicated documents, newest first', () => {
    const text = `{"_id":"a","_rev":"9-z","_revisions":{"start":3,"ids":["${HEX}","b","c"]},"_deleted":true}`;
    expect(parse(text, { newEdits: false })).toEqual({
      id: 'a',
      revisions: { start: 3, ids: [HEX.toLowerCase(), 'b', 'c'] },
      deleted: true,
      body: '',
    });
    expect(parse('{"_rev":"3-x"}', { newEdits: false }).revisions).toEqual({ start: 3, ids: ['x'] });
    expect(parse('{}').revisions).toEqual({ start: 0, ids: [] });
    const none = '"_revisions":{"start":1,"ids":[]}';
    expect(parse(`{${none}}`).revisions).toEqual({ start: 0, ids: [] });
    expect(parse(`{${none},"_rev":"3-x"}`, { newEdits: false }).revisions).toEqual({ start: 3, ids: ['x'] });
    expect(thrown(() => parse(`{${none}}`, { newEdits: false }))).toMatch(/^400 bad_request: When/);
  });

  test.each([
    ['[]', '400 bad_request: Document must be a JSON object'],
    ['1', '400 bad_request: Document must be a JSON object'],
    ['null', '400 bad_request: Document must be a JSON object'],
    ['{"_id":1}', '400 illegal_docid: Document id must be a string'],
    ['{"_id":""}', '400 illegal_docid: Document id must not be empty'],
    ['{"_id":"_x"}', '400 illegal_docid: Only reserved document ids may start with underscore.'],
    ['{"_bad":1}', '400 doc_validation: Bad special document member: _bad'],
    ['{"_deleted":1}', '400 doc_validation: Bad special document member: _deleted'],
    ['{"_deleted":null}', '400 doc_validation: Bad special document member: _deleted'],
    ['{"_attachments":[]}', '400 doc_validation: Bad special document member: _attachments'],
    ['{"_revisions":1}', '400 doc_validation: Bad special document member: _revisions'],
    ['{"_revisions":{"start":"1","ids":["a"]}}', "400 doc_validation: _revisions.start isn't an integer."],
    ['{"_revisions":{"start":1.5,"ids":["a"]}}', "400 doc_validation: _revisions.start isn't an integer."],
    ['{"_revisions":{"start":1,"ids":"a"}}', "400 doc_validation: _revisions.ids isn't a array."],
    ['{"_revisions":{"start":1,"ids":[1]}}', "400 doc_validation: RevId isn't a string"],
    [
      `{"_revisions":{"start":1,"ids":["${'g'.repeat(32)}"]}}`,
      "400 doc_validation: RevId isn't a valid hexadecimal",
    ],
    ['{"_revisions":{"start":1,"ids":["a","b"]}}', '400 bad_request: Invalid rev format'],
    ['{"_rev":1}', '400 bad_request: Invalid rev format'],
    [`{"_rev":"1-${'a'.repeat(1025)}"}`, '400 bad_request: Invalid rev format'],
    [
      `{"_revisions":{"start":1,"ids":["${'a'.repeat(1025)}"]}}`,
      "400 doc_validation: RevId isn't a valid hexadecimal",
    ],
    ['{"_rev":"x"}', '400 bad_request: Invalid rev format'],
  ])('refuses %s as CouchDB does', (text, error) => {
    expect(thrown(() => parse(text))).toBe(error);
  });

  test('takes the history of a local document', () => {
    const text = '{"_id":"_local/a","_rev":"0-2","_revisions":{"start":0,"ids":["3"]}}';
    expect(parse(text).revisions).toEqual({ start: 0, ids: ['3'] });
    expect(thrown(() => parse('{"_revisions":{"start":0,"ids":["3","2"]}}'))).toMatch(/^400 bad_request/);
  });

  test('takes a history without revisions for none', () => {
    expect(parse('{"_revisions":{"start":0,"ids":[]}}').revisions).toEqual({ start: 0, ids: [] });
    expect(thrown(() => parse('{"_revisions":{"start":0,"ids":[]}}', { newEdits: false }))).toMatch(
      /^400 bad_request: When/,
    );
  });

  test('reads what is said of attachments, and does not believe what stands beside it', () => {
    const given = {
      data: { data: ' aGVs\nbG8= ', digest: 'x', length: 99, revpos: 3 },
      stub: { stub: true, data: 1, revpos: '1' },
      follows: { follows: true, content_type: 'a/b', encoding: 'gzip', length: 9, encoded_length: 4 },
      nothing: 1,
    };
    const contentType = 'application/octet-stream';
    expect([...(parse(JSON.stringify({ _attachments: given })).attachments ?? [])]).toEqual([
      ['data', { kind: 'data', contentType, revpos: 3, data: ' aGVs\nbG8= ' }],
      ['stub', { kind: 'stub', revpos: '1' }],
      ['follows', { kind: 'follows', contentType: 'a/b', revpos: 0, partLength: 4, gzip: true, length: 9 }],
    ]);
    expect(parse('{"_attachments":{}}')).not.toHaveProperty('attachments');
  });

  test.each([
    '[]',
    '{"a":{}}',
    '{"a":{"data":1}}',
    '{"a":{"data":"","content_type":1}}',
    '{"a":{"follows":true,"encoding":"br"}}',
    '{"_a":{"data":""}}',
  ])('refuses the attachments %s', (attachments) => {
    expect(thrown(() => parse(`{"_attachments":${attachments}}`))).toMatch(
      /^400 (bad_request|doc_validation)/,
    );
  });

  test.each(['a', 'aGVsbG8', 'aGVsbG8==', 'a-_=', 'aG!=', 'aGVsbG8=aGVs', 'aGVsbG8= aGVs', '=', '===='])(
    'refuses attachments that are not base64: %s',
    (data) => {
      const wrong = [data, 'A'.repeat(65_536) + data];
      for (const one of wrong)
        expect(thrown(() => [...decoded('a', one)])).toMatch(/^400 bad_request: .* for a$/);
    },
  );

  test('decodes base64 with white space anywhere', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ maxLength: 300 }),
        fc.nat(70_000),
        fc.array(fc.nat(100_500)),
        (end, size, at) => {
          const bytes = Buffer.concat([Buffer.alloc(size, 'x'), end]);
          let text = bytes.toString('base64');
          for (const place of at) text = `${text.slice(0, place)}\r\n ${text.slice(place)}`;
          expect(Buffer.concat([...decoded('a', text)]).equals(bytes)).toBe(true);
        },
      ),
      { numRuns: 50 },
    );
  });

  test('refuses replicated documents without a revision', () => {
    expect(thrown(() => parse('{}', { newEdits: false }))).toBe(
      '400 bad_request: When `new_edits: false`, the document needs `_rev` or `_revisions` specified',
    );
  });

  test.each(['{"a":1', '{"a":1}}', '{"a":"\\ud800"}', '{"a":1e400}', ''])(
    'throws JsonError for %j',
    (text) => {
      expect(() => parse(text)).toThrow(JsonError);
    },
  );

  test('may be as large as the limit, its own members being counted', () => {
    const text = `{"_id":"a","v":"${'é'.repeat(10)}"}`;
    expect(parse(text, { maxSize: 28 }).body).toHaveLength(16);
    expect(thrown(() => parse(text, { maxSize: 27 }))).toBe('413 document_too_large: a');
    expect(thrown(() => parse('{"v":"1234567890"}', { maxSize: 5, id: 'b' }))).toBe(
      '413 document_too_large: ',
    );
  });
});

describe('parseDocument', () => {
  const options = { newEdits: true, id: 'a', maxSize: 1_000_000 };

  test('wants a document and nothing behind it', async () => {
    expect(await parseDocument(' {"v":1} ', options)).toMatchObject({ id: 'a', body: '"v":1' });
    expect(() => parseDocument('{"v":1}{}', options)).toThrow(JsonError);
  });

  test.each([
    ['a long value', `{"a":[${'{"a": 1.50},'.repeat(300_000)}`],
    ['many members', `{${Array.from({ length: 200_000 }, (_, at) => `"k${String(at)}":1`).join(',')}`],
    ['more than it may have', `{"a":[${'"",'.repeat(3_000_000)}0]}`],
  ])('lets others have their turns in a document with %s', async (_, text) => {
    const rounds = new Rounds();
    await expect((async () => parseDocument(text, options))()).rejects.toThrow();
    rounds.end();
    expect(rounds.count).toBeGreaterThan(3);
  });
});

describe('parseRev', () => {
  test.each([
    [`1-${HEX}`, `1-${HEX.toLowerCase()}`],
    ['01-abc', '1-abc'],
    ['3-ABC', '3-ABC'],
    ['3-a-b', '3-a-b'],
    ['12-', '12-'],
  ])('reads %s', (rev, wanted) => {
    expect(parseRev(rev)).toBe(wanted);
  });

  test.each([
    undefined,
    1,
    '',
    '1',
    '-a',
    'a-1',
    ' 1-a',
    '-1-a',
    `1-${'g'.repeat(32)}`,
    `${'9'.repeat(16)}-a`,
  ])('refuses %j', (rev) => {
    expect(thrown(() => parseRev(rev))).toBe('400 bad_request: Invalid rev format');
  });
});

describe('validateDocid', () => {
  test.each(['a', '_design/a', '_local/a', '\u0000', 'é', 'constructor'])('takes %j', (id) => {
    expect(thrown(() => validateDocid(id))).toBe('nothing');
  });

  test.each([
    [undefined, 'Document id must be a string'],
    ['', 'Document id must not be empty'],
    ['_design/', 'Illegal document id `_design/`'],
    ['_local/', 'Illegal document id `_local/`'],
    ['__proto__', 'Only reserved document ids may start with underscore.'],
    ['_designx', 'Only reserved document ids may start with underscore.'],
  ])('refuses %j', (id, reason) => {
    expect(thrown(() => validateDocid(id))).toBe(`400 illegal_docid: ${reason}`);
  });
});

describe('documentText', () => {
  const stored = storedText('é"', '1-a', false, '"v":1.0');

  test('shows what is stored, byte for byte', () => {
    expect(stored).toBe('{"_id":"é\\"","_rev":"1-a","v":1.0}');
    expect(storedText('a', '2-b', true, '')).toBe('{"_id":"a","_rev":"2-b","_deleted":true}');
    expect(documentText(stored, {})).toBe(stored);
    expect(documentText(stored, { conflicts: [], deletedConflicts: [] })).toBe(stored);
  });

  test('puts what was asked for behind it', () => {
    const text = documentText(stored, {
      revisions: { start: 1, ids: ['a'] },
      revsInfo: [{ rev: '1-a', status: 'available' }],
      conflicts: ['1-b'],
      deletedConflicts: ['1-c'],
      localSeq: '3-e',
    });
    expect(text).toBe(
      '{"_id":"é\\"","_rev":"1-a","v":1.0,"_revisions":{"start":1,"ids":["a"]},' +
        '"_revs_info":[{"rev":"1-a","status":"available"}],"_conflicts":["1-b"],"_deleted_conflicts":["1-c"],' +
        '"_local_seq":"3-e"}',
    );
  });
});

describe('local documents', () => {
  test('have their own kind of revision', () => {
    expect(localRev('0-12')).toBe('0-12');
    for (const rev of ['1-1', '0-a', '0-', 0, '0-1x']) {
      expect(thrown(() => localRev(rev))).toBe('400 bad_request: Invalid rev format');
    }
  });
});
