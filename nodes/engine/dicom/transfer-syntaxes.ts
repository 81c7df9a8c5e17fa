/** Transfer syntaxes of PS3.5, Annex A, and PS3.6, A: how the bytes of a data set are to be read. */

export interface TransferSyntax {
  readonly uid: string;
  readonly name: string;
  readonly explicit: boolean;
  readonly bigEndian: boolean;
  readonly deflated: boolean;
  /** Pixel Data is a sequence of fragments (PS3.5, A.4). */
  readonly encapsulated: boolean;
  readonly video: boolean;
}

export const IMPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2';
export const EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1';
export const DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN = '1.2.840.10008.1.2.1.99';
export const EXPLICIT_VR_BIG_ENDIAN = '1.2.840.10008.1.2.2';

const native = (uid: string, name: string, explicit: boolean, bigEndian: boolean, deflated: boolean): TransferSyntax =>
  ({ uid, name, explicit, bigEndian, deflated, encapsulated: false, video: false });
const encapsulated = (suffix: string, name: string): TransferSyntax =>
  ({ uid: `1.2.840.10008.1.2.${suffix}`, name, explicit: true, bigEndian: false, deflated: false, encapsulated: true, video: false });
const video = (suffix: string, name: string): TransferSyntax => ({ ...encapsulated(suffix, name), video: true });
/** Pixel data lies at a JPIP provider, so the data set has none; two of them deflate the data set. */
const referenced = (suffix: string, deflated: boolean, name: string): TransferSyntax =>
  ({ ...encapsulated(suffix, name), encapsulated: false, deflated });

const ALL: readonly TransferSyntax[] = [
  native(IMPLICIT_VR_LITTLE_ENDIAN, 'Implicit VR Little Endian', false, false, false),
  native(EXPLICIT_VR_LITTLE_ENDIAN, 'Explicit VR Little Endian', true, false, false),
  encapsulated('1.98', 'Encapsulated Uncompressed Explicit VR Little Endian'),
  native(DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, 'Deflated Explicit VR Little Endian', true, false, true),
  native(EXPLICIT_VR_BIG_ENDIAN, 'Explicit VR Big Endian', true, true, false),
  encapsulated('4.50', 'JPEG Baseline (Process 1)'),
  encapsulated('4.51', 'JPEG Extended (Process 2 & 4)'),
  encapsulated('4.52', 'JPEG Extended (Process 3 & 5)'),
  encapsulated('4.53', 'JPEG Spectral Selection, Non-Hierarchical (Process 6 & 8)'),
  encapsulated('4.54', 'JPEG Spectral Selection, Non-Hierarchical (Process 7 & 9)'),
  encapsulated('4.55', 'JPEG Full Progression, Non-Hierarchical (Process 10 & 12)'),
  encapsulated('4.56', 'JPEG Full Progression, Non-Hierarchical (Process 11 & 13)'),
  encapsulated('4.57', 'JPEG Lossless, Non-Hierarchical (Process 14)'),
  encapsulated('4.58', 'JPEG Lossless, Non-Hierarchical (Process 15)'),
  encapsulated('4.59', 'JPEG Extended, Hierarchical (Process 16 & 18)'),
  encapsulated('4.60', 'JPEG Extended, Hierarchical (Process 17 & 19)'),
  encapsulated('4.61', 'JPEG Spectral Selection, Hierarchical (Process 20 & 22)'),
  encapsulated('4.62', 'JPEG Spectral Selection, Hierarchical (Process 21 & 23)'),
  encapsulated('4.63', 'JPEG Full Progression, Hierarchical (Process 24 & 26)'),
  encapsulated('4.64', 'JPEG Full Progression, Hierarchical (Process 25 & 27)'),
  encapsulated('4.65', 'JPEG Lossless, Hierarchical (Process 28)'),
  encapsulated('4.66', 'JPEG Lossless, Hierarchical (Process 29)'),
  encapsulated('4.70', 'JPEG Lossless, Non-Hierarchical, First-Order Prediction'),
  encapsulated('4.80', 'JPEG-LS Lossless'),
  encapsulated('4.81', 'JPEG-LS Lossy (Near-Lossless)'),
  encapsulated('4.90', 'JPEG 2000 (Lossless Only)'),
  encapsulated('4.91', 'JPEG 2000'),
  encapsulated('4.92', 'JPEG 2000 Part 2 Multi-component (Lossless Only)'),
  encapsulated('4.93', 'JPEG 2000 Part 2 Multi-component'),
  referenced('4.94', false, 'JPIP Referenced'),
  referenced('4.95', true, 'JPIP Referenced Deflate'),
  video('4.100', 'MPEG2 Main Profile / Main Level'),
  video('4.100.1', 'Fragmentable MPEG2 Main Profile / Main Level'),
  video('4.101', 'MPEG2 Main Profile / High Level'),
  video('4.101.1', 'Fragmentable MPEG2 Main Profile / High Level'),
  video('4.102', 'MPEG-4 AVC/H.264 High Profile / Level 4.1'),
  video('4.102.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.1'),
  video('4.103', 'MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1'),
  video('4.103.1', 'Fragmentable MPEG-4 AVC/H.264 BD-compatible High Profile / Level 4.1'),
  video('4.104', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video'),
  video('4.104.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 2D Video'),
  video('4.105', 'MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video'),
  video('4.105.1', 'Fragmentable MPEG-4 AVC/H.264 High Profile / Level 4.2 For 3D Video'),
  video('4.106', 'MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2'),
  video('4.106.1', 'Fragmentable MPEG-4 AVC/H.264 Stereo High Profile / Level 4.2'),
  video('4.107', 'HEVC/H.265 Main Profile / Level 5.1'),
  video('4.108', 'HEVC/H.265 Main 10 Profile / Level 5.1'),
  encapsulated('4.110', 'JPEG XL Lossless'),
  encapsulated('4.111', 'JPEG XL JPEG Recompression'),
  encapsulated('4.112', 'JPEG XL'),
  encapsulated('4.201', 'High-Throughput JPEG 2000 (Lossless Only)'),
  encapsulated('4.202', 'High-Throughput JPEG 2000 with RPCL Options (Lossless Only)'),
  encapsulated('4.203', 'High-Throughput JPEG 2000'),
  referenced('4.204', false, 'JPIP HTJ2K Referenced'),
  referenced('4.205', true, 'JPIP HTJ2K Referenced Deflate'),
  encapsulated('5', 'RLE Lossless'),
  encapsulated('8.1', 'Deflated Image Frame Compression'),
];

/** By UID, as PS3.6 lists them; unknown and private ones are missing. */
export const TRANSFER_SYNTAXES: ReadonlyMap<string, TransferSyntax> = new Map(ALL.map((syntax) => [syntax.uid, syntax]));
