import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { PouchProcess } from './pouch.js';

/** As pouchdb-server 4.2.0 hashed it. */
export const FORMER_ADMIN = {
  name: 'admin',
  password: 'geheim',
  hashed:
    '-pbkdf2-e17f774f843c25ce23908f01b7e66f18be7d7f64,1281aa1051b611a1fd15619f1db13c1bb17e1fa1901f312a,10',
};

export const SECURITY = {
  admins: { names: ['boss'], roles: [] },
  members: { names: ['alice'], roles: ['staff'] },
};

/** What `_security` was set to; undefined where it never was. */
export const FORMER_DATABASES: Readonly<Record<string, unknown>> = {
  _users: { members: { names: [], roles: [] } },
  _replicator: undefined,
  simple: undefined,
  'a_b$(c)+-d': SECURITY,
  closed: SECURITY,
  public: {},
  odd: { members: { names: 'alice' } },
  Capital: undefined,
};

export const VIEW_INDEX = 'simple-mrview-29856e6d6c7c438fbaa925dcf4391605';

/** Makes a data directory as pouchdb-server 4.2.0 leaves it: its folders, its list of databases, its configuration. */
export async function makeFormerDirectory(root: string): Promise<void> {
  await mkdir(root, { recursive: true });
  const pouch = new PouchProcess();
  const made = new Set<string>();
  const put = async (folder: string, ...documents: readonly object[]): Promise<void> => {
    made.add(folder);
    const dir = path.join(root, folder);
    await pouch.open(dir);
    for (const document of documents) {
      const { error } = await pouch.put(dir, document);
      if (error !== undefined) throw new Error(`PouchDB refused a document of ${folder}`, { cause: error });
    }
  };
  try {
    for (const [name, security] of Object.entries(FORMER_DATABASES)) {
      await put(name, { _id: 'from', name });
      if (security !== undefined) await put(name, { _id: '_local/_security', security });
      await put('pouch__all_dbs__', { _id: `db_${name}` });
    }
    const data = Buffer.from('hello').toString('base64');
    await put(
      'simple',
      { _id: 'attached', _attachments: { 'x.txt': { content_type: 'text/plain', data } } },
      { _id: '_design/v', views: { all: { map: 'function (doc) { emit(doc._id); }' } } },
    );
    await put(VIEW_INDEX, { _id: 'row' });
    await put('unlisted', { _id: 'x' });
    await put('pouch__all_dbs__', { _id: 'db_vanished' }, { _id: 'db_..' });
    await deleteEntry(pouch, path.join(root, 'pouch__all_dbs__'), 'db_deleted');
    for (const folder of made) await pouch.close(path.join(root, folder));
  } finally {
    await pouch.stop();
  }
  const config = {
    couchdb: { uuid: 'd6d30676-750c-4652-9054-80c358b0bf3f' },
    admins: { [FORMER_ADMIN.name]: FORMER_ADMIN.hashed },
    cors: { origins: 'http://a.example, http://b.example, nonsense' },
    httpd: { enable_cors: true, port: 15984 },
  };
  await writeFile(path.join(root, 'config.json'), JSON.stringify(config, null, 2));
  await writeFile(path.join(root, 'log.txt'), '[info] pouchdb-server has started\n');
}

async function deleteEntry(pouch: PouchProcess, list: string, id: string): Promise<void> {
  const { rev = '' } = await pouch.put(list, { _id: id });
  await pouch.remove(list, id, rev);
}
