/** `msg.payload` in mid-flow: DICOM files, or paths of files that a flow brought along. Foreign until looked at. */
import { ExdicomError } from '../engine/errors';
import type { DicomFile } from '../engine/model';
import { pathOf } from './adopt';

const TEXTS = ['sopClassUID', 'sopInstanceUID', 'seriesInstanceUID', 'studyInstanceUID', 'transferSyntaxUID', 'modality'] as const satisfies ReadonlyArray<keyof DicomFile>;

export type Part = { readonly kind: 'file'; readonly file: DicomFile } | { readonly kind: 'path'; readonly path: string };

/**
 * One DicomFile, a path, or a list of both; in order.
 * @throws {ExdicomError} NOTHING_TO_DO for anything else.
 */
export function partsOf(payload: unknown): readonly Part[] {
  return (Array.isArray(payload) ? (payload as readonly unknown[]) : [payload]).map((part) => {
    if (isDicomFile(part)) return { kind: 'file', file: part };
    const path = pathOf(part);
    if (path === undefined) throw new ExdicomError('NOTHING_TO_DO', { detail: 'msg.payload' });
    return { kind: 'path', path };
  });
}

export function isDicomFile(value: unknown): value is DicomFile {
  if (typeof value !== 'object' || value === null) return false;
  const file = value as Record<string, unknown>;
  return typeof file['path'] === 'string' && typeof file['bytes'] === 'number' && TEXTS.every((name) => typeof file[name] === 'string')
    && (file['instance'] === undefined || (Number.isSafeInteger(file['instance']) && (file['instance'] as number) > 0));
}
