import type { LookupAddress } from 'node:dns';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, describe, expect, it, test } from 'vitest';
import { newAgent } from '../../src/replication/http/agent.js';
import { HttpPeer } from '../../src/replication/http/peer.js';
import { bareHost, isGuarded } from '../../src/replicator/addresses.js';
import { guardedLookup, mayFollow, requireAddresses, requireOrigin } from '../../src/replicator/origins.js';

/** The address at which most clouds tell secrets, in every form that a URL may have it in. */
const METADATA = [
  'http://169.254.169.254/latest',
  'http://169.254.169.254./',
  'http://2852039166/',
  'http://0xa9fea9fe/',
  'http://0xA9.0xFE.0xA9.0xFE/',
  'http://0251.0376.0251.0376/',
  'http://169.254.43518/',
  'http://169.16689662/',
  'http://１６９.254.169.254/',
  'http://169。254。169。254/',
  'http://[::ffff:169.254.169.254]/',
  'http://[::ffff:a9fe:a9fe]/',
  'http://[::ffff:0:a9fe:a9fe]/',
  'http://[::169.254.169.254]/',
  'http://[64:ff9b::169.254.169.254]/',
  'http://[64:ff9b:1::a9fe:a9fe]/',
  'http://[2002:a9fe:a9fe::1]/',
  'http://[fe80::1]/',
  'http://[febf::1]/',
  'http://[fd00:ec2::254]/',
  'http://100.100.100.200/',
  'http://192.0.0.192/',
  'http://168.63.129.16/',
];

const HARMLESS = [
  'http://127.0.0.1:5984/',
  'http://10.0.0.1/',
  'https://[::1]:6984/',
  'https://[fd00::1]/',
  'http://[::ffff:10.0.0.1]/',
  'http://[2002:a00:1::]/',
  'http://169.253.169.254/',
  'https://couch.example.org/',
  'http://169.254.169.254.example.org/',
];

describe('a server admin', () => {
  it.each(METADATA)('cannot have %s read', (url) => {
    expect(() => requireOrigin(url, true, {})).toThrow(/replication\.origins/);
  });

  it.each(HARMLESS)('can have %s read', (url) => {
    expect(() => requireOrigin(url, true, {})).not.toThrow();
  });

  it('is told which origin is refused, and what could be done', () => {
    expect(() => requireOrigin('http://u:secret@169.254.169.254:80/x', true, {})).toThrow(
      expect.objectContaining({
        status: 403,
        error: 'forbidden',
        reason:
          'Replications may not connect to http://169.254.169.254. An admin of the server can add it to replication.origins.',
      }),
    );
  });
});

test.each([...METADATA, ...HARMLESS])('others cannot have %s read', (url) => {
  expect(() => requireOrigin(url, false, {})).toThrow(/replication\.origins/);
});

describe('replication.origins', () => {
  const rules = {
    origins: ['https://couch.example.org:6984', 'http://169.254.169.254', 'http://[fe80::1]:5984'],
  };

  it.each([true, false])('counts for everybody, and for nothing else (admin: %s)', (isAdmin) => {
    for (const url of [
      'https://couch.example.org:6984/db/',
      'https://COUCH.example.org:6984/db/',
      'http://169.254.169.254:80/',
      'http://0xa9fea9fe/',
      'http://[fe80:0::1]:5984/',
    ])
      expect(() => requireOrigin(url, isAdmin, rules), url).not.toThrow();
    for (const url of [
      'http://couch.example.org:6984/',
      'https://couch.example.org/',
      'https://couch.example.org.evil.example:6984/',
      'https://couch.example.org:6984@evil.example/',
      'http://169.254.169.254:81/',
      'http://127.0.0.1/',
    ])
      expect(() => requireOrigin(url, isAdmin, rules), url).toThrow(/replication\.origins/);
  });

  it('may name nobody', () => {
    expect(() => requireOrigin('https://couch.example.org', true, { origins: [] })).toThrow(/origins/);
  });
});

test.each([
  ['http://a.example/x', 'http://a.example/y', true],
  ['http://a.example/x', 'https://a.example/x', true],
  ['http://a.example/x', 'https://a.example:8443/x', false],
  ['https://a.example/x', 'http://a.example/x', false],
  ['http://a.example/x', 'http://a.example:81/x', false],
  ['http://a.example/x', 'http://u:p@a.example/x', false],
  ['http://a.example/x', 'http://b.example/x', false],
  ['http://a.example/x', 'https://b.example/x', false],
  ['http://a.example/x', 'http://169.254.169.254/x', false],
])('a request to %s that is sent on to %s is followed: %s', (from, to, isFollowed) => {
  expect(mayFollow(from, new URL(to), true, {})).toBe(isFollowed);
});

test('a request is sent on by HTTPS only where that may be connected to', () => {
  const rules = { origins: ['http://a.example'] };
  expect(mayFollow('http://a.example/x', new URL('https://a.example/x'), true, rules)).toBe(false);
});

test.each(['169.254.0.1', 'fe80::1%eth0', '::ffff:169.254.169.254'])(
  '%s of a resolver is guarded',
  (address) => {
    expect(isGuarded(address)).toBe(true);
  },
);

test.each(['name.example', '', '1.2.3', '::ffff:8.8.8.8', '::1'])('%s is not', (address) => {
  expect(isGuarded(bareHost(address))).toBe(false);
});

// ---- names ----------------------------------------------------------------------------------------------------

const address = (text: string): LookupAddress => ({ address: text, family: text.includes(':') ? 6 : 4 });

/** A resolver that answers otherwise each time. */
function resolver(...answers: string[][]) {
  let asked = 0;
  return {
    resolve: () => Promise.resolve((answers[Math.min(asked++, answers.length - 1)] ?? []).map(address)),
    get asked() {
      return asked;
    },
  };
}

test('a name that leads to a link-local address is refused before anything is tried', async () => {
  const { resolve } = resolver(['10.0.0.1', '169.254.169.254']);
  await expect(
    requireAddresses('http://name.example/', resolve, new AbortController().signal),
  ).rejects.toMatchObject({ status: 403 });
  await expect(
    requireAddresses('http://name.example/', resolver(['10.0.0.1']).resolve, new AbortController().signal),
  ).resolves.toBeUndefined();
});

describe('connections', () => {
  const closers: (() => Promise<unknown>)[] = [];
  afterEach(async () => {
    for (const close of closers.splice(0)) await close();
  });

  async function listen(answer: http.RequestListener): Promise<{ port: number; requests: string[] }> {
    const requests: string[] = [];
    const server = http.createServer((request, response) => {
      requests.push(request.url ?? '');
      answer(request, response);
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    closers.push(() => new Promise((resolve) => server.close(resolve)));
    return { port: (server.address() as AddressInfo).port, requests };
  }

  function peerAt(url: string, resolve: Parameters<typeof guardedLookup>[0]): HttpPeer {
    const dispatcher = newAgent({ lookup: guardedLookup(resolve) });
    closers.push(() => dispatcher.destroy());
    return new HttpPeer({
      url,
      headers: {},
      dispatcher,
      mayFollow: (to) => mayFollow(url, to, true, {}),
    });
  }

  const INFO = '{"update_seq":"0","instance_start_time":"0","doc_count":0,"doc_del_count":0}';
  const { signal } = new AbortController();

  it('use the addresses that were looked at', async () => {
    const { port, requests } = await listen((_request, response) => response.end(INFO));
    const { resolve } = resolver(['127.0.0.1']);
    const peer = peerAt(`http://name.example:${port}/db/`, resolve);
    await peer.info(signal);
    expect(requests).toEqual(['/db/']);
  });

  it('are refused to a name that is resolved otherwise the second time', async () => {
    const { port, requests } = await listen((_request, response) => {
      response.setHeader('connection', 'close');
      response.end(INFO);
    });
    const names = resolver(['127.0.0.1'], ['127.0.0.1'], ['169.254.169.254']);
    await requireAddresses('http://name.example/', names.resolve, signal);
    const peer = peerAt(`http://name.example:${port}/db/`, names.resolve);
    await peer.info(signal);
    await expect(peer.info(signal)).rejects.toMatchObject({
      name: 'PeerUnreachable',
      message: 'the connection failed (EACCES)',
    });
    expect(names.asked).toBe(3);
    expect(requests).toHaveLength(1);
  });

  it('are not made to where a server sends a request on', async () => {
    const inner = await listen((_request, response) => response.end(INFO));
    const outer = await listen((_request, response) => {
      response.writeHead(302, { location: `http://127.0.0.1:${inner.port}/latest/` }).end();
    });
    const { resolve } = resolver(['127.0.0.1']);
    await expect(peerAt(`http://127.0.0.1:${outer.port}/db/`, resolve).info(signal)).rejects.toMatchObject({
      status: 302,
    });
    expect(inner.requests).toEqual([]);
  });
});
