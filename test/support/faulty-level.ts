import type { ClassicLevel } from 'classic-level';
import { newLevel } from '../../src/store/level.js';

/** What can fail: a write before it is in LevelDB's log, and the sync of one that is; readers; the opening. */
export type Operation = 'write' | 'sync' | 'read' | 'iterate' | 'open';

/** Errors as LevelDB and the file system give them. */
const ERRORS = [
  ['LEVEL_IO_ERROR', 'IO error: 000007.log: Input/output error'],
  ['LEVEL_IO_ERROR', 'IO error: 000007.log: No space left on device'],
  ['LEVEL_CORRUPTION', 'Corruption: block checksum mismatch'],
] as const;

/** Decides what fails, and sees what the store does with its LevelDBs. */
export class Faults {
  /** Whether an operation fails now; nothing does while it is undefined. */
  strikes: ((operation: Operation) => boolean) | undefined;
  /** Which of the errors it fails with. */
  choose: (count: number) => number = () => 0;
  /** How often each operation failed. */
  readonly counts = new Map<Operation, number>();
  /** Writes that came to a LevelDB in which one had failed. */
  writesAfterFailure = 0;
  /** Iterators, snapshots and batches that are open. */
  readonly resources = new Set<unknown>();

  readonly newLevel: typeof newLevel = (folder, options) => spoil(newLevel(folder, options), this);

  /** The error, where an operation is to fail. */
  next(operation: Operation): Error | undefined {
    if (this.strikes?.(operation) !== true) return undefined;
    this.counts.set(operation, (this.counts.get(operation) ?? 0) + 1);
    const [code, message] = ERRORS[this.choose(ERRORS.length)] ?? ERRORS[0];
    return Object.assign(new Error(message), { code });
  }

  check(operation: Operation): void {
    const error = this.next(operation);
    if (error !== undefined) throw error;
  }
}

/** An operation of a batch. */
type Put = Readonly<Record<string, unknown>>;

/** Puts `around` around a method of an object. */
function wrap<T extends object>(
  object: T,
  names: readonly (keyof T & string)[],
  around: (call: () => unknown, args: readonly unknown[]) => unknown,
): void {
  for (const name of names) {
    const method = (Reflect.get(object, name) as (...args: unknown[]) => unknown).bind(object);
    Reflect.set(object, name, (...args: unknown[]) => around(() => method(...args), args));
  }
}

/** Makes the operations of a LevelDB fail when `faults` say so. */
function spoil(level: ClassicLevel, faults: Faults): ClassicLevel {
  // Nobody knows what becomes of writes after one that failed, until LevelDB has read its log again.
  let isSpoilt = false;
  // Those whose sync failed: nobody sees them before that, and then only where they reached the disk.
  let inLog: Put[] = [];
  const putAll = level.batch.bind(level) as unknown as (puts: readonly Put[]) => Promise<void>;
  const check =
    (operation: Operation) =>
    async (call: () => unknown): Promise<unknown> => {
      faults.check(operation);
      return await call();
    };
  const write = async (call: () => unknown, puts: readonly Put[]): Promise<void> => {
    if (isSpoilt) faults.writesAfterFailure++;
    const early = faults.next('write');
    const late = early === undefined ? faults.next('sync') : undefined;
    if (late !== undefined) inLog.push(...puts);
    const error = early ?? late;
    if (error === undefined) {
      await call();
      return;
    }
    isSpoilt = true;
    throw error;
  };
  wrap(level, ['open'], async (call) => {
    faults.check('open');
    await call();
    const replayed = faults.choose(2) === 0 ? inLog : [];
    inLog = [];
    isSpoilt = false;
    if (replayed.length > 0) await putAll(replayed);
  });
  wrap(level, ['getSync'], (call) => {
    faults.check('read');
    return call();
  });
  wrap(level, ['get', 'getMany'], check('read'));
  wrap(level, ['iterator', 'keys', 'values'], (call) => {
    const reader = call() as ReturnType<ClassicLevel['iterator']>;
    wrap(reader, ['next', 'nextv'], check('iterate'));
    wrap(reader, ['all'], async (read) => {
      try {
        return await check('iterate')(read);
      } finally {
        // As it does by itself, well or badly.
        await reader.close();
      }
    });
    return reader;
  });
  wrap(level, ['clear', 'del'], (call) => write(call, []));
  wrap(level, ['batch'], (call, args) => {
    if (args.length > 0) return write(call, args[0] as readonly Put[]);
    const batch = call() as ReturnType<ClassicLevel['batch']>;
    const puts: Put[] = [];
    wrap(batch, ['put', 'del'], (add, [key, value, options]) => {
      puts.push(
        value === undefined ? { type: 'del', key } : { type: 'put', key, value, ...(options as object) },
      );
      return add();
    });
    wrap(batch, ['write'], (run) => write(run, puts));
    return batch;
  });
  wrap(level, ['attachResource'], (call, [resource]) => {
    faults.resources.add(resource);
    return call();
  });
  wrap(level, ['detachResource'], (call, [resource]) => {
    faults.resources.delete(resource);
    return call();
  });
  return level;
}
