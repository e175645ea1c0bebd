import type { Attachment } from '../attachments/members.js';
import * as layout from '../layout.js';
import { pagesOf } from '../pages.js';
import { type CheckedForms, checkEncoding, lengthOf } from './attachment-bytes.js';
import { type Context, READING, REMEMBERED } from './context.js';
import type { FindingCode } from './findings.js';
import type { Marks } from './marks.js';
import {
  digestsElsewhere,
  isOwner,
  type NamedOwners,
  type Owners,
  ownersElsewhere,
  readOwners,
} from './owners.js';
import { Recent } from './recent.js';

/** So many owners, and so many pairs of forms, are kept in memory. */
const OWNERS = 200_000;
const PAIRS = 10_000;

/** A revision with its attachments. */
interface Owner {
  /** As who it stands among those that have them; `id@rev` when left out. */
  readonly owner?: string;
  readonly id: string;
  readonly rev: string;
  readonly attachments: ReadonlyMap<string, Attachment>;
}

/** Checks that what bodies have attached is stored and says so, and that nothing else is. */
export class AttachmentChecks {
  readonly #owners = new Recent<string, Owners | 'none'>(OWNERS, (owners) =>
    typeof owners === 'string' ? 1 : owners.named.size + 1,
  );
  readonly #encodings = new Recent<string, string>(PAIRS);
  /** References that bodies ask for, and that are there. */
  #found = 0;
  /** Digests that no entry has, though bodies ask for them. */
  readonly #unnamed = new Set<string>();

  constructor(
    private readonly context: Context,
    private readonly forms: CheckedForms,
  ) {}

  /** Checks the attachments of a revision whose body is kept. */
  async check({ id, rev, attachments, owner = `${id}@${rev}` }: Owner): Promise<void> {
    const digests = new Set<string>();
    for (const [name, one] of attachments) {
      digests.add(one.digest);
      if (one.encoded !== undefined) digests.add(one.encoded.digest);
      const wrong = await this.#wrongBytes(one);
      if (wrong === undefined) continue;
      const problem = `attachment ${JSON.stringify(name)} of revision ${rev}: ${wrong.problem}`;
      this.context.report({ code: wrong.code, problem, document: id });
    }
    for (const digest of digests) await this.#checkOwner(digest, { id, rev, ref: owner });
  }

  async #checkOwner(
    digest: string,
    { id, rev, ref }: { id: string; rev: string; ref: string },
  ): Promise<void> {
    const owners = await this.#ownersOf(digest);
    if (owners === 'unknown' || owners === 'damaged') return;
    if (owners !== 'none' && (owners.named.has(ref) || (await this.#isElsewhere(owners, digest, ref)))) {
      this.#found++;
      return;
    }
    if (owners === 'none' && this.#unnamed.size < REMEMBERED) this.#unnamed.add(digest);
    const problem = `revision ${rev} is not among those that have the attachment ${digest}`;
    this.context.report({ code: 'attachment_refs', problem, document: id });
  }

  #isElsewhere({ elsewhere }: NamedOwners, digest: string, ref: string): Promise<boolean> {
    return elsewhere ? this.context.level.has(layout.refKey(digest, ref)) : Promise.resolve(false);
  }

  async #ownersOf(digest: string): Promise<Owners | 'none'> {
    const known = this.#owners.get(digest);
    if (known !== undefined) return known;
    const text = await this.context.level.get(layout.attachments.key(digest));
    const owners = text === undefined ? 'none' : readOwners(text);
    this.#owners.add(digest, owners);
    return owners;
  }

  async #wrongBytes({ digest, length, encoded }: Attachment): Promise<Wrong | undefined> {
    const wrong = await this.#wrongForm(digest, length);
    if (wrong !== undefined || encoded === undefined) return wrong;
    return (
      (await this.#wrongForm(encoded.digest, encoded.length)) ?? (await this.#wrongEncoding(digest, encoded))
    );
  }

  async #wrongForm(digest: string, length: number): Promise<Wrong | undefined> {
    const damage = this.forms.damaged.get(digest);
    if (damage !== undefined) return { code: 'attachment_bytes_damaged', problem: damage };
    const stored = this.forms.lengths.get(digest) ?? (await lengthOf(this.context.level, digest));
    if (stored === undefined)
      return { code: 'attachment_bytes_missing', problem: `the bytes of ${digest} are missing` };
    // PouchDB stores stubs as it is given them; what they lack is put in when the indexes are made.
    if (stored === length || (!this.context.indexed && length === 0)) return undefined;
    const problem = `${digest} has ${String(stored)} bytes, not ${String(length)}`;
    return { code: 'attachment_length', problem };
  }

  async #wrongEncoding(
    digest: string,
    encoded: { digest: string; length: number },
  ): Promise<Wrong | undefined> {
    const pair = `${digest} ${encoded.digest}`;
    let problem = this.#encodings.get(pair);
    if (problem === undefined) {
      problem = (await checkEncoding(this.context.level, digest, encoded)) ?? '';
      this.#encodings.add(pair, problem);
    }
    return problem === '' ? undefined : { code: 'attachment_encoding', problem };
  }

  /** After all bodies: what is stored that none of them asks for. */
  async finish({ digests: marked }: Marks): Promise<void> {
    const { level, recount, report } = this.context;
    // Each one that was found is another of those that are stored: there are others only where the counts differ.
    if (recount.isWhole && this.#found < this.forms.owners) await this.#findStrayOwners();
    for (const sublevel of [layout.binaries, layout.chunked]) {
      const keys = level.keys({ ...READING, gte: sublevel.start, lt: sublevel.end });
      for await (const page of pagesOf(keys, 1000)) {
        const digests = page.map((key) => sublevel.strip(key));
        const named = await level.hasMany(digests.map((digest) => layout.attachments.key(digest)));
        digests.forEach((digest, at) => {
          if (named[at] === true || this.#unnamed.has(digest) || marked.has(digest)) return;
          report({
            code: 'attachment_stray',
            problem: `there are bytes of ${digest}, which no revision has`,
          });
        });
      }
    }
    await this.#checkElsewhere();
  }

  /** Revisions that stand one by one are read only where the entry of their attachment says so. */
  async #checkElsewhere(): Promise<void> {
    for await (const digest of digestsElsewhere(this.context.level)) {
      const owners = await this.#ownersOf(digest);
      if (owners === 'damaged' || this.#unnamed.has(digest)) continue;
      if (typeof owners !== 'string' && owners.elsewhere) continue;
      const problem = `revisions are said to have ${digest} where nobody looks for them`;
      this.context.report({ code: 'attachment_stray', problem });
    }
  }

  async #findStrayOwners(): Promise<void> {
    const { level } = this.context;
    const entries = level.iterator({ ...READING, gte: layout.attachments.start, lt: layout.attachments.end });
    for await (const page of pagesOf(entries, 100)) {
      for (const [key, text] of page) {
        const digest = layout.attachments.strip(key);
        const owners = readOwners(text);
        if (typeof owners === 'string') continue;
        await this.#findStrays(digest, owners.named);
        if (!owners.elsewhere) continue;
        for await (const some of ownersElsewhere(level, digest)) await this.#findStrays(digest, some);
      }
    }
  }

  async #findStrays(digest: string, owners: Iterable<string>): Promise<void> {
    for (const owner of owners) {
      if (await isOwner(this.context.level, owner, digest)) continue;
      const problem = `${owner} is said to have ${digest}, but has it not`;
      this.context.report({ code: 'attachment_stray', problem });
    }
  }
}

interface Wrong {
  readonly code: FindingCode;
  readonly problem: string;
}
