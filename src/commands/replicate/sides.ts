import { randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { type ExitCode, exitCodes, StartError } from '../../config/exit.js';
import { DumpError, NoFile } from '../../replication/dump/errors.js';
import { type DumpFile, isBegun, openDump } from '../../replication/dump/file.js';
import { headerLine } from '../../replication/dump/format.js';
import { NewDumpSink, StreamSink } from '../../replication/dump/sink.js';
import { DumpSource } from '../../replication/dump/source.js';
import { DumpTarget } from '../../replication/dump/target.js';
import { newAgent } from '../../replication/http/agent.js';
import { HttpPeer } from '../../replication/http/peer.js';
import { type EndpointIdentity, replicationId } from '../../replication/id.js';
import type { Peer, Source, Target } from '../../replication/peer.js';
import type { Endpoint } from '../../replicator/endpoint.js';
import { filterCode } from '../../replicator/filter-code.js';
import type { ReplicateCommand } from './command.js';
import { DataDirectories } from './data-directories.js';
import { wrong } from './places.js';
import type { ParsedCommand } from './request.js';

/** Both sides, ready to be replicated. Must be closed. */
export interface OpenedSides {
  readonly id: string;
  readonly source: Source;
  readonly target: Target;
  close(): Promise<void>;
}

/** Replications of the command line have checkpoints of their own, the same ones wherever it is run. */
const COMMAND = 'causeway replicate';

/** A source that is open; a dump has to know where it goes. */
interface OpenedSource {
  readonly name: string;
  readonly identity: EndpointIdentity;
  /** Where it is a database. */
  readonly peer?: Peer;
  to(target: Target): Source;
}

/** Names the replication to a target. */
type Identify = (target: EndpointIdentity) => string;

/** Opens what the command names. @throws StartError, DumpError, CouchError, errors of the file system */
export async function openSides(
  command: ReplicateCommand,
  parsed: ParsedCommand,
  signal: AbortSignal,
): Promise<OpenedSides> {
  const sides = new Sides(command, parsed);
  try {
    return await sides.open(signal);
  } catch (error) {
    await sides.close();
    throw error;
  }
}

class Sides {
  readonly #directories: DataDirectories;
  readonly #closers: (() => Promise<void>)[] = [];

  constructor(
    private readonly command: ReplicateCommand,
    private readonly parsed: ParsedCommand,
  ) {
    this.#directories = new DataDirectories(command);
    this.#closers.push(() => this.#directories.close());
  }

  async open(signal: AbortSignal): Promise<OpenedSides> {
    const from = await this.#source(signal);
    const identify = await this.#identify(from, signal);
    const { target, id } = await this.#target(from.name, identify);
    this.#closers.push(() => target.close());
    return { id, source: from.to(target), target, close: () => this.close() };
  }

  /** The last is closed first. */
  async close(): Promise<void> {
    for (const close of this.#closers.toReversed()) await close();
  }

  async #source(signal: AbortSignal): Promise<OpenedSource> {
    const { source: place, request } = this.parsed;
    switch (place.kind) {
      case 'url':
        return fromPeer(await this.#http(request.source), identityOf(request.source));
      case 'database': {
        const { peer, identity } = await this.#directories.open(place.directory, place.name, false);
        return fromPeer(peer, { name: identity, user: null });
      }
      case 'dump':
      case 'stream': {
        const dump =
          place.kind === 'dump'
            ? await openDump(place.path, 'read').catch(unreadable)
            : await readStream(signal);
        this.#closers.push(() => dump.file.close());
        const to = (target: Target): Source => new DumpSource(dump, target);
        return { name: dump.path, identity: dumpIdentity(dump.header.id), to };
      }
    }
  }

  async #target(sourceName: string, identify: Identify): Promise<{ target: Target; id: string }> {
    const { target: place, request } = this.parsed;
    switch (place.kind) {
      case 'url':
        return { target: await this.#http(request.target), id: identify(identityOf(request.target)) };
      case 'database': {
        const { directory, name } = place;
        const { peer, identity } = await this.#directories.open(directory, name, this.command.createTarget);
        return { target: peer, id: identify({ name: identity, user: null }) };
      }
      case 'dump':
        return this.#dump(place.path, sourceName, identify);
      case 'stream': {
        const id = newDumpId();
        const replication = identify(dumpIdentity(id));
        const sink = new StreamSink(process.stdout);
        await sink.append(headerLine({ id, source: sourceName, replication }));
        return { target: new DumpTarget('the standard output', sink), id: replication };
      }
    }
  }

  async #dump(file: string, source: string, identify: Identify): Promise<{ target: Target; id: string }> {
    if (await isBegun(file).catch(unwritable)) return this.#begunDump(file, identify);
    const id = newDumpId();
    const replication = identify(dumpIdentity(id));
    const sink = new NewDumpSink(file, { id, source, replication });
    return { target: new DumpTarget(file, sink), id: replication };
  }

  /** @throws StartError where it holds something else */
  async #begunDump(file: string, identify: Identify): Promise<{ target: Target; id: string }> {
    if (!this.command.checkpoints)
      throw new StartError(
        [`${file} is there, and can be gone on with by checkpoints only`],
        exitCodes.usage,
      );
    const dump = await openDump(file, 'append').catch(unwritable);
    try {
      const id = identify(dumpIdentity(dump.header.id));
      if (dump.header.replication === id) return { target: await DumpTarget.resume(dump), id };
    } catch (error) {
      await dump.file.close();
      throw error;
    }
    await dump.file.close();
    const held = `${file} holds a copy of something else, or one with other options (of ${dump.header.source})`;
    throw new StartError([`${held}: name another file`], exitCodes.cannotWrite);
  }

  async #http({ url, headers }: Endpoint): Promise<Peer> {
    const { caFile } = this.command;
    const { connections, timeout } = this.parsed.request.http;
    const ca = caFile === undefined ? {} : { ca: await readFile(caFile).catch(unreadable) };
    const agent = newAgent({ connections, ...ca });
    this.#closers.push(() => agent.destroy());
    return new HttpPeer({ url, headers, dispatcher: agent, timeout });
  }

  async #identify({ identity: source, peer }: OpenedSource, signal: AbortSignal): Promise<Identify> {
    const { options } = this.parsed.request;
    const { filter } = options;
    const isFunction = filter !== undefined && !filter.startsWith('_');
    const code = isFunction && peer ? { filterCode: await filterCode(peer, filter, signal) } : {};
    return (target) => {
      if (target.name === source.name) throw wrong('the source and the target are the same');
      return replicationId({ serverUuid: COMMAND, source, target, options, ...code }).base;
    };
  }
}

const fromPeer = (peer: Peer, identity: EndpointIdentity): OpenedSource => ({
  name: peer.name,
  identity,
  peer,
  to: () => peer,
});

/** What the file system says is for a person. */
const failure =
  (what: string, exitCode: ExitCode) =>
  (error: unknown): never => {
    if (error instanceof NoFile) throw new StartError([error.message], exitCode, { cause: error });
    if (!(error instanceof Error) || !('code' in error)) throw error;
    throw new StartError([`${what}: ${error.message}`], exitCode, { cause: error });
  };
const unreadable = failure('a file cannot be read', exitCodes.noInput);
const unwritable = failure('the target cannot be written', exitCodes.cannotWrite);

const newDumpId = (): string => randomBytes(16).toString('hex');

/** A dump is the same wherever it lies. */
const dumpIdentity = (id: string): EndpointIdentity => ({ name: `dump:${id}`, user: null });

const identityOf = ({ url, user }: Endpoint): EndpointIdentity => ({ name: url, user });

/** What is read must be read again where something fails: what comes in is kept in a file that has no name any more. */
async function readStream(signal: AbortSignal): Promise<DumpFile> {
  const folder = await mkdtemp(path.join(tmpdir(), 'causeway-'));
  try {
    const file = path.join(folder, 'dump');
    await pipeline(process.stdin, createWriteStream(file, { mode: 0o600 }), { signal });
    return { ...(await openDump(file, 'read')), path: 'the standard input' };
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof DumpError)
      throw new DumpError('the standard input is no dump that this version reads', { cause: error });
    throw error;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
