import { badRequest, CouchError, forbidden, notFound } from '../errors.js';
import { FIRST_ADMIN } from './admins.js';
import { hostName } from './cors-schema.js';
import { couchKeyAt, couchTexts, hostOf, isClosed, isClosedSection, refusalOf } from './couchdb.js';
import { without } from './layers.js';
import type { Runtime, Sections } from './runtime.js';
import { adminName } from './schema.js';
import type { Edit, Place, Settings } from './settings.js';

type MutableSections = Map<string, Map<string, string>>;

/** How many texts there may be: each change goes through all of them. */
const MOST_TEXTS = 1000;
/** Characters that all names and texts may have together. */
const MOST_CHARACTERS = 1_000_000;
/** Characters of a name. */
const LONGEST_NAME = 256;

// eslint-disable-next-line no-control-regex -- which are what is refused
const UNPRINTABLE = /[\0-\x08\x0a-\x1f\x7f-\x9f\u2028\u2029]/;

const ADMINS = 'admins';

/**
 * The configuration as CouchDB shows it: texts in sections. Shown is what was given, not the defaults, as CouchDB 3.5
 * does. What takes effect here stands in couchdb.ts; everything else is remembered for whoever asks, and used for nothing.
 */
export class CouchSettings {
  /** @param fixed what is shown, and cannot be set */
  constructor(
    private readonly settings: Settings,
    private readonly fixed: Sections,
  ) {}

  /** All that may be read. */
  sections(): Sections {
    const { below, above } = this.settings.given();
    const all: MutableSections = new Map();
    for (const [section, name, text] of couchTexts(below)) put(all, section, name, text);
    // Whoever edits DATA/runtime.json may put anything there.
    for (const [section, texts] of this.settings.runtime.couchdb)
      for (const [name, text] of texts) if (!isClosed(section, name)) put(all, section, name, text);
    for (const [section, name, text] of couchTexts(above)) put(all, section, name, text);
    for (const [section, texts] of this.fixed)
      for (const [name, text] of texts) put(all, section, name, text);
    all.set('admins', new Map(Object.entries(this.settings.config.admins)));
    return all;
  }

  section(section: string): ReadonlyMap<string, string> {
    return this.sections().get(section) ?? new Map<string, string>();
  }

  /** @throws CouchError 404 */
  get(section: string, name: string): string {
    const text = this.section(section).get(name);
    if (text === undefined) throw unknown();
    return text;
  }

  /**
   * Sets a text; resolves when that is on the disk and in effect.
   * @param readText is called once it is known that the name may be set
   * @param persist false until the next start only
   * @returns what was there before, or an empty text
   * @throws CouchError 400, 403, 413, and what `readText` throws
   */
  async set(
    section: string,
    name: string,
    readText: () => Promise<string>,
    persist: boolean,
  ): Promise<string> {
    requireOpen(section, name);
    const text = (await readText()).trim();
    requirePrintable(section, name, text);
    const fixed = this.fixed.get(section)?.get(name);
    if (fixed === text) return fixed;
    if (fixed !== undefined) throw forbidden(`${section}/${name} cannot be changed over HTTP.`);
    const value = section === ADMINS ? await this.#hashed(name, text) : valid(section, name, text);
    let before = '';
    await this.settings.change(() => {
      requireEffect(section, name, this.#placeOf(section, name));
      before = this.section(section).get(name) ?? '';
      return edited((sections, runtime) => {
        if (section === ADMINS) this.#keepFirst(sections, runtime);
        put(sections, section, name, value);
        requireRoom(sections);
      });
    }, persist);
    if (persist) await this.#forgetPassword(section, name);
    return before;
  }

  /**
   * Takes away a text that was set; what the file says counts again.
   * @param persist false where only what was set until the next start is taken away
   * @returns what was there
   * @throws CouchError 403, 404
   */
  async delete(section: string, name: string, persist: boolean): Promise<string> {
    requireOpen(section, name);
    let before = '';
    await this.settings.change(() => {
      before = this.get(section, name);
      if (this.fixed.get(section)?.has(name) === true)
        throw forbidden(`${section}/${name} cannot be changed over HTTP.`);
      if (section === ADMINS) this.#requireAnother(name);
      const place = this.#placeOf(section, name);
      requireEffect(section, name, place);
      const isSet = this.settings.runtime.couchdb.get(section)?.has(name) === true;
      if (!isSet && place?.layer === 'below')
        throw forbidden(`${section}/${name} is given by ${place.name}: it can be set, but not deleted.`);
      return persist ? removed(section, name) : this.#restored(section, name);
    }, persist);
    if (persist) await this.#forgetPassword(section, name);
    return before;
  }

  /** Sees to it that there is an admin with this password. @throws CouchError as `set` */
  async ensureAdmin(name: string, password: string): Promise<void> {
    const known = this.section(ADMINS).get(name);
    if (known !== undefined && (await this.settings.hasher.verify(password, known))) return;
    await this.set(ADMINS, name, () => Promise.resolve(password), true);
  }

  /** What counts until the next start is again what is kept. */
  #restored(section: string, name: string): Edit {
    const kept = this.settings.stored.couchdb.get(section)?.get(name);
    if (kept === undefined) return removed(section, name);
    return edited((sections) => put(sections, section, name, kept));
  }

  /** Without this one there must be an admin left, who may be the one that the file gives. @throws CouchError 403 */
  #requireAnother(name: string): void {
    const isLast = this.section(ADMINS).size === 1;
    if (isLast && this.settings.placeOf([ADMINS, name], undefined, ['below']) === undefined)
      throw forbidden('The last server admin cannot be deleted.');
  }

  /** The admin whose password the server made stands nowhere as long as it is the only one: with another it would be gone. */
  #keepFirst(sections: MutableSections, runtime: Runtime): void {
    const hash = this.settings.firstAdmin(runtime);
    if (hash !== undefined && this.section(ADMINS).has(FIRST_ADMIN)) put(sections, ADMINS, FIRST_ADMIN, hash);
  }

  /** @throws CouchError 400 */
  async #hashed(name: string, text: string): Promise<string> {
    if (!adminName.safeParse(name).success)
      throw badRequest('The name of an admin has no : and no comma, and does not begin with _ or a space.');
    if (text === '') throw badRequest('The password of an admin must not be empty.');
    const { hasher, config } = this.settings;
    if (!hasher.isHashed(text)) return hasher.hash(text, config.passwords);
    if (!hasher.isKnown(text)) throw badRequest('The hashed password has no known form.');
    return text;
  }

  async #forgetPassword(section: string, name: string): Promise<void> {
    if (section === ADMINS && name === FIRST_ADMIN) await this.settings.forgetPassword();
  }

  #placeOf(section: string, name: string): Place | undefined {
    if (section === ADMINS) return this.settings.placeOf([ADMINS, name], undefined);
    const key = couchKeyAt(section, name)?.key;
    return key && this.settings.placeOf(key.path, key);
  }
}

/** @throws CouchError 403 */
function requireOpen(section: string, name: string): void {
  if (isClosedSection(section)) throw forbidden('Config section blacklisted for modification over HTTP API.');
  if (isClosed(section, name)) throw forbidden(`${section}/${name} can be neither set nor read over HTTP.`);
}

/** @throws CouchError 400 */
function requirePrintable(section: string, name: string, text: string): void {
  if (!isName(section)) throw badRequest('Invalid configuration section');
  const host = hostOf(section);
  if (host !== undefined && !hostName.safeParse(host).success)
    throw badRequest('Invalid configuration section; cors: is followed by the name of a host without a port');
  if (!isName(name)) throw badRequest('Invalid configuration key');
  if (!isPrintable(text)) throw badRequest('Invalid configuration value');
}

const isPrintable = (text: string): boolean => !UNPRINTABLE.test(text);
const isName = (text: string): boolean =>
  isPrintable(text) && !/[[\]]/.test(text) && text.length <= LONGEST_NAME;

/** @throws CouchError 400 */
function valid(section: string, name: string, text: string): string {
  const key = couchKeyAt(section, name);
  const allowed = key && refusalOf(key, text);
  if (allowed !== undefined) throw badRequest(`Invalid configuration value; allowed is ${allowed}`);
  return text;
}

/** What is set must count. @throws CouchError 403 */
function requireEffect(section: string, name: string, place: Place | undefined): void {
  if (place?.layer === 'above')
    throw forbidden(
      `${section}/${name} is given by ${place.name}, which counts for more than what is set over HTTP.`,
    );
}

/** @throws CouchError 413 */
function requireRoom(sections: Sections): void {
  let [count, length] = [0, 0];
  for (const [section, texts] of sections) {
    count += texts.size;
    for (const [name, text] of texts) length += section.length + name.length + text.length;
  }
  if (count > MOST_TEXTS || length > MOST_CHARACTERS)
    throw new CouchError(413, 'too_large', 'the configuration is too large');
}

const unknown = (): CouchError => notFound('unknown_config_value');

function put(sections: MutableSections, section: string, name: string, text: string): void {
  const texts = sections.get(section) ?? new Map<string, string>();
  sections.set(section, texts.set(name, text));
}

/** A change of the sections, on a copy of them. */
function edited(change: (sections: MutableSections, runtime: Runtime) => void): Edit {
  return (runtime) => {
    const sections = new Map(Array.from(runtime.couchdb, ([name, texts]) => [name, new Map(texts)]));
    change(sections, runtime);
    return { ...runtime, couchdb: sections };
  };
}

/** Takes a text away, under whichever name DATA/runtime.json has it. */
function removed(section: string, name: string): Edit {
  const key = couchKeyAt(section, name);
  const path = section === ADMINS ? [ADMINS, name] : key?.section === section ? key.key.path : undefined;
  const remove = edited((sections) => {
    const texts = sections.get(section);
    texts?.delete(name);
    if (texts?.size === 0) sections.delete(section);
  });
  return (runtime) => remove({ ...runtime, config: path ? without(runtime.config, path) : runtime.config });
}
