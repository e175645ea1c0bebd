import { once } from 'node:events';
import { createGunzip, createGzip, type Gunzip, type Gzip } from 'node:zlib';
import { type DeflateFunctionOptions, gzip as packAsErlang } from 'pako';
import { badRequest, CouchError } from '../../errors.js';
import type { Receiver, Staged, Uploads } from './uploads.js';

/** An attachment that was taken in, in the forms that are stored. */
export interface StagedAttachment {
  readonly plain: Staged;
  readonly gzip?: Staged;
}

/** What comes of an attachment, piece by piece. */
export type Source = AsyncIterable<Buffer> | Iterable<Buffer>;

export interface StageOptions {
  /** The client sends it compressed, or it is to be stored compressed as well. */
  readonly gzip?: 'given' | { readonly level: number };
  /** Passes on what the client's bytes unpack to, as fast as there is room for it. */
  readonly unpacked?: (bytes: AsyncIterable<Buffer>) => AsyncIterable<Buffer>;
  /** The most bytes that it may unpack to. @throws whatever `tooLarge` makes */
  readonly limit: number;
  readonly tooLarge: () => Error;
}

/**
 * Takes in an attachment. What a failure leaves is removed.
 * @throws CouchError 400 for what is not properly compressed, whatever `source` and `tooLarge` throw
 */
export async function stage(
  uploads: Uploads,
  source: Source,
  { gzip, unpacked, ...limits }: StageOptions,
): Promise<StagedAttachment> {
  if (gzip === undefined) return { plain: await stageOne(uploads, source, limits) };
  if (gzip === 'given') {
    const { sent, made } = await stageBoth(uploads, source, createGunzip(), [limits, limits], unpacked).catch(
      asGunzipError,
    );
    return { plain: made, gzip: sent };
  }
  const settings = { level: gzip.level, memLevel: 8 };
  const { first, rest } = await beginning(source);
  if (rest === undefined) {
    const plain = await stageOne(uploads, first, limits);
    const packed = Buffer.from(packAsErlang(Buffer.concat(first), settings as DeflateFunctionOptions));
    return { plain, gzip: await stageOne(uploads, [packed], { ...limits, limit: Infinity }) };
  }
  const compressor = createGzip(settings);
  // What does not shrink grows a little: that must not be too large.
  const { sent, made } = await stageBoth(uploads, joined(first, rest), compressor, [
    limits,
    { ...limits, limit: Infinity },
  ]);
  return { plain: sent, gzip: made };
}

/**
 * Up to so many bytes are compressed in one go, by a port of zlib (its second major version) that makes the same bytes
 * as Erlang's: so short texts have the digests that a CouchDB shows. Node's zlib is another one, which gives others; but
 * it works beside the event loop, while this takes about a millisecond for 4 KiB.
 */
const SHORT = 32 * 1024;

/** All that a source has, or what it begins with, and the rest. */
async function beginning(source: Source): Promise<{ first: Buffer[]; rest?: AsyncGenerator<Buffer> }> {
  const rest = joined([], source);
  const first: Buffer[] = [];
  for (let length = 0; length <= SHORT;) {
    const next = await rest.next();
    if (next.done === true) return { first };
    first.push(next.value);
    length += next.value.length;
  }
  return { first, rest };
}

async function* joined(first: readonly Buffer[], rest: Source): AsyncGenerator<Buffer> {
  yield* first;
  yield* rest;
}

type Limits = Pick<StageOptions, 'limit' | 'tooLarge'>;

async function stageOne(uploads: Uploads, source: Source, limits: Limits): Promise<Staged> {
  const receiver = uploads.receive();
  try {
    return await receiveAll(receiver, source, limits);
  } catch (error) {
    receiver.abandon();
    throw error;
  }
}

async function receiveAll(receiver: Receiver, source: Source, { limit, tooLarge }: Limits): Promise<Staged> {
  for await (const bytes of source) {
    if (receiver.length + bytes.length > limit) throw tooLarge();
    await receiver.write(bytes);
  }
  return receiver.finish();
}

/** Takes in what is sent, and what a (de)compressor makes of it, side by side. */
async function stageBoth(
  uploads: Uploads,
  source: Source,
  transform: Gzip | Gunzip,
  [sentLimits, madeLimits]: readonly [Limits, Limits],
  pass: StageOptions['unpacked'] = (bytes) => bytes,
): Promise<{ sent: Staged; made: Staged }> {
  const [sent, made] = [uploads.receive(), uploads.receive()];
  const making = receiveAll(made, pass(transform), madeLimits);
  const sending = receiveAll(sent, through(source, transform, making), sentLimits);
  try {
    const [first, second] = await Promise.all([sending, making]);
    // Zeros behind the end are passed over.
    if (transform.bytesWritten !== first.length) throw notGzip();
    return { sent: first, made: second };
  } catch (error) {
    transform.destroy();
    await Promise.allSettled([sending, making]);
    sent.abandon();
    made.abandon();
    throw error;
  }
}

/** Passes bytes on, and gives them to the transform as fast as that takes them. */
async function* through(
  source: Source,
  transform: Gzip | Gunzip,
  making: Promise<unknown>,
): AsyncGenerator<Buffer> {
  for await (const bytes of source) {
    // It failed, or found an end that comes too early: that is known to who reads it, and seen in `stageBoth`.
    if (transform.destroyed) return;
    yield bytes;
    if (transform.write(bytes)) continue;
    const waiting = new AbortController();
    const drained = once(transform, 'drain', { signal: waiting.signal }).catch(() => undefined);
    await Promise.race([drained, making]).finally(() => waiting.abort());
  }
  transform.end();
}

/** What zlib says is the client's fault. */
function asGunzipError(error: unknown): never {
  const { code } = error as NodeJS.ErrnoException;
  if (!(error instanceof CouchError) && code?.startsWith('Z_') === true) {
    throw notGzip();
  }
  throw error;
}

const notGzip = (): CouchError => badRequest('The attachment is not properly gzipped.');
