import path from 'node:path';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/** What takes longest: whole servers, and all that happens to them. */
const LONGEST = ['system', 'conformance', 'gateway', 'upstream'];

/** Begins what takes longest first: with what it leaves for the end no worker is left alone for long. */
export class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    return sorted.toSorted((a, b) => a.project.name.localeCompare(b.project.name) || rank(a) - rank(b));
  }
}

/** Of the folder of a file, the longest first. */
function rank({ moduleId }: TestSpecification): number {
  const [folder = ''] = path.relative('test', moduleId).split(path.sep);
  const place = LONGEST.indexOf(folder);
  return place < 0 ? LONGEST.length : place;
}
