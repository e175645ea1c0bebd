import { expect, onTestFinished, test } from 'vitest';
import { startUsers } from '../auth/users/gateway.js';
import { until } from '../system/support/wait.js';
import { linkOf } from './pair.js';

const AUTHORIZATION = `Basic ${Buffer.from('admin:secret').toString('base64')}`;

/** A feed through the gateway: what came of it so far, and whether it ended. */
async function follow(url: string): Promise<{ text: string; isOver: boolean }> {
  const answer = await fetch(`${url}/open/_changes?feed=continuous&since=now&heartbeat=60000`, {
    headers: { authorization: AUTHORIZATION },
  });
  const feed = { text: '', isOver: false };
  const read = async (): Promise<void> => {
    for await (const chunk of answer.body ?? []) feed.text += Buffer.from(chunk as Uint8Array).toString();
  };
  void read()
    .catch(() => undefined)
    .finally(() => (feed.isOver = true));
  return feed;
}

test('other limits and times hold for what comes next, another account ends what is under way', async () => {
  const back = await startUsers();
  onTestFinished(() => back.stop());
  await back.ask('PUT', '/open');
  const upstream: Record<string, unknown> = {
    url: back.gateway.url,
    username: 'admin',
    password: 'secret',
    firstRetry: 50,
  };
  const front = await startUsers({ upstream, databases: [{ match: '*', mode: 'proxy' }] });
  onTestFinished(() => front.stop());
  await until('the upstream to be seen', async () => (await linkOf(front)).state === 'online');
  const feed = await follow(front.gateway.url);
  await until('the feed', async () => (await linkOf(front)).counters.feeds === 1);

  Object.assign(upstream, { maxConnections: 40, maxFeeds: 1, connectTimeout: 5000, timeout: 200_000 });
  await front.gateway.reload();
  expect((await front.ask('GET', '/open/_changes?feed=continuous')).status).toBe(503);
  expect((await front.ask('PUT', '/open/after', { json: {} })).status).toBe(201);
  await until('the change to be told', () => feed.text.includes('"after"'));
  expect(feed.isOver).toBe(false);

  await back.put('other', { password: 'pear' });
  Object.assign(upstream, { username: 'other', password: 'pear' });
  await front.gateway.reload();
  await until('the feed to end', () => feed.isOver);
});

test('a gateway that is its own upstream passes nothing on to itself', async () => {
  const upstream = { url: 'http://127.0.0.1:1', username: 'admin', password: 'secret', firstRetry: 50 };
  const gateway = await startUsers({ upstream, databases: [{ match: '*', mode: 'proxy' }] });
  onTestFinished(() => gateway.stop());
  upstream.url = gateway.gateway.url;
  await gateway.gateway.reload();
  await until('it to be found out', async () => (await linkOf(gateway)).reason?.includes('itself') === true);
  expect(await gateway.ask('GET', '/any')).toMatchObject({
    status: 503,
    body: { error: 'service_unavailable' },
  });
});

test.each([
  ['itself, where its account is none', 'itself', 'nobody'],
  ['one whose upstream it is', 'each other', 'admin'],
])('a request that comes back to the gateway goes round no more: over %s', async (_, kind, username) => {
  const upstream = { url: 'http://127.0.0.1:1', username, password: 'secret', firstRetry: 50 };
  const rules = [{ match: '*', mode: 'proxy' as const }];
  const gateway = await startUsers({ upstream, databases: rules });
  onTestFinished(() => gateway.stop());
  const { url } = gateway.gateway;
  const other =
    kind === 'itself' ? gateway : await startUsers({ upstream: { ...upstream, url }, databases: rules });
  if (other !== gateway) onTestFinished(() => other.stop());
  upstream.url = other.gateway.url;
  await gateway.gateway.reload();
  await until('it to be found', async () => /unauthorised|online/.test((await linkOf(gateway)).state));
  expect(await gateway.ask('GET', '/any')).toMatchObject({
    status: 503,
    body: { reason: 'The request comes from this gateway itself: upstream.url leads back to it.' },
  });
});
