import type { Work } from '../../json/turns.js';
import { noteDigest } from '../digest.js';
import { type Outline, readLike, readOutline } from '../outline.js';
import type { AttachmentSummary, Content, ConflictGiven, ResolutionText } from '../types.js';
import { type ObjectValue, Values } from '../value.js';
import { Fields } from './fields.js';
import { type Base, Merger, type MergeRules, UNKNOWN } from './merger.js';
import { type BuiltInOptions, type FieldRule, fieldRules } from './options.js';

/** See three-way.md. */
export function threeWay({ fields, removed }: BuiltInOptions<'three-way'>): Merging {
  return folding(rulesOf(fieldRules(fields), { removed }));
}

export type Merging = (conflict: ConflictGiven) => Work<ResolutionText>;

export function rulesOf(
  fields: Readonly<Record<string, FieldRule>>,
  { removed, arrays = 'atomic', addWithoutBase = false }: Pick<MergeRules, 'removed'> & Partial<MergeRules>,
): MergeRules {
  const haveCounters = Object.values(fields).some(({ as }) => as === 'counter');
  return { fields: new Fields(fields), haveCounters, removed, arrays, addWithoutBase };
}

/**
 * Takes one leaf after the other in, each with what was done since the ancestor that it shares with those before it: so
 * each edit counts once.
 */
export function folding(rules: MergeRules): Merging {
  return function* ({ leaves }) {
    const reader = new Reader();
    const merger = new Merger(reader.values, rules);
    const [winner, ...others] = leaves;
    if (winner === undefined) return { kind: 'defer', reason: 'no leaves' };
    let { body, attachments } = yield* reader.read(winner.content);
    for (const { content, base } of others) {
      const theirs = yield* reader.read(content);
      const before: { [Part in keyof Parts]: Base } =
        base === undefined ? NOT_KNOWN : yield* reader.read(base.content);
      body = yield* merger.members(before.body, body, theirs.body, []);
      attachments = yield* merger.members(before.attachments, attachments, theirs.attachments, ATTACHMENTS);
    }
    const { clashes } = merger;
    if (clashes.size > 0) {
      const reason = [...new Set(clashes.values())].sort().join('; ');
      return { kind: 'defer', reason, paths: [...clashes.keys()] };
    }
    const content = { body: body.text.slice(1, -1), attachments: reader.summaries(attachments) };
    yield* noteDigest(content, body);
    return { kind: 'merge', deleted: false, content };
  };
}

const ATTACHMENTS = ['_attachments'];

interface Parts {
  readonly body: ObjectValue;
  readonly attachments: ObjectValue;
}

const NOT_KNOWN = { body: UNKNOWN, attachments: UNKNOWN } as const;

/** Reads contents so that they can be compared with each other. */
class Reader {
  readonly values = new Values();
  /** By what tells attachments apart, which is their text as values. */
  readonly #summaries = new Map<string, AttachmentSummary>();
  /** Leaves mostly share their base. */
  readonly #known = new Map<Content, Parts>();
  /** The body that was read first: the others mostly differ little from it. */
  #first: Outline | undefined;

  *read(content: Content): Work<Parts> {
    const known = this.#known.get(content);
    if (known !== undefined) return known;
    const parts = { body: yield* this.#body(content), attachments: this.#attachments(content) };
    this.#known.set(content, parts);
    return parts;
  }

  *#body({ body }: Content): Work<ObjectValue> {
    if (this.#first !== undefined) return yield* readLike(this.values, body, this.#first);
    this.#first = yield* readOutline(this.values, body);
    return this.#first.object;
  }

  /** Attachments as values that are equal where they have the same bytes and content type. */
  #attachments(content: Content): ObjectValue {
    const members = Array.from(content.attachments, ([name, summary]) => {
      const text = JSON.stringify([summary.digest, summary.contentType]);
      this.#summaries.set(text, summary);
      return [name, this.values.scalar('literal', text)] as const;
    });
    return this.values.object(new Map(members));
  }

  summaries({ members }: ObjectValue): ReadonlyMap<string, AttachmentSummary> {
    return new Map(
      Array.from(members, ([name, { text }]) => [name, this.#summaries.get(text)] as const).filter(
        (entry): entry is [string, AttachmentSummary] => entry[1] !== undefined,
      ),
    );
  }
}
