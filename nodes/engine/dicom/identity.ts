/** What the pack needs to know of a DICOM file before it does anything with it. */
import type { ErrorCode } from '../errors';

/**
 * Facts of one instance, as written in the file (trailing NUL and space removed). SOP Class and Instance UID are those of the
 * File Meta Information where the data set has none.
 */
export interface DicomIdentity {
  readonly sopClassUID: string;
  readonly sopInstanceUID: string;
  readonly studyInstanceUID: string;
  readonly seriesInstanceUID: string;
  readonly modality: string;
  /** The one that the data set is really in: as written, unless the bytes prove otherwise. */
  readonly transferSyntaxUID: string;
  /** Trimmed (0010,0020) and (0010,0021); identifying. */
  readonly patientId: string;
  readonly issuerOfPatientId: string;
  /** Offset in bytes of the first element of the data set, after preamble and File Meta Information; 0 where there are none. */
  readonly dataSetOffset: number;
  /** Whether the file is a Part 10 file with preamble, prefix and File Meta Information as PS3.10, 7.1 wants them, and they are true. */
  readonly part10: boolean;
}

export type Identification =
  | { readonly kind: 'instance'; readonly identity: DicomIdentity }
  /** A DICOMDIR: its Referenced File IDs (0004,1500), each as its components. */
  | { readonly kind: 'index'; readonly references: ReadonlyArray<readonly string[]> }
  | { readonly kind: 'not-dicom' }
  /** It can be read, but has no SOP Class or Instance UID anywhere: the missing ones of `identity` are empty. Nothing can be sent of it. */
  | { readonly kind: 'unreadable'; readonly code: Extract<ErrorCode, 'DICOM_INCOMPLETE'>; readonly offset: number; readonly identity: DicomIdentity }
  /** It is DICOM, but cannot be read; `offset` in bytes where reading ended. */
  | { readonly kind: 'unreadable'; readonly code: Extract<ErrorCode, 'DICOM_UNREADABLE'>; readonly offset: number };

/** As long as the longest defined term (PS3.3, C.7.3.1.1.1): what is no term of that kind may be anything, and travels in messages. */
const MODALITY = /^[A-Za-z0-9]{1,10}$/;

/** A value of Modality (0008,0060), unpadded, as a term; empty where it is none. */
export const modalityTerm = (value: string): string => (MODALITY.test(value) ? value : '');
