// express-pouchdb over PouchDB's LevelDB adapter: `node express-pouchdb.cjs FOLDER-WITH-PACKAGES DATA`.
'use strict';
const { createRequire } = require('node:module');
const path = require('node:path');

const [packages, data] = process.argv.slice(2);
const load = createRequire(path.join(packages, 'package.json'));
const PouchDB = load('pouchdb').defaults({ prefix: `${data}/` });
const app = load('express')();
app.use(load('express-pouchdb')(PouchDB, { inMemoryConfig: true, logPath: '/dev/null' }));
const server = app.listen(0, '127.0.0.1', () => {
  console.log(`http://127.0.0.1:${server.address().port}`);
});
