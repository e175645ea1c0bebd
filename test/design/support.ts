import type { DesignFunctions } from '../../src/design/types.js';
import type { Database } from '../../src/store/types/database.js';
import { startApp, type TestApp } from '../http/app.js';

export type Cage = Awaited<ReturnType<typeof openCage>>;

/** Databases with design documents, whose functions are called without HTTP. */
export async function openCage(functions: Readonly<Record<string, number>> = {}) {
  const app: TestApp = await startApp({ functions });
  let count = 0;

  /** Writes a design document `_design/d`. */
  async function write(name: string, design: object): Promise<void> {
    const path = `/${name}/_design/d`;
    const { body: before } = await app.request('GET', path);
    const { _rev: rev } = before as { _rev?: string };
    const answer = await app.request('PUT', path, { json: { ...design, ...(rev && { _rev: rev }) } });
    if (answer.status !== 201) throw new Error(answer.text);
  }

  const use = <T>(name: string, run: (db: Database) => T): Promise<T> =>
    app.databases.use(name, (db) => Promise.resolve(run(db)));

  return {
    app,
    write,
    /** The functions of `_design/d` in a database, as they are now. */
    functions: (name: string, signal?: AbortSignal): Promise<DesignFunctions> =>
      use(name, (db) => app.sandbox.design(db, '_design/d', signal)),
    /** Those of a new database. */
    async of(design: object): Promise<DesignFunctions> {
      const name = `db${++count}`;
      await app.request('PUT', `/${name}`);
      await write(name, design);
      return this.functions(name);
    },
    /** What a show function with this body makes of `req`. */
    async show(body: string, request: object = {}): Promise<unknown> {
      const functions = await this.of({ shows: { s: `function (doc, req) { ${body} }` } });
      return JSON.parse(await functions.show('s', 'null', JSON.stringify({ path: [], ...request })));
    },
    close: () => app.stop(),
  };
}
