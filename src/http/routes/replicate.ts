import type { AddResource } from './index.js';
import { badRequest } from '../../errors.js';
import { valuesInTurns } from '../../json/text.js';
import type { Exchange } from '../exchange.js';
import { json, onServer } from '../resource.js';

export function replicateRoutes(add: AddResource): void {
  add({
    path: '/_replicate',
    allow: 'POST',
    methods: {
      POST: json(onServer('authenticated', replicate)),
      // CouchDB reads the body before it looks at the method.
      GET: onServer('authenticated', () => {
        throw badRequest('Missing request body');
      }),
    },
    other: onServer('authenticated'),
  });
}

/** Answers when the replication is over, or begun where it is continuous. It goes on whether or not anybody waits. */
async function replicate(exchange: Exchange): Promise<void> {
  const members = await exchange.bodyMembers();
  const entries: [name: string, value: unknown][] = [];
  // There may be very many ids of documents.
  for (const [name, text] of members) {
    entries.push([name, (await valuesInTurns(text)) ?? (JSON.parse(text) as unknown)]);
  }
  exchange.forgetBody();
  const { server, user, authMethod } = exchange;
  const hasAccount = authMethod === 'default' || authMethod === 'cookie';
  const { status, body } = await server.replicator.replicate(Object.fromEntries(entries), user, hasAccount);
  exchange.json(status, JSON.stringify(body));
}
