import { CouchError, notFound } from '../../errors.js';
import type { Rejection } from '../../rejections/rejection.js';
import type { Database } from '../../store/types/database.js';
import { isDatabaseName } from '../../store/names.js';
import { createUpstream } from './control.js';
import type { Mirror } from './mirror.js';
import { pushSides } from './push.js';
import { isStuck } from './state.js';

/** Milliseconds for which an admin's request waits for writes under way. */
const LONGEST_HOLD = 10_000;

/**
 * Compares everything in both directions. Both sides are merged, also where they had nothing to do with each other.
 * @throws CouchError
 */
export async function resync(mirror: Mirror): Promise<void> {
  await mirror.during(async () => {
    await reconnect(mirror);
    await mirror.hear({ type: isStuck(mirror.standing.state) ? 'chosen' : 'resumed' });
  });
  mirror.wake();
}

/** Everything here goes into the upstream database, which is made as it is here where there is none. @throws CouchError */
export async function pushAll(mirror: Mirror): Promise<void> {
  const { context, name } = mirror;
  await mirror.during(async () => {
    const isPartitioned = await context.databases.use(name, (db) => db.isPartitioned);
    await createUpstream(mirror, isPartitioned ? { partitioned: 'true' } : {}, context.closing);
    await reconnect(mirror);
    await mirror.hear({ type: 'chosen' });
  });
  mirror.wake();
}

/** What was known of the upstream database. */
const UNKNOWN = { upstream: undefined, purgeSeq: undefined, followed: undefined };

/** What is there counts as met for the first time, and nothing as known to be on the other side. */
async function reconnect(mirror: Mirror): Promise<void> {
  const { context, name } = mirror;
  if (mirror.standing.isWarm)
    await context.databases.use(name, async (db: Database) => {
      await db.trackUnsent(true);
      await db.unsent.voidAll();
      for (const { id } of [mirror.pull, mirror.push]) await db.deleteLocal(`_local/${id}`);
      await mirror.undelivered.clear();
    });
  await mirror.note({ ...UNKNOWN, isFound: undefined, toCreate: undefined, isAsked: undefined });
}

/**
 * Drops what is here; it is mirrored anew when it is next asked for.
 * @throws CouchError 409 where something has not gone up, unless it is forced
 */
export async function evict(mirror: Mirror, { force }: { readonly force: boolean }): Promise<void> {
  await mirror.during(() => away(mirror, force));
}

async function away(mirror: Mirror, force: boolean): Promise<void> {
  const { context, name, crossing } = mirror;
  await crossing.hold(AbortSignal.timeout(LONGEST_HOLD));
  try {
    if (!force && mirror.standing.isWarm) await requireSent(mirror);
    await mirror.note({ isLeaving: true });
    await mirror.hear({ type: 'emptied' });
  } catch (error) {
    crossing.settle(crossing.place);
    throw error;
  }
  // Before nobody knows the mirror any more: whoever copies the database anew waits for the writes that waited.
  crossing.settle('there');
  await mirror.leave();
  context.log.info({ database: name }, 'a mirror was dropped');
}

async function requireSent(mirror: Mirror): Promise<void> {
  const { context, name } = mirror;
  const waiting = await context.databases.use(name, ({ unsent }) => unsent.count);
  const count = waiting + (await context.rejected.count(mirror));
  if (count === 0) return;
  throw new CouchError(
    409,
    'conflict',
    `Changes of this database have not gone upstream (${count}); they would be lost (force=true does so).`,
  );
}

/**
 * Tries once more to have the upstream take a document that it refused. What was left out of it is left out no more, and
 * the next pull reads the feed as a whole for it.
 * @returns what it refused again
 * @throws CouchError 404 where there is no such thing of the document, 503 while the upstream is away
 */
export async function retry(mirror: Mirror, id: string): Promise<readonly Rejection[]> {
  const { context, name } = mirror;
  const { rejected, upstream, databases, closing } = context;
  if (await mirror.undelivered.isLeftOut(id)) {
    await mirror.during(async () => {
      await databases.use(name, (db) => db.deleteLocal(`_local/${mirror.pull.id}`));
      await mirror.undelivered.takeBack(id);
    });
    mirror.wake();
    if ((await rejected.read(mirror, id)).length === 0) return [];
  }
  return rejected.retry(mirror, id, pushSides({ mirror, upstream: upstream.peerOf(name) }), closing);
}

/**
 * Gives a document up: what the upstream refused of it does not go there, what it does not deliver is left out.
 * @throws CouchError 404 where there is no such thing of it
 */
export async function drop(mirror: Mirror, id: string): Promise<void> {
  const isDropped = await mirror.context.rejected.drop(mirror, id);
  const isLeftOut = await mirror.undelivered.leaveOut(id);
  if (!isDropped && !isLeftOut) throw notFound();
  if (isLeftOut) await mirror.sync();
}

/** It is a local database from now on, whatever the rules say. @throws CouchError */
export async function detach(mirror: Mirror): Promise<void> {
  const { context, name } = mirror;
  if (!mirror.standing.isWarm)
    throw new CouchError(409, 'conflict', 'The mirror has not everything yet that the upstream has.');
  await mirror.during(async () => {
    await mirror.note({ isDetached: true, held: undefined, upstream: undefined });
    await context.databases.use(name, (db) => db.trackUnsent(false));
    await context.rejected.clear(mirror);
    await mirror.undelivered.clear();
    mirror.end();
  });
}

/**
 * What is here is kept aside under another name, as a local database, and the upstream's is mirrored.
 * @returns that name
 * @throws CouchError
 */
export async function pullAnew(mirror: Mirror): Promise<string> {
  const { context, name, crossing } = mirror;
  const { databases, records } = context;
  const kept = nameAside(name);
  await mirror.during(async () => {
    await crossing.hold(AbortSignal.timeout(LONGEST_HOLD));
    let place = crossing.place;
    try {
      await records.put({ name: kept, isWarm: true, isDetached: true, created: Date.now() });
      await mirror.note({ keptAs: kept });
      await mirror.hear({ type: 'emptied' });
      await databases.rename(name, kept).catch(async (error: unknown) => {
        // All of it is here still: nothing may take it for what is left of a mirror.
        await mirror.note({ keptAs: undefined });
        await mirror.hear({ type: 'warmed' });
        throw error;
      });
      place = 'there';
      await databases.use(kept, (db) => db.trackUnsent(false));
      await context.rejected.clear(mirror);
      await mirror.undelivered.clear();
      await mirror.note({
        ...UNKNOWN,
        local: undefined,
        isFound: undefined,
        toCreate: undefined,
        keptAs: undefined,
      });
      await mirror.hear({ type: 'chosen' });
    } finally {
      crossing.settle(place);
    }
  });
  mirror.wake();
  return kept;
}

/** Short enough whatever the database is called. */
function nameAside(name: string): string {
  const time = new Date()
    .toISOString()
    .replace(/[^0-9]/g, '')
    .slice(0, 14);
  const aside = `${name}-kept-${time}`;
  return isDatabaseName(aside) ? aside : `${name.slice(0, 60)}-kept-${time}`;
}
