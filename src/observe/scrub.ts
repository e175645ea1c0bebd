const SECRET_NAME =
  /^(authorization|proxy-?authorization|cookie|set-?cookie|authsession|pass|passwd|password|password_?(sha|hash|scheme)|derived_key|salt|secret|token|access_?token|admins|credentials?)$/i;

const URL_CREDENTIALS = /([a-z][a-z0-9+.-]*:\/\/)[^\s/?#@"']+(?:@[^\s/?#@"']+)*@/gi;

/** Nobody is asked for secrets in a URL; a form that was sent in a wrong way puts them there. */
const URL_PARAMETERS =
  /([?&](?:pass|passwd|password|secret|(?:access_?)?token|authorization|jwt)=)[^&#\s"']+/gi;

const MASK = '***';
const MAX_DEPTH = 8;

/** A copy of a value in which what could be a secret is masked; `Error`s and other class instances stay. */
export function scrub<T>(value: T): T {
  return scrubValue(value, 0) as T;
}

function scrubValue(value: unknown, depth: number): unknown {
  if (typeof value === 'string') return scrubText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (depth >= MAX_DEPTH) return '[too deep]';
  if (Array.isArray(value)) return value.map((item) => scrubValue(item, depth + 1));
  if (!isPlain(value)) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, item]) => [
      name,
      SECRET_NAME.test(name) && item !== undefined && item !== null ? MASK : scrubValue(item, depth + 1),
    ]),
  );
}

/** Masks the name and password that a URL may carry, and parameters that are called like secrets. */
export function scrubText(text: string): string {
  const anonymous = text.includes('@') ? text.replace(URL_CREDENTIALS, `$1${MASK}@`) : text;
  return anonymous.includes('=') ? anonymous.replace(URL_PARAMETERS, `$1${MASK}`) : anonymous;
}

function isPlain(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value);
  // An error as its serializer leaves it has a prototype of its own, with nothing but accessors.
  return prototype === null || prototype === Object.prototype || 'raw' in value;
}
