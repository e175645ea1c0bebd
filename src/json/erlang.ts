/** So much of a value is quoted in a sentence. */
const MOST = 1000;

/** A JSON value as Erlang prints it with `~w`: CouchDB quotes arguments so in its reasons. */
export const erlangTerm = (value: unknown): string => cut(term(value, bytes));

/** A JSON value as Erlang prints it with `~p`, where texts can be read. */
export const erlangPretty = (value: unknown): string => cut(term(value, readable));

const cut = (text: string): string => (text.length <= MOST ? text : `${text.slice(0, MOST)}…`);

function term(value: unknown, quote: (text: string) => string): string {
  if (typeof value === 'string') return quote(value);
  if (typeof value === 'number') return numeral(value);
  if (Array.isArray(value)) return `[${value.map((element) => term(element, quote)).join(',')}]`;
  if (typeof value !== 'object' || value === null) return String(value);
  const pairs = Object.entries(value).map(([name, inner]) => `{${quote(name)},${term(inner, quote)}}`);
  return `{[${pairs.join(',')}]}`;
}

/** Floating-point numbers always have a point. */
function numeral(value: number): string {
  const text = String(value).replace('e+', 'e');
  return text.includes('e') && !text.includes('.') ? text.replace('e', '.0e') : text;
}

const bytes = (text: string): string => `<<${Buffer.from(text.slice(0, MOST)).join(',')}>>`;

function readable(text: string): string {
  if (/\p{C}/u.test(text)) return bytes(text);
  const quoted = `"${text.replaceAll('\\', '\\\\').replaceAll('"', '\\"')}"`;
  return /^[\0-\x7f]*$/.test(text) ? `<<${quoted}>>` : `<<${quoted}/utf8>>`;
}
