import { mkdir } from 'node:fs/promises';
import type { ClassicLevel } from 'classic-level';
import { newLevel, openLevel } from '../../store/level.js';
import { WriteGate } from '../../store/write-gate.js';
import type { Account } from '../accounts.js';
import { parseHash, type PasswordHash } from '../password.js';

/** What is known of somebody whom the upstream let in. */
export interface UpstreamAccount extends Account {
  /** Hashed here; the salt is what sessions hang on. */
  readonly password: PasswordHash;
  /** When the upstream last said so, in milliseconds since 1970. */
  readonly checkedAt: number;
  /** Stands for the password in the document of the user there; undefined where that was not to be read. */
  readonly mark: string | undefined;
}

/** What is stored of one, as JSON under its name. */
interface Stored {
  /** Which upstream said so. */
  readonly source: string;
  readonly roles: readonly string[];
  readonly password: string;
  readonly checkedAt: number;
  readonly mark?: string | undefined;
}

interface Opened {
  readonly level: ClassicLevel;
  readonly gate: WriteGate;
  /** Whoever was checked last is the last. */
  readonly accounts: Map<string, UpstreamAccount>;
}

/** A record is some hundred bytes, and all of them are in memory. */
const MEMORY = { cacheSize: 64 << 10, writeBufferSize: 256 << 10 };

/** So many accounts are remembered; beyond, those go that were checked longest ago. */
const MOST = 50_000;

/** The accounts that one upstream said are right, in memory and in a LevelDB that only the owner of the process can read. */
export class AccountRecords {
  #opening: Promise<Opened> | undefined;
  #isClosed = false;

  /** @param source names the upstream: what another one said counts for nothing, and is removed */
  constructor(
    private readonly folder: string,
    readonly source: string,
    private readonly most = MOST,
  ) {}

  /** @throws what LevelDB throws where it cannot be opened */
  async find(name: string): Promise<UpstreamAccount | undefined> {
    return (await this.#open()).accounts.get(name);
  }

  /**
   * Remembers an account in the place of what was known of it. Counts at once, and is on the disk when this resolves.
   * @param oldest when, in milliseconds since 1970, what was checked before is to be forgotten
   * @throws what LevelDB throws; the account is known until the next start then
   */
  async put(account: UpstreamAccount, oldest: number): Promise<void> {
    const opened = await this.#open();
    const { accounts } = opened;
    const { name, roles } = account.user;
    accounts.delete(name);
    accounts.set(name, account);
    const past = [...pastOf(accounts, oldest, this.most)];
    for (const one of past) accounts.delete(one);
    const { password, checkedAt, mark } = account;
    const stored: Stored = { source: this.source, roles, password: password.text, checkedAt, mark };
    await this.#write(opened, past, [[name, JSON.stringify(stored)]]);
  }

  /** @throws what LevelDB throws; it may be known again after the next start then */
  async remove(name: string): Promise<void> {
    const opened = await this.#open();
    if (opened.accounts.delete(name)) await this.#write(opened, [name], []);
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    const opened = await this.#opening?.catch(() => undefined);
    await opened?.level.close();
  }

  #open(): Promise<Opened> {
    if (this.#opening === undefined) {
      if (this.#isClosed) return Promise.reject(new Error('the accounts of the upstream are closed'));
      const opening = this.#read();
      this.#opening = opening;
      opening.catch(() => {
        if (this.#opening === opening) this.#opening = undefined;
      });
    }
    return this.#opening;
  }

  async #read(): Promise<Opened> {
    const level = await openLevelOf(this.folder);
    const found: UpstreamAccount[] = [];
    const others: string[] = [];
    for await (const [name, text] of level.iterator()) {
      const account = accountIn(name, text, this.source);
      if (account === undefined) others.push(name);
      else found.push(account);
    }
    found.sort((a, b) => a.checkedAt - b.checkedAt);
    const accounts = new Map(found.map((account) => [account.user.name, account]));
    const opened = { level, gate: new WriteGate(), accounts };
    if (others.length > 0) await this.#write(opened, others, []);
    return opened;
  }

  async #write(
    { level, gate, accounts }: Opened,
    removed: readonly string[],
    put: readonly (readonly [string, string])[],
  ): Promise<void> {
    const operations = [
      ...removed.map((key) => ({ type: 'del' as const, key })),
      ...put.map(([key, value]) => ({ type: 'put' as const, key, value })),
    ];
    try {
      await gate.run(() => level.batch(operations, { sync: true }));
    } catch (error) {
      this.#reopen(level, accounts);
      throw error;
    }
  }

  /** What is written behind a write that failed may be lost, so that LevelDB is opened anew; what is known stays known. */
  #reopen(level: ClassicLevel, accounts: Opened['accounts']): void {
    if (this.#isClosed || level.status !== 'open') return;
    const opening = level
      .close()
      .then(() => openLevelOf(this.folder))
      .then((next): Opened => ({ level: next, gate: new WriteGate(), accounts }));
    this.#opening = opening;
    opening.catch(() => {
      if (this.#opening === opening) this.#opening = undefined;
    });
  }
}

async function openLevelOf(folder: string): Promise<ClassicLevel> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const level = newLevel(folder, MEMORY);
  await openLevel(level);
  return level;
}

/** Undefined for what another upstream said. */
function accountIn(name: string, text: string, source: string): UpstreamAccount | undefined {
  const stored = JSON.parse(text) as Stored;
  const password = parseHash(stored.password);
  if (stored.source !== source || password === undefined) return undefined;
  const { roles, checkedAt, mark } = stored;
  return { user: { name, roles }, password, checkedAt, mark };
}

/** Those that are to be forgotten: the first ones. */
function* pastOf(
  accounts: ReadonlyMap<string, UpstreamAccount>,
  oldest: number,
  most: number,
): Generator<string> {
  let left = accounts.size;
  for (const [name, { checkedAt }] of accounts) {
    if (checkedAt >= oldest && left <= most) return;
    left--;
    yield name;
  }
}
