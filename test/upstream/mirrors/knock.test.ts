import { isDeepStrictEqual } from 'node:util';
import { afterAll, afterEach, beforeAll, expect, test, vi } from 'vitest';
import { REAL } from '../../../src/upstream/monitor.js';
import { until } from '../../system/support/wait.js';
import { linkOf, type ShownLink } from '../pair.js';
import { contentOf, fill, isHere, type Mirrored, startMirrored } from './pair.js';

const NAMES = ['knock-one', 'knock-two'];

let pair: Mirrored;
beforeAll(async () => {
  pair = await startMirrored({ upstream: { firstRetry: 200, longestRetry: 100_000_000 } });
});
afterEach(() => {
  vi.restoreAllMocks();
});
afterAll(() => pair.stop());

/** Loses the upstream so often that the next probe is hours away. By chance waits may be short, which saves the time. */
async function loseForLong(): Promise<void> {
  const random = vi.spyOn(REAL, 'random').mockReturnValue(0);
  await pair.goAway();
  const linkThat = (is: (link: ShownLink) => boolean): Promise<unknown> =>
    until('the link to be lost for long', async () => is(await linkOf(pair.front)));
  await linkThat(({ state, failures }) => state === 'offline' && failures > 20);
  random.mockReturnValue(0.5);
  await linkThat(({ next_probe_in: seconds }) => seconds !== null && seconds > 3600);
}

test('mirrors flow both ways again after hours away, though nobody asks for anything upstream', async () => {
  for (const name of NAMES) {
    await pair.back.ask('PUT', `/${name}`);
    await fill(pair.back, name, 10);
    await pair.front.ask('GET', `/${name}`);
    await isHere(pair, name);
  }
  await loseForLong();
  for (const name of NAMES) await pair.front.ask('PUT', `/${name}/here`, { json: {} });
  await pair.comeBack();
  for (const name of NAMES) await pair.back.ask('PUT', `/${name}/there`, { json: {} });
  await until('both to have the same', async () => {
    for (const name of NAMES) {
      const [one, other] = [await contentOf(pair.front, name), await contentOf(pair.back, name)];
      if (Object.keys(one).length !== 12 || !isDeepStrictEqual(one, other)) return false;
    }
    return true;
  });
  expect((await linkOf(pair.front)).state).toBe('online');
});
