import { exitCodes } from '../../config/exit.js';
import { tombstonesLast } from '../../conflicts/sending.js';
import { DumpSource } from '../../replication/dump/source.js';
import { DumpTarget } from '../../replication/dump/target.js';
import { TUNING } from '../../replication/options.js';
import type { ReplicationProgress } from '../../replication/progress.js';
import type { Refusal, Replication, ReplicationListener } from '../../replication/replication.js';
import { startReplication } from '../../replication/run.js';
import { firstSignal, signalCodes, type StopSignal } from '../signals.js';
import type { ReplicateCommand } from './command.js';
import { Display } from './display.js';
import { asStartError } from './failures.js';
import { Meter } from './meter.js';
import { JsonOutput, type ReplicateOutput, TextOutput } from './output.js';
import { type ParsedCommand, parseCommand } from './request.js';
import { type OpenedSides, openSides } from './sides.js';

/** A dump has more of its checkpoints: what was written after the last one is held in memory when it is gone on with. */
const DUMP_CHECKPOINTS = 5000;

/**
 * Copies a database, a server's, a data directory's or a dump's, to another one.
 * @returns the exit code. @throws StartError where it cannot go on
 */
export async function replicate(command: ReplicateCommand): Promise<number> {
  // Other users of the machine see a command line, with the passwords of its URLs.
  process.title = 'causeway replicate';
  const parsed = parseCommand(command);
  const stop = firstSignal();
  const stopping = new AbortController();
  void stop.then((signal) => stopping.abort(new Stopped(signal)));
  try {
    const sides = await openSides(command, parsed, stopping.signal);
    try {
      return await new Copy(command, parsed, sides).run(stopping.signal);
    } finally {
      await sides.close();
    }
  } catch (error) {
    // Before there was anything to go on with.
    if (error instanceof Stopped) return signalCodes[error.signal];
    throw asStartError(error, nameOf(command, parsed));
  }
}

/** What the target is called in errors. */
const nameOf = ({ target }: ReplicateCommand, { target: place, request }: ParsedCommand): string =>
  place.kind === 'url' ? request.target.url : target;

/** Somebody ended it. */
class Stopped extends Error {
  override readonly name = 'Stopped';

  constructor(readonly signal: StopSignal) {
    super(`ended by ${signal}`);
  }
}

/** A copy that runs. */
class Copy implements ReplicationListener {
  readonly #output: ReplicateOutput;
  readonly #display: Display;
  /** How often revisions failed for no lasting reason. */
  readonly #held = new Map<string, { readonly refusal: Refusal; readonly failures: number }>();
  #replication: Replication | undefined;
  #before: ReplicationProgress | undefined;
  #meter: Meter | undefined;
  #refused = 0;

  constructor(
    { json }: ReplicateCommand,
    private readonly parsed: ParsedCommand,
    private readonly sides: OpenedSides,
  ) {
    this.#display = new Display(() => this.#replication && this.#meter?.read(this.#replication.progress));
    // A dump that goes to the standard output has that for itself.
    const stream = parsed.target.kind === 'stream' ? process.stderr : process.stdout;
    const print = (line: string): void => {
      this.#display.clear();
      stream.write(`${line}\n`);
    };
    this.#output = json ? new JsonOutput(print) : new TextOutput(print);
  }

  onBegin(): void {
    this.#before = this.#replication?.progress;
    if (this.#before) this.#meter = new Meter(this.#before);
  }

  onRefused(refusal: Refusal): void {
    this.#refused++;
    this.#output.notCopied('refused', refusal);
  }

  onHeld(refusal: Refusal): void {
    const key = JSON.stringify([refusal.id, refusal.rev]);
    const failures = (this.#held.get(key)?.failures ?? 0) + 1;
    this.#held.set(key, { refusal, failures });
  }

  async run(signal: AbortSignal): Promise<number> {
    const { id, source, target } = this.sides;
    const { options, tuning } = this.parsed.request;
    const isWritten = target instanceof DumpTarget;
    const replication = startReplication({
      id,
      source,
      target,
      options,
      order: tombstonesLast,
      tuning: { ...tuning, ...(isWritten && { checkpointInterval: DUMP_CHECKPOINTS }) },
      listener: this,
    });
    this.#replication = replication;
    const stop = (): void => void replication.cancel(signal.reason as Error);
    signal.addEventListener('abort', stop);
    if (signal.aborted) stop();
    try {
      await replication.done;
      return await this.#end();
    } catch (error) {
      return this.#endEarly(error);
    } finally {
      signal.removeEventListener('abort', stop);
    }
  }

  async #end(): Promise<number> {
    const { source, target } = this.sides;
    const isWhole = !(source instanceof DumpSource) || (await source.isComplete());
    if (isWhole && target instanceof DumpTarget) await target.complete();
    this.#summarise(0);
    if (!isWhole) this.#output.note(`${source.name} is not complete: the copy that made it was broken off`);
    return isWhole && this.#refused === 0 ? 0 : exitCodes.findings;
  }

  #endEarly(error: unknown): number {
    const givenUp = this.#givenUp();
    for (const refusal of givenUp) this.#output.notCopied('failed', refusal);
    this.#summarise(givenUp.length);
    if (error instanceof Stopped) return this.#stopped(error);
    if (givenUp.length === 0) throw error;
    this.#output.note('the same command tries again what failed');
    return exitCodes.findings;
  }

  #stopped({ signal }: Stopped): number {
    const { continuous, useCheckpoints } = this.parsed.request.options;
    // A continuous one has no other end.
    if (continuous === true) return this.#refused === 0 ? 0 : exitCodes.findings;
    if (useCheckpoints !== false) this.#output.note('stopped; the same command goes on from here');
    return signalCodes[signal];
  }

  /** What failed as often as it is tried. */
  #givenUp(): readonly Refusal[] {
    const { retries = TUNING.retries } = this.parsed.request.tuning;
    return [...this.#held.values()].flatMap(({ refusal, failures }) => (failures > retries ? [refusal] : []));
  }

  #summarise(failed: number): void {
    this.#display.end();
    if (this.#replication === undefined || this.#meter === undefined) return;
    const { documents, bytes } = this.#meter.read(this.#replication.progress);
    const refusedBefore = this.#before?.docWriteFailures ?? 0;
    const seconds = this.#meter.seconds;
    this.#output.summary({ documents, bytes, refused: this.#refused, refusedBefore, failed, seconds });
  }
}
