import { createHmac } from 'node:crypto';
import { Refusal, type Server, serverAt } from './server.js';

/** Nobody has this name. */
const PROBE = 'setup-upstream-probe';

/**
 * Whether a gateway may tell the upstream by CouchDB's proxy authentication who asks. Where that does not ask for a proof,
 * whoever reaches it can be anybody, so that must not be switched on.
 * @param server asked as a server admin
 * @throws Refusal with what to change
 */
export async function requireProxySecret(server: Server, url: string, secret: string): Promise<void> {
  for (const node of await nodesOf(server)) await requireSettings(server, node);
  const name = { 'x-auth-couchdb-username': PROBE, 'x-auth-couchdb-roles': '' };
  if ((await whoIs(url, name)) === PROBE)
    throw new Refusal(
      'the upstream believes whoever says who they are, without a token: set proxy_use_secret = true in its section chttpd_auth at once',
    );
  const token = createHmac('sha256', secret).update(PROBE).digest('hex');
  if ((await whoIs(url, { ...name, 'x-auth-couchdb-token': token })) !== PROBE)
    throw new Refusal(
      'the upstream does not take tokens of this secret: it has to be the secret of its section chttpd_auth',
    );
}

async function nodesOf(server: Server): Promise<readonly string[]> {
  const { cluster_nodes: nodes } = await server.get<{ cluster_nodes: string[] }>('_membership');
  return nodes;
}

async function requireSettings(server: Server, node: string): Promise<void> {
  const setting = (key: string): Promise<string | undefined> =>
    server.find<string>(`_node/${encodeURIComponent(node)}/_config/${key}`);
  if ((await setting('chttpd_auth/proxy_use_secret')) !== 'true')
    throw new Refusal(
      `proxy_use_secret is not true at ${node}: set it in its section chttpd_auth, or upstream.proxySecretFile would have it believe anybody`,
    );
}

async function whoIs(url: string, headers: Readonly<Record<string, string>>): Promise<string | null> {
  const { userCtx } = await serverAt(url, undefined, headers).get<{ userCtx: { name: string | null } }>(
    '_session',
  );
  return userCtx.name;
}
