import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { ClassicLevel } from 'classic-level';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { RejectionList } from '../../src/rejections/list.js';
import type { ListKey } from '../../src/rejections/rejection.js';
import { Rejections } from '../../src/rejections/rejections.js';
import { verifyRejections } from '../../src/rejections/verify.js';
import type { Finding } from '../../src/store/verify/findings.js';

let root: string;
let folder: string;
let rejections: Rejections;
beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'causeway-test-'));
  folder = path.join(root, 'rejections');
  rejections = new Rejections(folder, 5);
});
afterEach(async () => {
  await rejections.close();
  await rm(root, { recursive: true });
});

const key = (name: string, owner: string | null = 'jan'): ListKey => ({ name, owner });
const refused = (id: string, rev = '1-a', ancestors: readonly string[] = []) => ({
  ...{ id, rev, ancestors },
  ...{ status: 403, error: 'forbidden', reason: `no ${id}` },
});
const add = (list: RejectionList, ...args: Parameters<typeof refused>) => list.add(refused(...args), {}, 100);
const addTo = (name: string, id: string, owner?: string | null) =>
  rejections.use(key(name, owner), (list) => add(list, id));
const idsOf = (name: string, owner?: string | null) =>
  rejections.use(key(name, owner), async (list) => (await list.read()).map(({ id, rev }) => `${id}@${rev}`));
const namesOf = async () => (await rejections.lists()).map(({ name, owner }) => `${String(owner)}/${name}`);

describe('lists of rejections', () => {
  it('leave nothing on the disk while nothing is on them', async () => {
    expect(await idsOf('a')).toEqual([]);
    expect(await rejections.lists()).toEqual([]);
    await expect(rejections.use(key('a'), (list) => list.drop('x'))).resolves.toBe(false);
    await expect(rm(folder, { recursive: true })).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('are counted without being read', async () => {
    const read = vi.spyOn(rejections, 'read');
    const count = (name: string) => rejections.count(key(name));
    expect(await count('a')).toBe(0);
    await addTo('a', 'x');
    await addTo('a', 'y');
    await addTo('b', 'x');
    read.mockClear();
    expect([await count('a'), await count('b'), await count('c')]).toEqual([2, 1, 0]);
    expect(read).not.toHaveBeenCalled();
    await rejections.use(key('a'), (list) => list.drop('x'));
    expect(await count('a')).toBe(1);
    await rejections.close();
    rejections = new Rejections(folder);
    expect(await count('a')).toBe(1);
  });

  it('are kept apart by their names and owners, whatever these are', async () => {
    const odd = ['a', 'a"', 'a",', '["a"', 'a\u0000', '', 'é'];
    rejections = new Rejections(folder);
    for (const name of odd)
      for (const owner of [...odd, null]) await addTo(name, `${name}|${String(owner)}`, owner);
    for (const name of odd)
      for (const owner of [...odd, null])
        expect(await idsOf(name, owner)).toEqual([`${name}|${String(owner)}@1-a`]);
  });

  it('are closed for good, whoever still works with them', async () => {
    await rejections.use(key('a'), async (list) => {
      await add(list, 'x');
      await rejections.close();
      await expect(add(list, 'y')).rejects.toMatchObject({ status: 503 });
    });
    await expect(addTo('b', 'z')).rejects.toMatchObject({ status: 503 });
    rejections = new Rejections(folder);
    expect(await idsOf('a')).toEqual(['x@1-a']);
  });

  it('are opened anew once, where several writes fail at once', async () => {
    await addTo('a', 'x');
    const broken = vi.spyOn(ClassicLevel.prototype, 'batch').mockRejectedValue(new Error('no room'));
    const failures = await Promise.allSettled(['a', 'b', 'c'].map((name) => addTo(name, 'y')));
    broken.mockRestore();
    expect(failures.map(({ status }) => status)).toEqual(['rejected', 'rejected', 'rejected']);
    await Promise.all(['a', 'b', 'c'].map((name) => addTo(name, 'z')));
    expect(await idsOf('a')).toEqual(['x@1-a', 'z@1-a']);
  });

  it('are the same for all who work with them at once, and know what happened before', async () => {
    await rejections.use(key('a'), async (one) => {
      await rejections.use(key('a'), async (other) => {
        await Promise.all([add(one, 'x'), add(other, 'x'), add(other, 'y')]);
        expect(one.size).toBe(2);
      });
    });
    await rejections.close();
    rejections = new Rejections(folder);
    await addTo('a', 'x');
    const [x] = await rejections.use(key('a'), (list) => list.read('x'));
    expect(x).toMatchObject({ attempts: 3, reason: 'no x' });
    expect(x?.first).toBeLessThanOrEqual(x?.last ?? 0);
  });

  it('have a newer revision in the place of those before it', async () => {
    await rejections.use(key('a'), async (list) => {
      await add(list, 'x', '1-a');
      await add(list, 'x', '1-b');
      await add(list, 'x', '2-a', ['1-a']);
      await list.written('x', ['3-b', '2-b', '1-b']);
    });
    expect(await idsOf('a')).toEqual(['x@2-a']);
    expect(await rejections.lists()).toMatchObject([{ count: 1, unlisted: 0 }]);
  });

  it('do not get back what was taken off while it was tried again', async () => {
    await rejections.use(key('a'), async (list) => {
      await add(list, 'x');
      const [isDropped] = await Promise.all([list.drop('x'), list.add(refused('x'), {}, 100, true)]);
      expect([isDropped, list.size]).toEqual([true, 0]);
      await add(list, 'x');
      expect(list.size).toBe(1);
    });
  });

  it('count what has no room, and take more when there is some', async () => {
    await rejections.use(key('a'), async (list) => {
      const few = (id: string) => list.add(refused(id), {}, 2);
      expect([await few('x'), await few('y'), await few('z'), await few('x')]).toEqual([
        true,
        true,
        false,
        true,
      ]);
      expect([list.size, list.unlisted]).toEqual([2, 1]);
      await list.drop('x');
      expect(await few('z')).toBe(true);
      await list.clear();
    });
    expect(await rejections.lists()).toEqual([]);
    expect(await idsOf('a')).toEqual([]);
  });

  it('go, the one that changed longest ago first, where an owner has too many', async () => {
    for (const name of ['old', 'used', 'new']) for (const id of ['x', 'y']) await addTo(name, id);
    await addTo('other', 'x', 'bo');
    await rejections.use(key('used'), async () => {
      await addTo('newest', 'x');
      expect(await namesOf()).toEqual(['bo/other', 'jan/new', 'jan/newest', 'jan/used']);
      expect(await idsOf('old')).toEqual([]);
    });
  });

  it('are as they were where a write fails, and take others afterwards', async () => {
    await rejections.use(key('a'), async (list) => {
      await writeFile(folder, 'no folder');
      await expect(add(list, 'x')).rejects.toThrow();
      expect([list.size, list.has('x')]).toEqual([0, false]);
      await rm(folder);
      expect(await add(list, 'x')).toBe(true);
      expect(list.size).toBe(1);
    });
    expect(await idsOf('a')).toEqual(['x@1-a']);
  });
});

describe('checking', () => {
  /** What is found once the files were tampered with. */
  async function found(work: (level: ClassicLevel) => Promise<unknown>): Promise<readonly Finding[]> {
    const level = new ClassicLevel(folder);
    await work(level);
    await level.close();
    const findings: Finding[] = [];
    await verifyRejections(folder, root, (finding) => findings.push(finding));
    return findings;
  }

  it('finds whatever is damaged on a list, and nothing on a whole one, and leaves nothing', async () => {
    for (const id of ['x', 'y,"', 'z']) await addTo('a', id);
    await addTo('b', 'x', null);
    await rejections.close();
    expect(await found(() => Promise.resolve())).toEqual([]);
    const entry = (id: string): string => `e["jan","a",${JSON.stringify(id)},"1-a"]`;
    const findings = await found(async (level) => {
      await level.put(entry('x'), '{"id":"x"');
      await level.put(entry('y,"'), '{"id":"z","rev":"1-a","status":403,"first":1,"last":1,"attempts":1}');
      await level.del(entry('z'));
      await level.del('l[null,"b"]');
      await level.put('e[1]', '{}');
      await level.put('what', '');
    });
    expect(findings.map(({ code }) => code)).toEqual(Array(6).fill('rejections_damaged'));
    expect(findings.map(({ document, problem }) => [document, problem])).toEqual([
      ['x', 'the rejection of its revision 1-a cannot be read'],
      ['y,"', 'the rejection of its revision 1-a cannot be read'],
      [undefined, '[1] is no place of a rejection'],
      [undefined, 'the list ["jan","a"] holds 2 rejections and says 3'],
      [undefined, '"what" is no list of rejections'],
      [undefined, 'the list [null,"b"] is missing, and what is on it is there'],
    ]);
    expect(await readdir(root)).toEqual(['rejections']);
  });

  it('finds damaged files', async () => {
    await addTo('a', 'x');
    await rejections.close();
    await writeFile(path.join(folder, 'CURRENT'), 'nothing\n');
    const findings: Finding[] = [];
    await verifyRejections(folder, root, (finding) => findings.push(finding));
    expect(findings).toEqual([
      { code: 'rejections_damaged', problem: 'rejections: the file CURRENT is damaged' },
    ]);
  });
});
