/** Plants words that nobody else has into DICOM files, and looks for them in what comes out. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { TestContext } from 'node:test';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { RewriteResult, Rules } from '../../../nodes/engine/dicom/rewrite-types';
import { file } from '../dicom/building';
import type { Element, MetaOptions, Syntax } from '../dicom/building';
import { readFile } from '../dicom/reading';

export const CT_CLASS = '1.2.840.10008.5.1.4.1.1.2';

/** A CT image; `more` replaces and adds by tag. */
export function image(...more: readonly Element[]): Element[] {
  const base: readonly Element[] = [
    [0x00080016, 'UI', CT_CLASS], [0x00080018, 'UI', '1.2.3.4'], [0x00080060, 'CS', 'CT'], [0x00100010, 'PN', 'Dolittle^Jane'], [0x00100020, 'LO', 'MRN-4711'],
    [0x0020000d, 'UI', '1.2.3'], [0x0020000e, 'UI', '1.2.3.1'], [0x00280010, 'US', Buffer.from([4, 0])], [0x7fe00010, 'OW', Buffer.from([1, 2, 3, 4, 5, 6, 7, 8])],
  ];
  const all = new Map<number, Element>();
  for (const one of [...base, ...more]) all.set(one[0], one);
  return [...all.values()].sort((one, other) => one[0] - other[0]);
}

export interface Outcome {
  readonly result: RewriteResult;
  /** Every byte of the result, and those of its data set inflated; empty where there is none. */
  readonly bytes: string;
}

export class Bench {
  readonly #folder: string;
  #count = 0;

  constructor(context: TestContext) {
    this.#folder = mkdtempSync(join(tmpdir(), 'exdicom-planting-'));
    context.after(() => { rmSync(this.#folder, { recursive: true, force: true }); });
  }

  async rewrite(bytes: Buffer, rules: Rules): Promise<Outcome> {
    this.#count += 1;
    const from = join(this.#folder, `${this.#count}.in`);
    const to = join(this.#folder, `${this.#count}.out`);
    writeFileSync(from, bytes);
    try {
      const result = await rewriteFile(from, to, rules);
      if (result.kind !== 'written') return { result, bytes: '' };
      const written = readFileSync(to);
      return { result, bytes: written.toString('latin1') + (result.transferSyntaxUID.endsWith('.1.99') ? readFile(written).dataSet.toString('latin1') : '') };
    } finally {
      rmSync(from, { force: true });
      rmSync(to, { force: true });
    }
  }

  /** The same for a data set in a syntax; an image around the elements unless they are a whole data set in bytes. */
  of(content: readonly Element[] | Buffer, rules: Rules, syntax: Syntax = 'explicit', options: MetaOptions = {}): Promise<Outcome> {
    return this.rewrite(file(Buffer.isBuffer(content) ? content : image(...content), syntax, { sopClass: CT_CLASS, ...options }), rules);
  }
}
