/** A header such as Content-Type or Content-Disposition, taken apart. */
export interface HeaderParameters {
  /** What stands before the parameters, in lower case. */
  readonly value: string;
  /** By their names in lower case, without quotes; of equal names the first counts. */
  readonly parameters: ReadonlyMap<string, string>;
}

/** The type of a multipart body. */
export interface MultipartType {
  /** `multipart/related` and the like, in lower case. */
  readonly type: string;
  /** As it stands in the body, but for the dashes before it. */
  readonly boundary: string;
  /** The Content-ID of the part that `multipart/related` begins with, where it is named. CouchDB ignores it. */
  readonly start: string | undefined;
}

/** A quoted value may lack its last quote, as mochiweb has it. */
const PARAMETER = /;\s*([^=;\s]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"?|([^;]*))/gs;

/** RFC 2046 has 70 characters of a few kinds; others were seen. */
const BOUNDARY = /^[\x20-\x7e]{1,200}$/;

/** Never fails: what is not a parameter is skipped. The extended form `name*=` is a name like any other. */
export function parseHeaderParameters(header: string): HeaderParameters {
  const [value = ''] = header.split(';', 1);
  const parameters = new Map<string, string>();
  for (const [, name = '', quoted, plain = ''] of header.slice(value.length).matchAll(PARAMETER)) {
    const key = name.toLowerCase();
    if (!parameters.has(key)) parameters.set(key, quoted?.replace(/\\(.)/gs, '$1') ?? plain.trim());
  }
  return { value: value.trim().toLowerCase(), parameters };
}

/** Undefined where a Content-Type is not multipart, or has no boundary that can be looked for. */
export function parseMultipartType(contentType: string | undefined): MultipartType | undefined {
  if (contentType === undefined) return undefined;
  const { value: type, parameters } = parseHeaderParameters(contentType);
  const boundary = parameters.get('boundary');
  if (!/^multipart\/./.test(type) || boundary === undefined || !BOUNDARY.test(boundary)) return undefined;
  return { type, boundary, start: parameters.get('start') };
}
