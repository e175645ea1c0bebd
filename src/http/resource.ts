import type { FastifyInstance } from 'fastify';
import type { Right } from '../auth/rights.js';
import type { Database } from '../store/types/database.js';
import type { Exchange } from './exchange.js';
import type { Server } from './server.js';

/** What may be asked of the paths of the server; see answering.ts for how it is answered. */

/** What a handler returns: it has answered once that is settled. */
export type Answer = void | Promise<void>;

/** What a method of a resource needs and does. */
export type Operation =
  | {
      readonly on: 'server';
      readonly right: Right;
      readonly json: boolean;
      readonly run: ServerHandler | undefined;
    }
  | {
      readonly on: 'place';
      readonly right: Right;
      readonly json: boolean;
      readonly run: ServerHandler | undefined;
    }
  | {
      readonly on: 'database';
      readonly right: Right;
      readonly json: boolean;
      readonly run: DatabaseHandler | undefined;
    };

export type ServerHandler = (exchange: Exchange) => Answer;
export type DatabaseHandler = (exchange: Exchange, db: Database) => Answer;

/** An operation on the server itself. */
export const onServer = (right: Right, run?: ServerHandler): Operation => ({
  on: 'server',
  right,
  json: false,
  run,
});

/** An operation on the database that the path names in `:db`. */
export const onDatabase = (right: Right, run?: DatabaseHandler): Operation => ({
  on: 'database',
  right,
  json: false,
  run,
});

/** An operation on what this server knows of the database that the path names in `:db`, wherever that is. */
export const aboutDatabase = (right: Right, run?: ServerHandler): Operation => ({
  on: 'place',
  right,
  json: false,
  run,
});

/** An operation whose request must have the type application/json. */
export const json = <T extends Operation>(operation: T): T => ({ ...operation, json: true });

/** Everything that may be asked of one path. */
export interface Resource {
  /** As Fastify has it, `/:db/_all_docs`. */
  readonly path: string;
  /** What a 405 names, with CouchDB's choice and order of methods. */
  readonly allow: string;
  readonly methods: Readonly<Record<string, Operation>>;
  /** Judges who may be told that a method is not allowed. */
  readonly other: Operation;
}

const tables = new WeakMap<FastifyInstance, Resource[]>();

export interface Route {
  readonly path: string;
  readonly method: string;
  readonly right: Right;
}

/** Every method of every path with the right that it needs; `*` stands for the methods that are not allowed. */
export function routeTable(app: FastifyInstance): Route[] {
  return (tables.get(app) ?? []).flatMap(({ path, methods, other }) => [
    ...Object.entries(methods).map(([method, { right }]) => ({ path, method, right })),
    { path, method: '*', right: other.right },
  ]);
}

/** Answers all methods of a path. */
export function addResource(app: FastifyInstance, server: Server, resource: Resource): void {
  const table = tables.get(app) ?? [];
  tables.set(app, table);
  table.push(resource);
  server.resources.add(resource);
}
