/** How a job's files are dealt out to messages. */
import type { Extraction } from '../engine/ledger/ledger-types';
import type { DicomFile } from '../engine/model';

export interface Division {
  readonly per: 'job' | 'study' | 'series';
  readonly byPatient: boolean;
}

/** A clone of more files than that for a further wire would hold up the event loop. */
export const MOST_FILES = 5000;

/** One list per message, in the order of their first file; at least one, were it empty. */
export function divide({ files, groups }: Pick<Extraction, 'files' | 'groups'>, { per, byPatient }: Division): ReadonlyArray<readonly DicomFile[]> {
  const patientOf = new Map(byPatient ? groups.map(({ instance, patient }) => [instance, patient] as const) : []);
  const keyOf = ({ instance, studyInstanceUID, seriesInstanceUID }: DicomFile, unit: Division['per']): string => JSON.stringify([
    instance === undefined ? '' : patientOf.get(instance) ?? '', unit === 'job' ? '' : studyInstanceUID, unit === 'series' ? seriesInstanceUID : '',
  ]);
  const parts = [...Map.groupBy(files, (file) => keyOf(file, per)).values()];
  if (parts.length === 0) return [[]];
  return parts.flatMap((part) => (part.length > MOST_FILES ? [...Map.groupBy(part, (file) => keyOf(file, 'series')).values()] : [part]));
}
