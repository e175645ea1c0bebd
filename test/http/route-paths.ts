/** A path that a route answers, in a database of this name. */
export const pathOf = (path: string, db: string): string =>
  path
    .replace(':db', db)
    .replace(':node', '_local')
    .replace(/:(docid|name|section|key|partition|function)/g, 'some')
    .replace('*', 'thing');
