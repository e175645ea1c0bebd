import type { Logger } from 'pino';
import type { Config } from '../../config/schema.js';
import { CouchError, overloaded, upstreamAway } from '../../errors.js';
import { verifyAtCost } from '../credentials.js';
import { KnownPasswords } from '../known.js';
import { Limiter } from '../limiter.js';
import { Lockout } from '../lockout.js';
import { decoyOf, derivePassword } from '../password.js';
import type { Authority, Standing } from './authority.js';
import { AccountRecords, type UpstreamAccount } from './records.js';
import { Turns } from './turns.js';

/** Who asks to be let in. */
export interface Asker {
  /** Stands for whoever sent the request. */
  readonly address: string;
  /** The whole address that it came from, which the upstream is told. */
  readonly source?: string;
}

export interface UpstreamAccountsOptions {
  readonly authority: Authority;
  /** Where they are remembered; made when somebody is. */
  readonly folder: string;
  /** Read at each use: it may change. */
  readonly config: Pick<Config, 'upstream' | 'passwords' | 'lockout'>;
  readonly log: Pick<Logger, 'warn'>;
}

/** Characters of a name that the upstream is asked about. */
const MAX_NAME = 1000;
/** Passwords that may wait for each name, and that the upstream is asked about at once, or wait for that. */
const MOST_OF_NAME = 50;
const AT_ONCE = 32;
const WAITING = 1000;
/** The upstream that gave no answer is asked again about the same account after so many milliseconds, or `recheck`. */
const PAUSE = 5000;
/** Seconds after which it may be worth a try to come back. */
const SOON = 5;

/**
 * People whose accounts are the upstream's: it says who is let in, and what it said is remembered, so that they can work
 * while it is away. An account that was not looked at for `recheck` milliseconds is looked at again when it is next used:
 * with the password that comes, or, for a session, by the document of the user, where the gateway may read that. While the
 * upstream is away, what was said counts for `remember` milliseconds. Nothing is asked before the link has proven once that
 * it is a CouchDB that answers.
 *
 * The upstream counts wrong passwords, too, and may lock somebody out for everybody who comes through this gateway. So it
 * is shown fewer for each name than `lockout.threshold`; after that only passwords that are known to have been right.
 */
export class UpstreamAccounts {
  #records: AccountRecords | undefined;
  #closing: Promise<void> = Promise.resolve();
  readonly #known = new KnownPasswords();
  /** What is being checked now, by what stands for name and password. */
  readonly #checks = new Map<string, Promise<UpstreamAccount | undefined>>();
  readonly #confirmations = new Map<string, Promise<UpstreamAccount | undefined>>();
  readonly #turns = new Turns(MOST_OF_NAME);
  readonly #asking = new Limiter(AT_ONCE, WAITING, () =>
    overloaded('too many passwords are being checked at the upstream'),
  );
  /** Wrong passwords that the upstream saw, by name alone. */
  readonly #shown: Lockout;
  /** Wrong passwords that were held against what is remembered, by address and name. */
  readonly #guesses: Lockout;
  /** When the upstream gave no answer about a name, in milliseconds of `performance.now()`. */
  readonly #silent = new Map<string, number>();

  constructor(private readonly options: UpstreamAccountsOptions) {
    const { config } = options;
    // They count whatever is done about wrong passwords of accounts here.
    const settings = (less: number) => () => ({
      ...config.lockout,
      mode: 'enforce' as const,
      threshold: Math.max(1, config.lockout.threshold - less),
    });
    this.#shown = new Lockout(settings(1));
    this.#guesses = new Lockout(settings(0));
  }

  /** Whether the upstream may know somebody of this name, whom no account here has. */
  mayKnow(name: string): boolean {
    const { authority, config } = this.options;
    return config.upstream.accounts.enabled && authority.source !== undefined && isAskable(name);
  }

  /**
   * The account whose password this is, undefined where it is wrong. Takes as long for names that nobody has.
   * @throws CouchError 503 with `retryAfter` where the upstream does not say, and nothing that is remembered does
   */
  async check(name: string, password: Buffer, asker: Asker): Promise<UpstreamAccount | undefined> {
    const id = this.#known.identify(name, password);
    const account = await this.#remembered(name);
    const isKnown = account !== undefined && this.#known.has(id, account.password.text);
    if (isKnown && !this.#isDue(account)) return account;
    const found = await shared(this.#checks, id, () =>
      isKnown
        ? this.#recheck(account, password, asker)
        : this.#turns.run(name, () => this.#first(name, password, asker)),
    );
    if (found !== undefined) this.#known.add(id, found.password.text);
    return found;
  }

  /** What is remembered of a name, whether or not that still holds. @throws what LevelDB throws */
  async find(name: string): Promise<UpstreamAccount | undefined> {
    return this.mayKnow(name) ? await this.#remembered(name) : undefined;
  }

  /**
   * The account of a name as the upstream has it now, where nobody gave the password: undefined where it was removed, has
   * another password, or cannot be looked at and was not for too long.
   * @throws what LevelDB throws
   */
  async confirm(name: string): Promise<UpstreamAccount | undefined> {
    const account = await this.find(name);
    if (account === undefined || !this.#isDue(account)) return account;
    return shared(this.#confirmations, name, () => this.#lookAt(account));
  }

  async close(): Promise<void> {
    await this.#closing;
    await this.#records?.close();
  }

  /** A password that was right the last time. */
  async #recheck(
    account: UpstreamAccount,
    password: Buffer,
    asker: Asker,
  ): Promise<UpstreamAccount | undefined> {
    const { name } = account.user;
    const confirmed = await this.confirm(name);
    if (confirmed !== undefined) return confirmed;
    let answer;
    try {
      answer = await this.#ask(name, password, asker);
    } catch (error) {
      return this.#fallBack(name, account, error);
    }
    const { standing, mark } = answer;
    if (standing !== undefined) return this.#remember(name, account.password, standing, mark);
    this.#shown.failed('', name, '');
    await this.#forget(name);
    return undefined;
  }

  /** A password of which nothing is known. */
  async #first(name: string, password: Buffer, asker: Asker): Promise<UpstreamAccount | undefined> {
    if (this.#shown.reached('', name, '') && (await this.#recall(name, password, asker)) === undefined)
      throw overloaded('There were too many wrong passwords for this name.');
    let answer;
    try {
      answer = await this.#ask(name, password, asker);
    } catch (error) {
      return this.#fallBack(name, await this.#recall(name, password, asker), error);
    }
    const { standing, mark } = answer;
    const before = await this.#remembered(name);
    // Every answer costs a hash.
    if (standing === undefined) {
      this.#shown.failed('', name, '');
      if (await this.#fits(password, before, asker)) await this.#forget(name);
      return undefined;
    }
    const isSame = before !== undefined && (await this.#fits(password, before, asker));
    const hashed = isSame ? before.password : await this.#hash(password);
    return this.#remember(name, hashed, standing, mark);
  }

  async #ask(
    name: string,
    password: Buffer,
    { address, source = address }: Asker,
  ): Promise<{ readonly standing: Standing | undefined; readonly mark: string | undefined }> {
    const { authority } = this.options;
    return this.#asking.run(async () => {
      const asked = authority.source;
      // Looked at first: whoever changes the password meanwhile has changed the mark, too.
      const there = await authority.documentOf(name);
      const standing = await authority.standingOf(name, password, source);
      // What another one said says nothing of this one.
      if (authority.source !== asked) throw upstreamAway(SOON);
      return { standing, mark: typeof there === 'object' ? there.mark : undefined };
    }, address);
  }

  /** The upstream did not say. */
  #fallBack(name: string, account: UpstreamAccount | undefined, error: unknown): UpstreamAccount {
    if (!(error instanceof CouchError)) throw error;
    if (account === undefined) throw upstreamAway(error.retryAfter ?? SOON);
    this.#silent.set(name, performance.now());
    return account;
  }

  /** The account that a password fitted when it was last checked. */
  async #recall(name: string, password: Buffer, asker: Asker): Promise<UpstreamAccount | undefined> {
    const isLocked = this.#guesses.reached(asker.address, name, '');
    const account = await this.#remembered(name);
    if (await this.#fits(password, isLocked ? undefined : account, asker)) return account;
    this.#guesses.failed(asker.address, name, '');
    return undefined;
  }

  /** Takes as long where nothing is remembered. */
  #fits(password: Buffer, account: UpstreamAccount | undefined, { address }: Asker): Promise<boolean> {
    const decoy = decoyOf(this.options.config.passwords);
    return verifyAtCost(password, account?.password ?? decoy, decoy, address);
  }

  #hash(password: Buffer): Promise<UpstreamAccount['password']> {
    return derivePassword(password, this.options.config.passwords);
  }

  async #lookAt(account: UpstreamAccount): Promise<UpstreamAccount | undefined> {
    const { name } = account.user;
    const { authority } = this.options;
    let there;
    try {
      there = await authority.documentOf(name);
      // Only while it is away it does not have to be looked at.
      if (there === 'unknown') await authority.requireThere();
    } catch (error) {
      return this.#fallBack(name, account, error);
    }
    if (typeof there === 'object' && there.mark === account.mark)
      return this.#remember(name, account.password, there, there.mark);
    if (account.mark !== undefined && there !== 'unknown') await this.#forget(name);
    return undefined;
  }

  // ---- what is remembered ---------------------------------------------------------------------------------------

  /** Those of the upstream that there is now. */
  async #open(): Promise<AccountRecords | undefined> {
    const { authority, folder } = this.options;
    const { source } = authority;
    const before = this.#records;
    if (source !== before?.source) {
      this.#records = source === undefined ? undefined : new AccountRecords(folder, source);
      this.#closing = this.#closing.then(() => before?.close());
    }
    // Only one can have the folder open.
    const records = this.#records;
    await this.#closing;
    return records;
  }

  async #remembered(name: string): Promise<UpstreamAccount | undefined> {
    const records = await this.#open();
    const account = await records?.find(name);
    return account !== undefined && account.checkedAt > this.#oldest() ? account : undefined;
  }

  async #remember(
    name: string,
    password: UpstreamAccount['password'],
    { roles }: Standing,
    mark: string | undefined,
  ): Promise<UpstreamAccount> {
    const account = { user: { name, roles }, password, checkedAt: Date.now(), mark };
    this.#silent.delete(name);
    await this.#stored((records) => records.put(account, this.#oldest()));
    return account;
  }

  async #forget(name: string): Promise<void> {
    this.#silent.delete(name);
    await this.#stored((records) => records.remove(name));
  }

  /** Somebody who is let in does not have to wait for a disk that is full. */
  async #stored(work: (records: AccountRecords) => Promise<void>): Promise<void> {
    try {
      const records = await this.#open();
      if (records !== undefined) await work(records);
    } catch (error) {
      this.options.log.warn({ err: error }, 'an account of the upstream could not be remembered');
    }
  }

  #oldest(): number {
    return Date.now() - this.options.config.upstream.accounts.remember;
  }

  /** Whether the upstream is to be asked again. Clocks may be set back. */
  #isDue({ user, checkedAt }: UpstreamAccount): boolean {
    const age = Date.now() - checkedAt;
    const { recheck } = this.options.config.upstream.accounts;
    if (age >= 0 && age < recheck) return false;
    return performance.now() - (this.#silent.get(user.name) ?? -Infinity) >= Math.min(PAUSE, recheck);
  }
}

/** A colon ends a name in HTTP Basic; what begins with _ is no person. */
const isAskable = (name: string): boolean =>
  name !== '' && name.length <= MAX_NAME && !name.startsWith('_') && !name.includes(':');

/** Who asks for the same while it is being done gets the same. */
async function shared<T>(running: Map<string, Promise<T>>, key: string, work: () => Promise<T>): Promise<T> {
  const begun = running.get(key) ?? work();
  running.set(key, begun);
  try {
    return await begun;
  } finally {
    if (running.get(key) === begun) running.delete(key);
  }
}
