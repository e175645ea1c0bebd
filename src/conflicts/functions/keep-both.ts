import type { Work } from '../../json/turns.js';
import { derivedId } from '../revisions.js';
import type { ConflictGiven, ResolutionText } from '../types.js';

/** See keep-both.md. */
// eslint-disable-next-line require-yield -- has the form of the others, and nothing to do that takes long
export function* keepBoth({ id, leaves }: ConflictGiven): Work<ResolutionText> {
  const [winner, ...others] = leaves;
  if (winner === undefined) return { kind: 'defer', reason: 'no leaves' };
  // A copy of a design document would be at work like the document itself: its functions would judge every write.
  if (id.startsWith('_design/'))
    return { kind: 'defer', reason: 'a copy of a design document would be at work, too' };
  const documents = others.map(({ rev }) => ({ id: derivedId(id, rev), rev }));
  return { kind: 'pick', rev: winner.rev, documents };
}
