import { mkdtemp, rm } from 'node:fs/promises';
import http from 'node:http';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { loadConfig } from '../../../src/config/load.js';
import type { ConfigValues } from '../../../src/config/schema.js';
import { createGateway, type Gateway, type GatewayOptions } from '../../../src/gateway.js';
import { hashPassword } from '../../../src/auth/password.js';

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: unknown;
}

export interface Asking {
  /** `name:password`; the server admin when left out, `null` for nobody. */
  readonly as?: string | null;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly json?: unknown;
  readonly text?: string;
}

export type Users = Awaited<ReturnType<typeof startUsers>>;

/** Cheap hashes: what a password costs is not what these tests are about. */
const CHEAP = { passwords: { iterations: 2 } };

/** A whole gateway with the admin `admin:secret`, and what one may ask it. */
export async function startUsers(settings: ConfigValues = {}, data?: string, options?: GatewayOptions) {
  const folder = data ?? (await mkdtemp(path.join(tmpdir(), 'causeway-test-')));
  const values: ConfigValues = {
    port: 0,
    data: folder,
    admins: { admin: await hashPassword('secret', 1) },
    log: { level: 'silent' },
    ...CHEAP,
    ...settings,
  };
  const gateway: Gateway = await createGateway(loadConfig({ values }), options);
  const { port } = new URL(gateway.url);

  const ask = (method: string, url: string, asking: Asking = {}): Promise<Answer> =>
    send(Number(port), method, url, asking);
  const documentOf = (name: string): string => `/_users/org.couchdb.user:${encodeURIComponent(name)}`;

  return {
    gateway,
    folder,
    port: Number(port),
    ask,
    documentOf,
    /** Makes or changes a user as the server admin. */
    async put(name: string, members: Record<string, unknown> = {}): Promise<string> {
      const { body } = await ask('GET', documentOf(name));
      const { _rev } = body as { _rev?: string };
      const json = { name, type: 'user', roles: [], ...(_rev !== undefined && { _rev }), ...members };
      const answer = await ask('PUT', documentOf(name), { json });
      if (answer.status !== 201) throw new Error(JSON.stringify(answer.body));
      return (answer.body as { rev: string }).rev;
    },
    /** Who one is with these credentials: roles, or the status. */
    async whoIs(as: string): Promise<readonly string[] | number> {
      const { status, body } = await ask('GET', '/_session', { as });
      return status === 200 ? (body as { userCtx: { roles: string[] } }).userCtx.roles : status;
    },
    async read(name: string): Promise<Record<string, unknown>> {
      return (await ask('GET', documentOf(name))).body as Record<string, unknown>;
    },
    /** Lets everybody use `_users`, as an app with sign-up does. */
    async openToAll(admins: Record<string, unknown> = { roles: ['_admin'] }): Promise<void> {
      const json = { admins, members: { names: [], roles: [] } };
      const { status } = await ask('PUT', '/_users/_security', { json });
      if (status !== 200) throw new Error('the configuration does not let the security object be set');
    },
    async stop(): Promise<void> {
      await gateway.close();
      if (data === undefined) await rm(folder, { recursive: true, force: true });
    },
  };
}

function send(port: number, method: string, url: string, asking: Asking): Promise<Answer> {
  const { as = 'admin:secret', json, text = json === undefined ? undefined : JSON.stringify(json) } = asking;
  const headers = {
    accept: 'application/json',
    ...(as !== null && { authorization: `Basic ${Buffer.from(as).toString('base64')}` }),
    ...(text !== undefined && {
      'content-type': 'application/json',
      'content-length': Buffer.byteLength(text),
    }),
    ...asking.headers,
  };
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, method, path: url, headers, agent: false };
    const request = http.request(options, (response) => {
      const chunks: Buffer[] = [];
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('error', reject);
      response.on('end', () => {
        const { statusCode = 0, headers: answered } = response;
        resolve({ status: statusCode, headers: answered, body: parse(Buffer.concat(chunks).toString()) });
      });
    });
    request.on('error', reject);
    request.end(text);
  });
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}
