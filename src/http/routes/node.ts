import { memoryUsage, uptime, version, versions } from 'node:process';
import { NODE } from './server.js';
import type { AddResource } from './index.js';
import { badRequest, notFound } from '../../errors.js';
import type { Exchange } from '../exchange.js';
import { onServer, type ServerHandler } from '../resource.js';

export function nodeRoutes(add: AddResource): void {
  add({ path: '/_node', allow: 'GET', methods: {}, other: onServer('serverAdmin', incomplete) });
  add({ path: '/_node/:node', allow: 'GET', methods: {}, other: onServer('serverAdmin', onNode(name)) });
  add({ path: '/_node/:node/*', allow: 'GET', methods: {}, other: onServer('serverAdmin', onNode(unknown)) });
  add({
    path: '/_node/:node/_versions',
    allow: 'GET',
    methods: { GET: onServer('serverAdmin', onNode(showVersions)) },
    other: onServer('serverAdmin'),
  });
  for (const [path, run] of [
    ['_stats', stats],
    ['_stats/*', stats],
    ['_system', system],
    ['_prometheus', prometheus],
  ] as const) {
    add({
      path: `/_node/:node/${path}`,
      allow: 'GET',
      methods: { GET: onServer('metrics', onNode(run)) },
      other: onServer('metrics'),
    });
  }
}

/** There is one node, which may be called `_local`. */
export function onNode(run: ServerHandler): ServerHandler {
  return (exchange) => {
    const node = exchange.param('node');
    if (node !== '_local' && node !== NODE) throw notFound(`no such node: ${node}`);
    return run(exchange);
  };
}

function incomplete(): never {
  throw badRequest('Incomplete path to _node request');
}

function unknown(): never {
  throw notFound('missing');
}

function name(exchange: Exchange): void {
  exchange.json(200, JSON.stringify({ name: NODE }));
}

function showVersions(exchange: Exchange): void {
  const causeway = exchange.server.identity.version;
  exchange.json(
    200,
    JSON.stringify({ causeway: { version: causeway }, nodejs: { version, v8: versions.v8 } }),
  );
}

/** Figures of the process under the names that CouchDB's monitors look for. */
function system(exchange: Exchange): void {
  const { rss, heapTotal, heapUsed, external } = memoryUsage();
  const memory = { rss, heap_total: heapTotal, heap_used: heapUsed, external };
  exchange.json(200, JSON.stringify({ uptime: Math.floor(uptime()), memory, process_count: 1 }));
}

function stats(exchange: Exchange): void {
  const all: unknown = {
    couchdb: {
      httpd: {
        clients_requesting_changes: {
          value: exchange.server.streams,
          type: 'gauge',
          desc: 'number of answers that are being streamed',
        },
      },
    },
  };
  let found = all;
  for (const part of exchange.param('*').split('/')) {
    if (part === '') continue;
    if (typeof found !== 'object' || found === null || !Object.hasOwn(found, part)) throw notFound('missing');
    found = (found as Record<string, unknown>)[part];
  }
  exchange.json(200, JSON.stringify(found));
}

function prometheus(exchange: Exchange): void {
  const lines = [
    '# TYPE couchdb_uptime_seconds gauge',
    `couchdb_uptime_seconds ${String(Math.floor(uptime()))}`,
    '# TYPE process_resident_memory_bytes gauge',
    `process_resident_memory_bytes ${String(memoryUsage.rss())}`,
    '# TYPE couchdb_httpd_clients_requesting_changes gauge',
    `couchdb_httpd_clients_requesting_changes ${String(exchange.server.streams)}`,
  ];
  exchange.send(200, 'text/plain; version=2.0', `${lines.join('\n')}\n`);
}
