/** What came of a request that has no answer. */
export interface Failure {
  /** Whether there was no connection; otherwise one was there and broke, or nothing came. */
  readonly isLost: boolean;
  /** Whether there was not even one of TCP, as far as can be known. */
  readonly isUnreachable: boolean;
  /** Whether something else answers in its place. */
  readonly isOther: boolean;
  /** For a person; names no secrets. */
  readonly reason: string;
}

/** What undici and Node say where no connection of TCP came to be; of TLS, where it took too long. */
const UNREACHABLE = new Set([
  'ECONNREFUSED',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'EADDRNOTAVAIL',
  'ETIMEDOUT',
  'UND_ERR_CONNECT_TIMEOUT',
]);

const SILENT = new Set(['UND_ERR_HEADERS_TIMEOUT', 'UND_ERR_BODY_TIMEOUT', 'TimeoutError']);

/** Certificates have many things that can be wrong with them. */
const CERTIFICATE = /CERT|^UNABLE_TO|^ERR_TLS|^HOSTNAME_MISMATCH$/;

export function failureOf(error: unknown): Failure {
  const code = codeOf(error);
  const lost = (reason: string, isOther = false): Failure => ({
    isLost: true,
    isUnreachable: UNREACHABLE.has(code),
    isOther,
    reason,
  });
  if (code === 'SyntaxError') return lost('it is no CouchDB: what it answers is no JSON', true);
  if (CERTIFICATE.test(code)) return lost(`its certificate is not trusted (${code}); see upstream.caFile`);
  if (code.startsWith('ERR_SSL')) return lost(`it does not speak TLS (${code})`);
  if (UNREACHABLE.has(code) || code === 'EPROTO') return lost(`the connection failed (${code})`);
  const reason = SILENT.has(code) ? 'it did not answer in time' : `the connection failed (${code})`;
  return { isLost: false, isUnreachable: false, isOther: false, reason };
}

/** The code of the innermost error that has one. */
function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const { cause, code, name } = error as NodeJS.ErrnoException & { cause?: unknown };
  if (cause instanceof Error) return codeOf(cause);
  const [first] = error instanceof AggregateError ? (error.errors as unknown[]) : [];
  // Of an abort it is a number.
  if (typeof code === 'string') return code;
  return first === undefined ? name : codeOf(first);
}
