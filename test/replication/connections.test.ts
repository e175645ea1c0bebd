import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import http, { type IncomingHttpHeaders, type RequestListener } from 'node:http';
import https from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { describe, expect, it, onTestFinished } from 'vitest';
import { newAgent } from '../../src/replication/http/agent.js';
import { httpPeer } from '../support/peers.js';
import { newFolder } from '../support/store.js';

const never = new AbortController().signal;

/** Listens until the test ends. */
async function listen(server: Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const database: RequestListener = (_request, response) => {
  response.end('{"update_seq":"3-x","doc_count":1,"doc_del_count":0,"instance_start_time":"7"}');
};

const FOUND = { updateSeq: '3-x', isEmpty: false, instanceStartTime: '7' };

describe.runIf(process.env.CI === 'true' || spawnSync('openssl', ['version']).status === 0)('TLS', () => {
  it('is for servers with a certificate that is trusted', async () => {
    const folder = await newFolder();
    const [keyFile, certFile] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
    const names = ['-subj', '/CN=localhost', '-addext', 'subjectAltName=IP:127.0.0.1'];
    const made = ['req', '-x509', '-newkey', 'rsa:2048', '-nodes', '-keyout', keyFile, '-out', certFile];
    execFileSync('openssl', [...made, ...names], { stdio: 'ignore' });
    const [key, cert] = [await readFile(keyFile), await readFile(certFile)];
    const port = await listen(https.createServer({ key, cert }, database));
    const url = `https://127.0.0.1:${port}/db/`;
    const stranger = httpPeer(url, { headers: { authorization: 'Basic c2VjcmV0' } });
    const failure = await stranger.info(never).catch((error: unknown) => error);
    expect(failure).toMatchObject({ name: 'PeerUnreachable' });
    expect(String(failure)).not.toContain('c2VjcmV0');
    const dispatcher = newAgent({ ca: cert });
    onTestFinished(() => dispatcher.destroy());
    expect(await httpPeer(url, { dispatcher }).info(never)).toEqual(FOUND);
  });
});

describe('a server that sends requests elsewhere', () => {
  it('is followed where that is allowed, without credentials for another one', async () => {
    const seen: IncomingHttpHeaders[] = [];
    const other = await listen(
      http.createServer((request, response) => {
        seen.push(request.headers);
        database(request, response);
      }),
    );
    const location = `http://127.0.0.1:${other}/db/`;
    const port = await listen(
      http.createServer((_request, response) => response.writeHead(301, { location }).end()),
    );
    const url = `http://127.0.0.1:${port}/db/`;
    const headers = { authorization: 'Basic c2VjcmV0' };
    await expect(httpPeer(url, { headers }).info(never)).rejects.toMatchObject({ error: 'redirect' });
    expect(seen).toEqual([]);
    const asked: string[] = [];
    const mayFollow = (next: URL): boolean => asked.push(next.href) > 0;
    expect(await httpPeer(url, { headers, mayFollow }).info(never)).toEqual(FOUND);
    expect(asked).toEqual([location]);
    expect(seen.map(({ authorization }) => authorization)).toEqual([undefined]);
  });
});

it.each([
  ['a line feed', 'line\nfeed'],
  ['very many characters', 'long '.repeat(20_000)],
])('takes heads of attachments as CouchDB writes them, whose names have %s', async (_, name) => {
  const stub = { content_type: 'text/plain', revpos: 1, digest: 'md5-x', length: 3, follows: true };
  const doc = JSON.stringify({ _id: 'a', _rev: '1-a', _attachments: { [name]: stub } });
  const head = `Content-Disposition: attachment; filename="${name}"\r\nContent-Type: text/plain\r\nContent-Length: 3`;
  const related = `--in\r\nContent-Type: application/json\r\n\r\n${doc}\r\n--in\r\n${head}\r\n\r\nabc\r\n--in--`;
  const mixed = `--out\r\nContent-Type: multipart/related; boundary="in"\r\n\r\n${related}\r\n--out--`;
  const port = await listen(
    http.createServer((_request, response) => {
      response.setHeader('content-type', 'multipart/mixed; boundary="out"').end(mixed);
    }),
  );
  const peer = httpPeer(`http://127.0.0.1:${port}/db/`);
  const wanted = { id: 'a', missing: ['1-a'], possibleAncestors: [] };
  const found: [string, string][] = [];
  for await (const one of peer.open(wanted, never)) {
    if (one.kind !== 'document') throw new Error('it is there');
    for (const { name: at, body } of one.document.attachments) found.push([at, await text(body())]);
  }
  expect(found).toEqual([[name, 'abc']]);
});
