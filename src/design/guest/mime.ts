import { Failure } from './failures.js';

/** Content types by the names that functions use for them. */
const types = new Map<string, readonly string[]>();

/** The other way round; who registered last has a type. */
const names = new Map<string, string>();

export function registerType(name: string, ...contentTypes: readonly string[]): void {
  types.set(name, contentTypes);
  for (const type of contentTypes) names.set(type, name);
}

registerType('all', '*/*');
registerType('text', 'text/plain; charset=utf-8', 'txt');
registerType('html', 'text/html; charset=utf-8');
registerType('xhtml', 'application/xhtml+xml', 'xhtml');
registerType('xml', 'application/xml', 'text/xml', 'application/x-xml');
registerType('js', 'text/javascript', 'application/javascript', 'application/x-javascript');
registerType('css', 'text/css');
registerType('ics', 'text/calendar');
registerType('csv', 'text/csv');
registerType('rss', 'application/rss+xml');
registerType('atom', 'application/atom+xml');
registerType('yaml', 'application/x-yaml', 'text/yaml');
registerType('multipart_form', 'multipart/form-data');
registerType('url_encoded_form', 'application/x-www-form-urlencoded');
registerType('json', 'application/json', 'text/x-json');

type Provider = () => unknown;

/** What a function can answer with, by content type. */
let providers: (readonly [name: string, provide: Provider])[] = [];

export function provides(name: string, provide: Provider): void {
  providers.push([name, provide]);
}

export function forgetProviders(): void {
  providers = [];
}

export const hasProviders = (): boolean => providers.length > 0;

/** What a request says of the answer that it wants. */
export interface Wish {
  readonly query?: { readonly format?: string };
  readonly headers?: { readonly Accept?: string };
}

/** What answers a request, and the content type of that. */
export function provider(
  request: Wish,
  design: object,
): { readonly provide: Provider; readonly type: string | undefined } {
  const format = request.query?.format;
  const accept = request.headers?.Accept;
  const { name, type } = choose(format, accept);
  const chosen = providers.find(([candidate]) => candidate === name);
  if (chosen !== undefined) return { provide: () => chosen[1].call(design), type };
  const supported = providers.map(([candidate]) => types.get(candidate)?.join(', ') ?? candidate);
  throw new Failure(
    'not_acceptable',
    `Content-Type ${accept ?? String(name)} not supported, try one of: ${supported.join(', ')}`,
  );
}

function choose(format: string | undefined, accept: string | undefined): { name?: string; type?: string } {
  if (format) return ofName(format);
  if (!accept) return ofName(providers[0]?.[0] ?? '');
  const type = bestMatch(
    providers.flatMap(([name]) => types.get(name) ?? []),
    accept,
  );
  const name = type === undefined ? undefined : names.get(type);
  return { ...(name !== undefined && { name }), ...(type !== undefined && { type }) };
}

function ofName(name: string): { name: string; type?: string } {
  const type = types.get(name)?.[0];
  return type === undefined ? { name } : { name, type };
}

interface Range {
  readonly type: string;
  readonly subtype: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly quality: number;
}

/** The supported type that an Accept header likes most; of equal ones the first. */
function bestMatch(supported: readonly string[], accept: string): string | undefined {
  const ranges = accept.split(',').map(readRange);
  let best: { readonly type: string; readonly fitness: number; readonly quality: number } | undefined;
  for (const type of supported) {
    const { fitness, quality } = fit(readRange(type), ranges);
    if (quality === 0) continue;
    const isBetter =
      best === undefined || fitness > best.fitness || (fitness === best.fitness && quality > best.quality);
    if (isBetter) best = { type, fitness, quality };
  }
  return best?.type;
}

/** How exactly the closest range names a type, and how much it is liked. */
function fit(
  wanted: Range,
  ranges: readonly Range[],
): { readonly fitness: number; readonly quality: number } {
  let best = { fitness: -1, quality: 0 };
  for (const range of ranges) {
    const isType = range.type === wanted.type || range.type === '*' || wanted.type === '*';
    const isSubtype = range.subtype === wanted.subtype || range.subtype === '*' || wanted.subtype === '*';
    if (!isType || !isSubtype) continue;
    let fitness = (range.type === wanted.type ? 100 : 0) + (range.subtype === wanted.subtype ? 10 : 0);
    for (const [name, value] of wanted.parameters) if (range.parameters.get(name) === value) fitness++;
    if (fitness > best.fitness) best = { fitness, quality: range.quality };
  }
  return best;
}

function readRange(text: string): Range {
  const [full = '', ...rest] = text.split(';').map((part) => part.trim());
  const [type = '*', subtype = '*'] = (full === '*' ? '*/*' : full).split('/');
  const parameters = new Map(
    rest.map((part): [string, string] => {
      const [name = '', value = ''] = part.split('=');
      return [name.trim(), value.trim()];
    }),
  );
  const quality = Number(parameters.get('q') ?? 1);
  parameters.delete('q');
  return { type, subtype, parameters, quality: quality >= 0 && quality <= 1 ? quality : 1 };
}
