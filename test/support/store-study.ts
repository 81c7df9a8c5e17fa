/** Small instances to send, and a way to send them and to see what became of each. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pacsSettings } from '../../nodes/engine/dimse/peer';
import type { PacsOptions, PacsSettings } from '../../nodes/engine/dimse/peer';
import { store } from '../../nodes/engine/dimse/store';
import type { StoreContext, StoreItem, StoreResult, StoreSummary } from '../../nodes/engine/dimse/store';
import type { DicomFile } from '../../nodes/engine/model';

export const CT = '1.2.840.10008.5.1.4.1.1.2';
export const MR = '1.2.840.10008.5.1.4.1.1.4';
export const IMPLICIT = '1.2.840.10008.1.2';
export const EXPLICIT = '1.2.840.10008.1.2.1';
export const JPEG = '1.2.840.10008.1.2.4.50';

const LONG = new Set(['OB', 'OW', 'SQ', 'UN', 'UT', 'UC']);

/** One element in Explicit VR Little Endian, padded to an even length. */
export function element(tag: number, vr: string, value: string | Buffer): Buffer {
  const raw = typeof value === 'string' ? Buffer.from(value, 'latin1') : value;
  const padded = raw.length % 2 === 0 ? raw : Buffer.concat([raw, Buffer.from(vr === 'UI' || vr === 'OB' ? '\0' : ' ')]);
  const header = Buffer.alloc(LONG.has(vr) ? 12 : 8);
  header.writeUInt16LE(tag >>> 16, 0);
  header.writeUInt16LE(tag & 0xffff, 2);
  header.write(vr, 4, 'latin1');
  if (LONG.has(vr)) header.writeUInt32LE(padded.length, 8);
  else header.writeUInt16LE(padded.length, 6);
  return Buffer.concat([header, padded]);
}

export interface MadeInstance {
  readonly sopClassUID?: string;
  readonly transferSyntaxUID?: string;
  /** Bytes of the pixel data; default 512. */
  readonly pixels?: number;
  /** The data set, where the default will not do. */
  readonly dataSet?: Buffer;
}

export interface Study extends Disposable {
  readonly folder: string;
  readonly files: ReadonlyArray<DicomFile & { readonly instance: number }>;
  /** The data set of an instance, as it lies in its file. */
  dataSet(instance: number): Buffer;
  /** A folder for what is rewritten before it is sent. */
  scratch(): string;
}

let studies = 0;

/** Writes instances of one study into a folder of their own. */
export function makeStudy(instances: readonly MadeInstance[]): Study {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-study-'));
  const scratch = mkdtempSync(join(tmpdir(), 'exdicom-scratch-'));
  studies += 1;
  const studyInstanceUID = `1.2.826.0.1.${process.pid}.${studies}`;
  const seriesInstanceUID = `${studyInstanceUID}.1`;
  const dataSets: Buffer[] = [];
  const files = instances.map(({ sopClassUID = CT, transferSyntaxUID = EXPLICIT, pixels = 512, dataSet }, index) => {
    const sopInstanceUID = `${seriesInstanceUID}.${index + 1}`;
    const content = dataSet ?? Buffer.concat([
      element(0x00080016, 'UI', sopClassUID), element(0x00080018, 'UI', sopInstanceUID), element(0x00080060, 'CS', 'CT'),
      element(0x00100010, 'PN', 'TEST^STORE'), element(0x00100020, 'LO', 'TEST'), element(0x0020000d, 'UI', studyInstanceUID), element(0x0020000e, 'UI', seriesInstanceUID),
      element(0x00280002, 'US', Buffer.from([1, 0])), element(0x00280010, 'US', Buffer.from([16, 0])), element(0x00280011, 'US', Buffer.from([16, 0])),
      element(0x00280100, 'US', Buffer.from([16, 0])), element(0x7fe00010, 'OW', Buffer.alloc(pixels, index + 1)),
    ]);
    dataSets.push(content);
    const meta = Buffer.concat([
      element(0x00020001, 'OB', Buffer.from([0, 1])), element(0x00020002, 'UI', sopClassUID), element(0x00020003, 'UI', sopInstanceUID), element(0x00020010, 'UI', transferSyntaxUID),
    ]);
    const length = Buffer.alloc(4);
    length.writeUInt32LE(meta.length);
    const bytes = Buffer.concat([Buffer.alloc(128), Buffer.from('DICM'), element(0x00020000, 'UL', length), meta, content]);
    const path = join(folder, `${index + 1}.dcm`);
    writeFileSync(path, bytes);
    return { instance: index + 1, path, bytes: bytes.length, sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality: 'CT' };
  });
  return {
    folder, files,
    dataSet: (instance) => dataSets[instance - 1] ?? Buffer.alloc(0),
    scratch: () => scratch,
    [Symbol.dispose]() {
      for (const made of [folder, scratch]) rmSync(made, { recursive: true, force: true });
    },
  };
}

/** So many alike. */
export const alike = (count: number, made: MadeInstance = {}): MadeInstance[] => Array.from({ length: count }, () => made);

export function pacs(port: number, options: Partial<PacsOptions> = {}): PacsSettings {
  return pacsSettings({ host: '127.0.0.1', port, calledAET: 'ANY-SCP', callingAET: 'TEST', ...options });
}

export interface Sent {
  readonly summary: StoreSummary;
  readonly results: ReadonlyMap<number, StoreResult>;
  /** Instances that count as sent, in ascending order. */
  readonly sent: readonly number[];
  /** Codes of the others by instance. */
  readonly codes: Readonly<Record<number, string>>;
}

/** Sends; fails where an instance gets two results or none. */
export async function send(study: Study, peer: PacsSettings, context: Partial<StoreContext> = {}, items: readonly StoreItem[] = study.files): Promise<Sent> {
  const results = new Map<number, StoreResult>();
  const summary = await store(items, peer, {
    signal: new AbortController().signal,
    progress: () => { /* nobody looks */ },
    scratch: () => Promise.resolve(study.scratch()),
    ...context,
    onResult: (result) => {
      if (results.has(result.instance)) throw new Error(`two results for instance ${result.instance}`);
      results.set(result.instance, result);
      context.onResult?.(result);
    },
  });
  for (const { instance } of items) if (!results.has(instance)) throw new Error(`no result for instance ${instance}`);
  return {
    summary, results,
    sent: [...results.values()].flatMap((result) => (result.kind === 'sent' ? [result.instance] : [])).sort((a, b) => a - b),
    codes: Object.fromEntries([...results.values()].flatMap((result) => (result.kind === 'unsent' ? [[result.instance, result.code]] : []))),
  };
}
