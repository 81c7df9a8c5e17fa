/** A real Node-RED that takes in mutated DICOM files, by its inbox and over associations, and where nothing of them may be seen afterwards. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Receipt } from '../../nodes/engine/ledger/ledger-types';
import { zip } from './archives';
import { Canaries } from './canary';
import type { Sighting } from './canary';
import { mutantOf, unchanged } from './dicom-mutations';
import type { Base } from './dicom-mutations';
import { jobStates, receiptsIn } from './ledger-file';
import { CT, EXPLICIT, IMPLICIT, RawClient } from './listening';
import { drop, filesBelow, mainFlow } from './main-flow';
import { basesFor } from './mutation-bases';
import { NodeRed } from './node-red';
import { freePort } from './orthanc';
import { releasedWith } from './released';
import { dice } from './torture';

const FRAGMENT = 16_000;
const UIDS = /\b(?:sopClass|sopInstance|seriesInstance|studyInstance)UID: (['"`])(?:\\.|(?!\1).)*\1/gs;

export class MutantRun implements AsyncDisposable {
  readonly #canaries: Canaries;
  readonly #bases: readonly Base[];
  #count = 0;
  #archives = 0;
  #outputs: readonly string[] = [];

  private constructor(readonly seed: number, readonly red: NodeRed, readonly port: number) {
    this.#canaries = new Canaries(dice(seed));
    // Our own alone, so that it is the same run without the shared data; and those that a data set on the wire can be.
    this.#bases = basesFor(this.#canaries).slice(0, 8);
  }

  static async start(seed: number): Promise<MutantRun> {
    const port = await freePort();
    const at = { z: 'f', x: 0, y: 0 };
    const red = await NodeRed.start({
      deep: true, env: { EXDICOM_DEID_KEY: 'a key of the torture, longer than thirty-two characters' },
      flows: mainFlow({ add: [{ id: 'receive', type: 'exdicom-c-store-in', name: '', ledger: 'ledger', port: String(port), aet: 'EXDICOM', quiet: '1', ...at, wires: [['extract']] }] }),
    });
    await red.until(() => red.status('receive') === 'idle');
    return new MutantRun(seed, red, port);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.red[Symbol.asyncDispose]();
  }

  get #data(): string {
    return join(this.red.userDir, 'data');
  }

  /** Each with a SOP Instance of its own, so that none is another one's duplicate. */
  #next(of: readonly Base[]): { readonly base: Base; readonly sop: string; readonly bytes: Buffer } {
    const n = this.#count++;
    const base = of[n % of.length]!;
    const sop = this.#canaries.uid(`mutant ${n} of ${base.name}`);
    // Now and then one without a fault.
    return { base, sop, bytes: n % 10 === 9 ? unchanged(base, sop) : mutantOf(base, dice(this.seed + 1_000_000 + n), sop).bytes };
  }

  /** @returns how many files there are in them. */
  async dropArchives(archives: number, files: number): Promise<number> {
    for (let i = 0; i < archives; i += 1) {
      const entries = Array.from({ length: files }, (_, n) => ({ name: `${this.#canaries.text('name of an entry')}/${n}`, data: this.#next(this.#bases).bytes, method: 'deflate' as const }));
      await drop(this.red.userDir, `${this.#canaries.text('name of an archive')}.zip`, zip(entries));
      this.#archives += 1;
    }
    return archives * files;
  }

  /** Sends data sets as they are, one association after another where the listener ends one. */
  async sendRaw(count: number): Promise<{ readonly stored: number; readonly refused: number; readonly ended: number }> {
    const wire = this.#bases.filter(({ syntax }) => syntax === 'explicit' || syntax === 'implicit');
    const answers = { stored: 0, refused: 0, ended: 0 };
    for (let sent = 0; sent < count;) {
      using client = new RawClient(this.port);
      await client.associate([[CT, EXPLICIT], [CT, IMPLICIT]]);
      for (let open = true; open && sent < count; sent += 1) {
        const { base, sop, bytes } = this.#next(wire);
        // Behind the File Meta Information, where there is one to tell; else all of it.
        const behind = bytes.toString('latin1', 128, 132) === 'DICM' && bytes.length > 144 ? 144 + bytes.readUInt32LE(140) : 0;
        const dataSet = bytes.subarray(behind < bytes.length ? behind : 0);
        const contextId = base.syntax === 'explicit' ? 1 : 3;
        const parts: Buffer[] = [];
        for (let at = 0; at === 0 || at < dataSet.length; at += FRAGMENT) parts.push(client.value(contextId, at + FRAGMENT >= dataSet.length ? 2 : 0, dataSet.subarray(at, at + FRAGMENT)));
        client.send(client.storeRequest(sop, { contextId, messageId: (sent % 60_000) + 1 }), ...parts);
        const status = await client.status();
        if (status === 0) answers.stored += 1;
        else if (status === undefined) { answers.ended += 1; open = false; } else answers.refused += 1;
      }
    }
    return answers;
  }

  /** Waits until every job is closed; then stops Node-RED. */
  async closed(): Promise<readonly Receipt[]> {
    const calm = async (): Promise<boolean> => {
      const { closed = 0, ...open } = jobStates(this.#data);
      return closed > this.#archives && Object.keys(open).length === 0 && (await filesBelow(join(this.#data, 'inbox'))).length === 0;
    };
    for (let times = 0; times < 8; times = await calm() ? times + 1 : 0) {
      await sleep(250);
      if (this.red.exited !== undefined) throw new Error('Node-RED has ended');
    }
    await this.red.stop();
    this.#outputs = (await filesBelow(join(this.#data, 'received'))).map((path) => join(this.#data, 'received', path));
    return [...receiptsIn(this.#data).values()];
  }

  released(): number {
    return this.#outputs.length;
  }

  /** In everything that was said, and in every file but the originals and what is in quarantine. */
  async sightings(): Promise<readonly Sighting[]> {
    const found: Sighting[] = [];
    for (const { what, node, from, to, text } of this.red.heard) {
      // Original UIDs are allowed between extract and anonymize, and in what tells that extract is done; some of them are words here.
      const early = what === 'message' && (from === 'exdicom-extract' || node === 'complete');
      found.push(...this.#canaries.search(early ? text.replaceAll(UIDS, '') : text, `${what} from ${from} ${node} to ${to}`));
    }
    for (const path of this.#outputs) {
      const released = releasedWith(readFileSync(path), this.#canaries);
      if (released.kind === 'leak') found.push(...released.sightings);
    }
    const kept = (path: string): boolean => /^(?:done|failed|received)\/.*(?<!reason\.json)$/.test(path) || (path.startsWith('quarantine/') && !path.endsWith('.json'));
    const original = (path: string): boolean => /^(?:done|failed)\/[^/]+\/.+/.test(path) && !path.endsWith('reason.json');
    found.push(...await this.#canaries.searchNames(this.#data, 'data', original), ...await this.#canaries.searchFiles(this.#data, 'data', kept));
    return found;
  }
}
