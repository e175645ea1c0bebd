import { randomBytes } from 'node:crypto';
import { gzipSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import type { FollowingAttachment } from '../../src/multipart/writer.js';
import type {
  ChangesPage,
  ChangesRequest,
  Fetched,
  MissingRevisions,
  OpenedRevision,
  Peer,
  RevisionText,
} from '../../src/replication/peer.js';

/** Makes a peer whose database is not there yet, and tidies up behind the test. */
export type NewPeer = () => Promise<Peer>;

const never = new AbortController().signal;

/** A hash of 32 digits that is known by its letter. */
export const hash = (letter: string): string => letter.repeat(32);

/** A replicated revision. @param hashes its own and those of its ancestors, newest first */
export function revision(
  id: string,
  hashes: readonly string[],
  members = '',
  generation?: number,
): RevisionText {
  const start = generation ?? hashes.length;
  const rev = `${start}-${hashes[0] ?? ''}`;
  const revisions = `"_revisions":{"start":${start},"ids":${JSON.stringify(hashes)}}`;
  const own = members === '' ? '' : `,${members}`;
  return { id, rev, text: `{"_id":${JSON.stringify(id)},"_rev":"${rev}",${revisions}${own}}` };
}

export function following(
  name: string,
  bytes: Buffer,
  type = 'application/octet-stream',
  encoding?: 'gzip',
): FollowingAttachment {
  // eslint-disable-next-line @typescript-eslint/require-await -- what is there already needs no waiting
  const body = async function* (): AsyncGenerator<Buffer> {
    for (let at = 0; at < bytes.length; at += 65_536) yield bytes.subarray(at, at + 65_536);
  };
  return { name, type, length: bytes.length, encoding, body };
}

/** What a document says of attachments that follow it. */
export function attachmentsMember(
  attachments: readonly FollowingAttachment[],
  plainLengths: Readonly<Record<string, number>> = {},
  revpos = 1,
): string {
  const entries = attachments.map(({ name, type, length, encoding }) => [
    name,
    {
      content_type: type,
      revpos,
      follows: true,
      length: plainLengths[name] ?? length,
      ...(encoding && { encoding, encoded_length: length }),
    },
  ]);
  return `"_attachments":${JSON.stringify(Object.fromEntries(entries))}`;
}

const EVERYTHING: ChangesRequest = { since: 0, limit: 1000, seqInterval: 1, style: 'all_docs', wait: false };

const wanted = (
  id: string,
  missing: readonly string[],
  possibleAncestors: readonly string[] = [],
): MissingRevisions => ({
  id,
  missing,
  possibleAncestors,
});

async function fetchAll(peer: Peer, list: readonly MissingRevisions[]): Promise<readonly Fetched[]> {
  const found: Fetched[] = [];
  for await (const page of peer.fetch(list, never)) found.push(...page);
  return found;
}

interface Opened {
  readonly rev: string;
  readonly text: string | undefined;
  readonly bytes: Readonly<Record<string, Buffer>>;
}

async function openAll(peer: Peer, list: MissingRevisions): Promise<readonly Opened[]> {
  const found: Opened[] = [];
  for await (const opened of peer.open(list, never)) found.push(await readOpened(opened));
  return found;
}

async function readOpened(opened: OpenedRevision): Promise<Opened> {
  if (opened.kind === 'missing') return { rev: opened.rev, text: undefined, bytes: {} };
  const { rev, text, attachments } = opened.document;
  const bytes = new Map<string, Buffer>();
  for (const { name, body } of attachments) {
    const chunks: Buffer[] = [];
    for await (const chunk of body()) chunks.push(chunk);
    bytes.set(name, Buffer.concat(chunks));
  }
  return { rev, text, bytes: Object.fromEntries(bytes) };
}

const namesOf = ({ rows }: ChangesPage): readonly string[] => rows.map(({ id }) => id);
const parse = (text: string | undefined): Record<string, unknown> =>
  JSON.parse(text ?? 'null') as Record<string, unknown>;

/** What any peer has to do. */
export function describePeer(name: string, newPeer: NewPeer): void {
  describe(name, () => {
    const made = async (...documents: readonly RevisionText[]): Promise<Peer> => {
      const peer = await newPeer();
      await peer.create({}, never);
      if (documents.length > 0) expect(await peer.write(documents, never)).toEqual([]);
      return peer;
    };

    it('says that there is no database, and makes one, once', async () => {
      const peer = await newPeer();
      await expect(peer.info(never)).rejects.toMatchObject({ status: 404 });
      await peer.create({}, never);
      await peer.create({}, never);
      const before = await peer.info(never);
      expect(before.isEmpty).toBe(true);
      await peer.write([revision('a', [hash('a')])], never);
      const after = await peer.info(never);
      expect(after).toMatchObject({ isEmpty: false, instanceStartTime: before.instanceStartTime });
      expect(await peer.ensureFullCommit(never)).toBe(before.instanceStartTime);
    });

    it('keeps local documents', async () => {
      const peer = await made();
      const id = `_local/${hash('c')}`;
      expect(await peer.getLocal(id, never)).toBeUndefined();
      const rev = await peer.putLocal(id, { session_id: 'x', history: [{ n: 1 }] }, never);
      expect(await peer.getLocal(id, never)).toMatchObject({
        _rev: rev,
        session_id: 'x',
        history: [{ n: 1 }],
      });
      await peer.putLocal(id, { _rev: rev, session_id: 'y' }, never);
      const second = await peer.getLocal(id, never);
      expect(second).toMatchObject({ session_id: 'y' });
      expect(second).not.toHaveProperty('history');
    });

    it('reads a document, and knows none that is missing', async () => {
      const peer = await made(revision('_design/x', [hash('a')], '"filters":{"f":"function(){}"}'));
      expect(await peer.get('_design/x', never)).toMatchObject({ filters: { f: 'function(){}' } });
      expect(await peer.get('_design/y', never)).toBeUndefined();
    });

    it('shows its changes page by page, with all leaves', async () => {
      const peer = await made(
        revision('a', [hash('a')]),
        revision('b/ä ?', [hash('b'), hash('a')]),
        revision('b/ä ?', [hash('c'), hash('a')]),
        revision('c', [hash('d'), hash('a')], '"_deleted":true'),
      );
      const all = await peer.changes(EVERYTHING, never);
      expect([...namesOf(all)].sort()).toEqual(['a', 'b/ä ?', 'c']);
      expect(all.rows.find(({ id }) => id === 'b/ä ?')?.revs).toEqual([`2-${hash('c')}`, `2-${hash('b')}`]);
      expect(all.pending ?? 0).toBe(0);
      const first = await peer.changes({ ...EVERYTHING, limit: 2 }, never);
      expect(namesOf(first)).toEqual(namesOf(all).slice(0, 2));
      const rest = await peer.changes({ ...EVERYTHING, since: first.lastSeq }, never);
      expect(namesOf(rest)).toEqual(namesOf(all).slice(2));
      const winners = await peer.changes({ ...EVERYTHING, style: 'main_only' }, never);
      expect(winners.rows.find(({ id }) => id === 'b/ä ?')?.revs).toEqual([`2-${hash('c')}`]);
      const none = await peer.changes({ ...EVERYTHING, since: rest.lastSeq }, never);
      expect(none.rows).toEqual([]);
    });

    it('filters its changes', async () => {
      const peer = await made(
        revision('a', [hash('a')], '"kind":"x"'),
        revision('b', [hash('b')], '"kind":"y"'),
        revision('_design/d', [hash('c')]),
      );
      const ids = async (filter: Partial<ChangesRequest>): Promise<readonly string[]> =>
        namesOf(await peer.changes({ ...EVERYTHING, ...filter }, never));
      expect(await ids({ docIds: ['b', 'nosuch'] })).toEqual(['b']);
      expect(await ids({ selector: '{"kind":"x"}' })).toEqual(['a']);
      expect(await ids({ filter: '_design' })).toEqual(['_design/d']);
      await expect(ids({ filter: 'no/such' })).rejects.toMatchObject({ status: 404 });
    });

    it('waits for a change, and not for longer than it is asked to', async () => {
      const peer = await made(revision('a', [hash('a')]));
      const { lastSeq } = await peer.changes(EVERYTHING, never);
      const waiting = peer.changes({ ...EVERYTHING, since: lastSeq, wait: true }, never);
      await peer.write([revision('b', [hash('b')])], never);
      expect(namesOf(await waiting)).toEqual(['b']);
      const ending = new AbortController();
      const { lastSeq: end } = await peer.changes(EVERYTHING, never);
      const inVain = peer.changes({ ...EVERYTHING, since: end, wait: true }, ending.signal);
      ending.abort(new Error('enough'));
      await expect(inVain).rejects.toThrow('enough');
    });

    it('says what it lacks, and what that could descend from', async () => {
      const peer = await made(revision('a', [hash('a')]), revision('b', [hash('b')]));
      const asked = [
        { id: 'a', revs: [`2-${hash('c')}`, `1-${hash('a')}`], seq: undefined },
        { id: 'b', revs: [`1-${hash('b')}`], seq: undefined },
        { id: 'new', revs: [`1-${hash('e')}`], seq: undefined },
      ];
      const missing = await peer.revsDiff(asked, never);
      expect([...missing].sort((x, y) => (x.id < y.id ? -1 : 1))).toEqual([
        wanted('a', [`2-${hash('c')}`], [`1-${hash('a')}`]),
        wanted('new', [`1-${hash('e')}`]),
      ]);
    });

    it('gives out what it was given, character by character', async () => {
      const members =
        '"n":9007199254740993,"f":1.0,"s":"\u{1f600} ä \\u0000","o":{"__proto__":{"x":[]},"10":1,"2":2}';
      const peer = await made(revision('odd "id" ä', [hash('b'), hash('a')], members));
      const [found] = await fetchAll(peer, [wanted('odd "id" ä', [`2-${hash('b')}`])]);
      if (found?.kind !== 'document') throw new Error('no document', { cause: found });
      expect(found.document).toMatchObject({ id: 'odd "id" ä', rev: `2-${hash('b')}` });
      expect(found.document.text).toContain(members);
      expect(parse(found.document.text)._revisions).toEqual({ start: 2, ids: [hash('b'), hash('a')] });
    });

    it('reads many revisions: the latest ones, and says which are not there', async () => {
      const peer = await made(
        revision('a', [hash('a')]),
        revision('a', [hash('b'), hash('a')], '"n":2'),
        revision('conflict', [hash('c')]),
        revision('conflict', [hash('d')]),
        revision('gone', [hash('f'), hash('e')], '"_deleted":true'),
      );
      const found = await fetchAll(peer, [
        wanted('a', [`1-${hash('a')}`]),
        wanted('conflict', [`1-${hash('c')}`, `1-${hash('d')}`]),
        wanted('gone', [`2-${hash('f')}`]),
        wanted('nosuch', [`1-${hash('a')}`]),
      ]);
      const seen = found.map((one) => {
        const { id, rev } = one.kind === 'document' ? one.document : one;
        return `${one.kind} ${id} ${rev.slice(0, 3)}`;
      });
      // One that may not have got it yet is asked once more.
      const isCertain = seen.some((one) => one.startsWith('missing'));
      expect(seen.sort()).toEqual([
        ...(isCertain ? [] : ['apart nosuch 1-a']),
        'document a 2-b',
        'document conflict 1-c',
        'document conflict 1-d',
        'document gone 2-f',
        ...(isCertain ? ['missing nosuch 1-a'] : []),
      ]);
      const gone = found.find((one) => one.kind === 'document' && one.document.id === 'gone');
      expect(gone?.kind === 'document' && parse(gone.document.text)._deleted).toBe(true);
    });

    it('carries attachments as they are, and only those that are new', async () => {
      const peer = await made();
      const [small, large] = [randomBytes(1000), randomBytes(5 << 20)];
      const packed = gzipSync('text '.repeat(1000));
      const first = [
        following('small', small),
        following('large', large),
        following('packed', packed, 'text/plain', 'gzip'),
      ];
      const member = attachmentsMember(first, { packed: 5000 });
      await peer.writeWithAttachments({ ...revision('a', [hash('a')], member), attachments: first }, never);
      const [apart] = await fetchAll(peer, [wanted('a', [`1-${hash('a')}`])]);
      expect(apart).toEqual({ kind: 'apart', id: 'a', rev: `1-${hash('a')}` });
      const [opened] = await openAll(peer, wanted('a', [`1-${hash('a')}`]));
      expect(opened?.bytes.small?.equals(small)).toBe(true);
      expect(opened?.bytes.large?.equals(large)).toBe(true);
      expect(opened?.bytes.packed?.equals(packed)).toBe(true);
      expect(parse(opened?.text)._attachments).toMatchObject({
        packed: { encoding: 'gzip', encoded_length: packed.length, length: 5000, follows: true, revpos: 1 },
      });

      const added = following('added', small);
      const stubs = Object.fromEntries(
        ['small', 'large', 'packed'].map((stub) => [stub, { stub: true, revpos: 1 }]),
      );
      const more = parse(`{${attachmentsMember([added], {}, 2)}}`)._attachments as object;
      const both = `"_attachments":${JSON.stringify({ ...stubs, ...more })}`;
      await peer.writeWithAttachments(
        { ...revision('a', [hash('b'), hash('a')], both), attachments: [added] },
        never,
      );
      const [newer] = await openAll(peer, wanted('a', [`2-${hash('b')}`], [`1-${hash('a')}`]));
      expect(Object.keys(newer?.bytes ?? {})).toEqual(['added']);
      expect(parse(newer?.text)._attachments).toMatchObject({
        small: { stub: true },
        added: { follows: true },
      });
      const [whole] = await openAll(peer, wanted('a', [`2-${hash('b')}`]));
      expect(Object.keys(whole?.bytes ?? {}).sort()).toEqual(['added', 'large', 'packed', 'small']);
    });

    it('opens revisions that have no attachments, and says which are not there', async () => {
      const peer = await made(revision('a', [hash('a')], '"n":1'));
      const found = await openAll(peer, wanted('a', [`1-${hash('a')}`, `1-${hash('b')}`]));
      expect(found.map(({ rev, text }) => [rev, text === undefined ? undefined : parse(text).n])).toEqual([
        [`1-${hash('a')}`, 1],
        [`1-${hash('b')}`, undefined],
      ]);
    });

    it('refuses a stub of what it does not have', async () => {
      const peer = await made();
      const document = revision('a', [hash('a')], '"_attachments":{"x":{"stub":true,"revpos":1}}');
      // A database here says it of the document, a server of the request.
      const failure = peer.write([document], never).then(
        ([one]) => one?.error,
        (error: unknown) => error,
      );
      expect(await failure).toMatchObject({ status: 412 });
      await expect(peer.writeWithAttachments({ ...document, attachments: [] }, never)).rejects.toMatchObject({
        status: 412,
      });
    });
  });
}
