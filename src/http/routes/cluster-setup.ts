import { stored } from './config.js';
import type { AddResource } from './index.js';
import { badRequest } from '../../errors.js';
import { parseJson } from '../../json/text.js';
import type { Exchange } from '../exchange.js';
import { json, onServer } from '../resource.js';

/** Bytes of a request. */
const MAX_REQUEST = 65_536;

const OF_CLUSTERS = new Set(['enable_cluster', 'add_node', 'remove_node', 'receive_cookie']);

/** What installers ask for before they go on with the configuration. */
export function clusterSetupRoutes(add: AddResource): void {
  add({
    path: '/_cluster_setup',
    allow: 'GET,POST',
    methods: {
      GET: onServer('serverAdmin', (exchange) => exchange.json(200, '{"state":"single_node_enabled"}')),
      POST: json(onServer('serverAdmin', setUp)),
    },
    other: onServer('serverAdmin'),
  });
}

/** A server is a single node from its first start on. */
async function setUp(exchange: Exchange): Promise<void> {
  const request = objectIn(await exchange.bodyText(MAX_REQUEST));
  const action = request.get('action');
  if (action === 'enable_single_node') await enableSingleNode(exchange, request);
  else if (action === 'finish_cluster') throw badRequest('Cluster is already finished');
  else if (typeof action === 'string' && OF_CLUSTERS.has(action))
    throw badRequest('A single node cannot become part of a cluster.');
  else throw badRequest("Invalid Action'");
}

/** What is left to do is to have the admin that the installer goes on with. */
async function enableSingleNode(exchange: Exchange, request: ReadonlyMap<string, unknown>): Promise<void> {
  const [name, password] = [request.get('username'), request.get('password')];
  if (name !== undefined || password !== undefined) {
    if (typeof name !== 'string' || typeof password !== 'string')
      throw badRequest('username and password must be strings');
    await stored(exchange.server.couchSettings.ensureAdmin(name, password));
  }
  exchange.json(201, '{"ok":true}');
}

function objectIn(text: string): ReadonlyMap<string, unknown> {
  const value = parse(text);
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw badRequest("Missing JSON body'");
  return new Map(Object.entries(value));
}

function parse(text: string): unknown {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}
