/** Which files go to a destination, by what the ledger knows of each: its number, its digest, whether it is de-identified. */
import { ExdicomError } from '../errors';
import type { DicomFile, JobId, OwnPath, Sha256 } from '../model';
import { recordProgress } from './core';
import type { LedgerCore } from './core';
import { intact } from './known-files';
import type { DeliveryResult, DestinationInfo, PlannedDelivery } from './ledger-types';
import type { Quarantine } from './quarantine';
import type { DeliveryRequest, FileRow } from './store';

const GROUP = 250;

interface Known {
  readonly sha256: Sha256;
  readonly bytes: number;
  readonly deidentified: boolean;
  readonly instance?: number;
  /** What the ledger recorded of it; a flow may have changed what its message says. */
  readonly facts?: FileRow['facts'];
}

export class DeliveryRecords {
  readonly #core: LedgerCore;
  readonly #quarantine: Quarantine;

  constructor(core: LedgerCore, quarantine: Quarantine) {
    this.#core = core;
    this.#quarantine = quarantine;
  }

  async plan(id: JobId, destination: DestinationInfo, files: readonly DicomFile[]): Promise<PlannedDelivery[]> {
    const { store } = this.#core;
    this.#core.live(id);
    const wanted = [...new Map(files.map((file) => [file.path, file])).values()];
    const planned: PlannedDelivery[] = [];
    const groups = Array.from({ length: Math.ceil(wanted.length / GROUP) }, (_, i) => wanted.slice(i * GROUP, (i + 1) * GROUP));
    let next = this.#ahead(id, groups[0]);
    for (const [position, group] of groups.entries()) {
      const known = await next;
      next = this.#ahead(id, groups[position + 1]);
      await this.#markIdentified(id, group, known);
      const requests = group.map((file, index): DeliveryRequest => {
        const { sha256, deidentified, facts, instance: own } = known[index]!;
        // Refused as it is where identified data is; where it goes out it must not count as the one whose number it bears.
        const instance = own ?? (destination.identifiedAllowed ? undefined : file.instance);
        return { sopInstanceUID: (facts ?? file).sopInstanceUID, sha256, deidentified, ...(instance === undefined ? {} : { instance }) };
      });
      const rows = await store.planDeliveries(id, destination, requests);
      for (const [index, { instance, conflict: _conflict, ...delivery }] of rows.entries()) {
        const { facts, bytes, sha256 } = known[index]!;
        planned.push({ ...delivery, file: { ...group[index]!, ...facts, bytes, instance }, sha256 });
      }
      const conflicts = rows.flatMap(({ instance, conflict }, index) => (conflict ? [{ instance, code: 'UID_CONFLICT', stage: 'deliver', path: group[index]!.path as OwnPath } as const] : []));
      await this.#quarantine.add(id, conflicts);
    }
    return planned;
  }

  /** By what a job is found again that sends its files as they are; de-identified ones are marked where they are made. */
  async #markIdentified(id: JobId, files: readonly DicomFile[], known: readonly Known[]): Promise<void> {
    const uids = new Set<string>();
    for (const [index, file] of files.entries()) {
      if (known[index]!.deidentified) continue;
      const { studyInstanceUID, seriesInstanceUID } = known[index]!.facts ?? file;
      uids.add(studyInstanceUID).add(seriesInstanceUID);
    }
    uids.delete('');
    if (uids.size > 0) await this.#core.store.mark(id, { keyed: [], uids: [...uids] });
  }

  /** Files are looked at on one thread while the group before is planned on another. A failure is met when the turn has come. */
  #ahead(id: JobId, group: readonly DicomFile[] = []): Promise<Known[]> {
    const known = this.#known(id, group);
    known.catch(() => undefined);
    return known;
  }

  /** Markers inside a file are no evidence, nor is its path: bytes changed behind the ledger's back make it a file of the flow's own. */
  async #known(id: JobId, files: readonly DicomFile[]): Promise<Known[]> {
    const rows = await this.#core.store.files(id, files.map(({ path }) => path));
    const sound = await intact(this.#core, id, rows);
    const byPath = new Map<string, Known>(rows.flatMap(({ path, sha256, bytes, instance, profile, facts }, index) => (
      sound[index] === true ? [[path as string, { sha256, bytes, instance, facts, deidentified: profile !== undefined }] as const] : []
    )));
    const strange = files.filter(({ path }) => !byPath.has(path));
    if (strange.length > 0) {
      const bytes = strange.reduce((sum, file) => sum + file.bytes, 0);
      const looks = await this.#core.task('ledger.look', { paths: strange.map(({ path }) => path), digest: true }, bytes);
      const numbers = new Map(rows.map(({ path, instance }) => [path as string, instance]));
      for (const [index, { path, instance }] of strange.entries()) {
        const look = looks[index];
        if (look?.sha256 === undefined) throw new ExdicomError('STORAGE_FAILED', { stage: 'deliver', detail: 'a file of the job is gone' });
        // A flow may work on a file in its place, as long as it says which it is.
        byPath.set(path, { sha256: look.sha256, bytes: look.bytes, deidentified: false, ...(instance !== undefined && numbers.get(path) === instance ? { instance } : {}) });
      }
    }
    return files.map(({ path }) => byPath.get(path)!);
  }

  async record(id: JobId, destination: DestinationInfo, results: readonly DeliveryResult[]): Promise<void> {
    // What a destination has is written down, though a person may have cancelled the job.
    const job = this.#core.jobs.get(id) ?? this.#core.live(id);
    let progress = false;
    for (let at = 0; at < results.length; at += GROUP) progress = (await this.#core.store.recordDeliveries(id, destination.address, results.slice(at, at + GROUP))) || progress;
    if (progress) await recordProgress(this.#core, job, 'deliver');
  }
}
