import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { cookieSecret, type PasswordHasher, serverAdmins } from '../../src/config/admins.js';
import { openDataDirectory } from '../../src/config/datadir.js';
import { replaceFile } from '../../src/config/files.js';
import { type Config, configSchema } from '../../src/config/schema.js';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'causeway-data-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const inData = (...parts: string[]): string => path.join(folder, 'a', 'data', ...parts);
const modeOf = async (file: string): Promise<number> => (await stat(file)).mode & 0o777;

describe('the data directory', () => {
  it('is made on the first opening and keeps its uuid', async () => {
    const first = await openDataDirectory(inData());
    expect(first.uuid).toMatch(/^[0-9a-f]{32}$/);
    expect(first.path).toBe(inData());
    expect(await modeOf(inData())).toBe(0o700);
    await first.close();
    const second = await openDataDirectory(inData());
    expect(second.uuid).toBe(first.uuid);
    await second.close();
  });

  it.runIf(process.platform === 'linux')('is refused below a folder that takes no new ones', async () => {
    await expect(openDataDirectory('/proc/causeway/data')).rejects.toMatchObject({
      exitCode: 73,
      lines: [expect.stringContaining('the data directory /proc/causeway/data cannot be used: ENOENT')],
    });
  });

  it('is used by one at a time', async () => {
    const first = await openDataDirectory(inData());
    await expect(openDataDirectory(inData())).rejects.toMatchObject({
      exitCode: 75,
      lines: [`the data directory ${inData()} is in use by another process`],
    });
    await first.close();
  });

  it('is used by one at a time, whatever it is called', async () => {
    const first = await openDataDirectory(inData());
    const link = path.join(folder, 'link');
    await symlink(inData(), link);
    await expect(openDataDirectory(link)).rejects.toMatchObject({ exitCode: 75 });
    await first.close();
  });

  it('is refused, and left as it is, when its format is newer', async () => {
    await (await openDataDirectory(inData())).close();
    await rm(inData('lock'), { recursive: true });
    await writeFile(inData('server.json'), '{"format":2,"something":"else"}');
    await expect(openDataDirectory(inData())).rejects.toMatchObject({
      exitCode: 65,
      lines: [expect.stringMatching(/has format 2; this version reads up to 1/)],
    });
    expect(await readdir(inData())).toEqual(['server.json']);
  });

  it.each(['', '{', '[]', '{"format":1}', '{"format":1,"uuid":"x"}', '{"uuid":"0"}'])(
    'is refused when its server.json is %j',
    async (content) => {
      await (await openDataDirectory(inData())).close();
      await writeFile(inData('server.json'), content);
      await expect(openDataDirectory(inData())).rejects.toMatchObject({ exitCode: 65 });
    },
  );

  it('is refused when it cannot be made', async () => {
    await writeFile(path.join(folder, 'a'), '');
    await expect(openDataDirectory(inData())).rejects.toMatchObject({
      exitCode: 73,
      lines: [expect.stringContaining(`the data directory ${inData()} cannot be used: `)],
    });
  });
});

describe('a file that is replaced', () => {
  it('is readable by its owner alone, and nothing is left beside it', async () => {
    const file = path.join(folder, 'file');
    await replaceFile(file, 'one');
    await replaceFile(file, 'two');
    expect(await readFile(file, 'utf8')).toBe('two');
    expect(await modeOf(file)).toBe(0o600);
    expect(await readdir(folder)).toEqual(['file']);
  });

  it('leaves no draft behind a crash that the next start does not remove', async () => {
    const others = ['notes.tmp', 'runtime.json.bak'];
    await mkdir(inData(), { recursive: true });
    for (const name of ['runtime.json.0123456789ab.tmp', ...others]) await writeFile(inData(name), '{}');
    const directory = await openDataDirectory(inData());
    await directory.close();
    expect((await readdir(inData())).toSorted()).toEqual(['lock', ...others, 'server.json'].toSorted());
  });

  it('leaves no draft when it cannot be replaced', async () => {
    await openDataDirectory(inData()).then((directory) => directory.close());
    await expect(replaceFile(inData('lock'), 'x')).rejects.toThrow();
    expect((await readdir(inData())).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });
});

/** Takes no time, but salts as the real one does: two hashes of a password differ. */
class FakeHasher implements PasswordHasher {
  #count = 0;

  hash(clear: string): Promise<string> {
    this.#count += 1;
    return Promise.resolve(`-hashed-${clear},${this.#count}`);
  }

  verify(clear: string, hashed: string): Promise<boolean> {
    return Promise.resolve(hashed.startsWith(`-hashed-${clear},`));
  }

  isHashed(text: string): boolean {
    return text.startsWith('-hashed-');
  }

  isKnown(text: string): boolean {
    return text.includes(',');
  }
}

describe('the server admins', () => {
  const hasher = new FakeHasher();

  const config = (values: object): Config => configSchema.parse({ data: inData(), ...values });

  beforeEach(async () => {
    await (await openDataDirectory(inData())).close();
  });

  it('are one with a random password when the configuration names none', async () => {
    const first = await serverAdmins(config({}), hasher);
    expect(first.passwordFile).toBe(inData('admin-password'));
    const password = (await readFile(inData('admin-password'), 'utf8')).trim();
    expect(password.length).toBeGreaterThanOrEqual(24);
    expect(await modeOf(inData('admin-password'))).toBe(0o600);
    expect(await hasher.verify(password, first.admins.get('admin') ?? '')).toBe(true);
    expect(await serverAdmins(config({}), hasher)).toEqual(first);
  });

  it('are the one of the file when it holds another password', async () => {
    await serverAdmins(config({}), hasher);
    await writeFile(inData('admin-password'), 'mine\n');
    const { admins } = await serverAdmins(config({}), hasher);
    expect(await hasher.verify('mine', admins.get('admin') ?? '')).toBe(true);
  });

  it('are those of the configuration when it names some', async () => {
    const values = { admins: { jan: 'apple', bo: '-hashed-pear,0' } };
    const first = await serverAdmins(config(values), hasher);
    expect(first.passwordFile).toBeUndefined();
    expect(await readdir(inData())).not.toContain('admin-password');
    expect([...first.admins.keys()]).toEqual(['jan', 'bo']);
    expect(first.admins.get('bo')).toBe('-hashed-pear,0');
    expect(await serverAdmins(config(values), hasher)).toEqual(first);
    expect(await readFile(inData('runtime.json'), 'utf8')).not.toContain('pear');
  });

  it('have a new hash when the password in the configuration changes', async () => {
    const first = await serverAdmins(config({ admins: { jan: 'apple' } }), hasher);
    const second = await serverAdmins(config({ admins: { jan: 'pear' } }), hasher);
    expect(second.admins.get('jan')).not.toBe(first.admins.get('jan'));
    expect(await hasher.verify('pear', second.admins.get('jan') ?? '')).toBe(true);
  });

  it('leave the rest of runtime.json as it is', async () => {
    await writeFile(inData('runtime.json'), '{"config":{"log":{"level":"warn"}}}');
    await serverAdmins(config({ admins: { jan: 'apple' } }), hasher);
    expect(JSON.parse(await readFile(inData('runtime.json'), 'utf8'))).toMatchObject({
      config: { log: { level: 'warn' } },
      passwordHashes: { jan: expect.stringMatching(/^-hashed-apple/) as string },
    });
  });

  it('sign their cookies with a secret that is kept', async () => {
    const secret = await cookieSecret(config({}));
    expect(secret).toMatch(/^[0-9a-f]{64}$/);
    expect(await cookieSecret(config({}))).toBe(secret);
    expect(await modeOf(inData('secret'))).toBe(0o600);
  });

  it('sign their cookies with the secret of secretFile, which has to be there', async () => {
    const secretFile = path.join(folder, 'secret');
    await expect(cookieSecret(config({ secretFile }))).rejects.toMatchObject({ exitCode: 78 });
    await writeFile(secretFile, '\n');
    await expect(cookieSecret(config({ secretFile }))).rejects.toMatchObject({ exitCode: 78 });
    await writeFile(secretFile, 'shared\n');
    expect(await cookieSecret(config({ secretFile }))).toBe('shared');
  });
});
