import { badRequest, CouchError } from '../errors.js';

/** Whether an Accept header admits a media type, with CouchDB's reading: none admits all, `q=0` excludes. */
export function accepts(header: string | undefined, type: string): boolean {
  if (header === undefined || header === '*/*') return true;
  if (header === type) return true;
  const family = `${type.slice(0, type.indexOf('/'))}/*`;
  let admitted = false;
  for (const range of header.split(',')) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    const fits = name === type || name === family;
    if (!fits && name !== '*/*') continue;
    if (quality(parameters) > 0) admitted = true;
    else if (fits) return false;
  }
  return admitted;
}

/** Which of what we have an Accept-Encoding header admits. */
export interface AcceptedEncodings {
  readonly gzip: boolean;
  readonly identity: boolean;
}

/** @throws CouchError 406 where it admits nothing that we have, 400 where it is malformed */
export function acceptedEncodings(header: string | undefined): AcceptedEncodings {
  const found = new Map<string, boolean>();
  for (const range of header?.split(',') ?? []) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase());
    if (parameters.some((one) => one.startsWith('q=') && !/^q=(0(\.\d*)?|1(\.0*)?)$/.test(one))) {
      throw badRequest('malformed Accept-Encoding header');
    }
    if (!found.has(name)) found.set(name, quality(parameters) > 0);
  }
  const others = found.get('*');
  const gzip = found.get('gzip') ?? others ?? false;
  // Nobody has to name it.
  const identity = found.get('identity') ?? others ?? true;
  if (!gzip && !identity) throw new CouchError(406, 'not_acceptable', 'unsupported encoding');
  return { gzip, identity };
}

function quality(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    if (parameter.startsWith('q=')) {
      const q = Number(parameter.slice(2));
      return Number.isNaN(q) ? 0 : q;
    }
  }
  return 1;
}
