/** Values that stand where a value must be but none may stay: legal for their VR (PS3.5, 6.2), in ASCII, the same for everybody. */
import type { Action, NewElement, Tag } from '../dicom/rewrite-types';

const TEXT = 'ANONYMIZED';

const BY_VR: Readonly<Record<string, string>> = {
  AE: 'ANON', AS: '000Y', CS: 'ANON', DA: '19000101', DS: '0', DT: '19000101000000', IS: '0', LO: TEXT, LT: TEXT, PN: TEXT, SH: TEXT, ST: TEXT,
  TM: '000000', UC: TEXT, UR: 'urn:uuid:00000000-0000-0000-0000-000000000000', UT: TEXT,
};

/** Bytes of one binary value; a dummy is one of zeros. */
const UNIT: Readonly<Record<string, number>> = { AT: 4, FD: 8, FL: 4, OD: 8, OF: 4, OL: 4, OV: 8, SL: 4, SS: 2, SV: 8, UL: 4, US: 2, UV: 8 };

/** Attributes whose values are enumerated or defined terms: a dummy must be one of theirs. */
const ENUMERATED: ReadonlyMap<Tag, string> = new Map([
  [0x00080060, 'OT'], // Modality
  [0x04000565, 'CORRECT'], // Reason for the Attribute Modification
]);

/** The dummy of an attribute as written with a VR: never empty, not padded. UIDs are never dummies: they are mapped. */
export function dummy(tag: Tag, vr: string): Buffer {
  const text = (vr === 'CS' ? ENUMERATED.get(tag) : undefined) ?? BY_VR[vr];
  return text === undefined ? Buffer.alloc(UNIT[vr] ?? 2) : Buffer.from(text, 'latin1');
}

export const ascii = (tag: Tag, vr: string, value: string): NewElement => ({ tag, vr, value: Buffer.from(value, 'latin1') });

/** An item of a code sequence (PS3.3, 8.8). */
export function codeItem(value: string, scheme: string, meaning: string): readonly NewElement[] {
  return [ascii(0x00080100, 'SH', value), ascii(0x00080102, 'SH', scheme), ascii(0x00080104, 'LO', meaning)];
}

const UNKNOWN_CODE = codeItem('261665006', 'SCT', 'Unknown');

/** Sequences whose items say who or where by codes: one item that says nothing takes their place. */
const DUMMY_ITEMS: ReadonlyMap<Tag, readonly NewElement[]> = new Map([
  [0x00080082, UNKNOWN_CODE], // Institution Code Sequence
  [0x00401101, UNKNOWN_CODE], // Person Identification Code Sequence
  // Operator Identification Sequence: the Person Identification Macro (PS3.3, 10.1)
  [0x00081072, [ascii(0x00080080, 'LO', TEXT), { tag: 0x00401101, vr: 'SQ', value: [UNKNOWN_CODE] }]],
]);

/** The D of a sequence: a dummy item, or its own items with all that is inside de-identified, which keeps them valid. */
export function dummySequence(tag: Tag): Action {
  const item = DUMMY_ITEMS.get(tag);
  return item === undefined ? { kind: 'recurse' } : { kind: 'items', items: [item] };
}

/** A code that says nothing, for coded values that would say too much. */
export const unknownCode: Action = { kind: 'items', items: [UNKNOWN_CODE] };

/** The smallest PDF that readers open: one empty page, with its cross-reference table. */
function emptyPdf(): Buffer {
  const objects = [
    '<</Type/Catalog/Pages 2 0 R>>',
    '<</Type/Pages/Kids[3 0 R]/Count 1>>',
    '<</Type/Page/Parent 2 0 R/MediaBox[0 0 595 842]/Resources<<>>>>',
  ];
  let pdf = '%PDF-1.4\n';
  const offsets = objects.map((object, n) => {
    const offset = pdf.length;
    pdf += `${n + 1} 0 obj\n${object}\nendobj\n`;
    return offset;
  });
  const table = pdf.length;
  pdf += `xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${offsets.map((offset) => `${String(offset).padStart(10, '0')} 00000 n \n`).join('')}`;
  pdf += `trailer\n<</Size ${objects.length + 1}/Root 1 0 R>>\nstartxref\n${table}\n%%EOF\n`;
  return Buffer.from(pdf, 'latin1');
}

/** A clinical document without content (HL7 CDA R2, the elements that its schema wants). */
const EMPTY_CDA = '<?xml version="1.0" encoding="UTF-8"?><ClinicalDocument xmlns="urn:hl7-org:v3"><typeId root="2.16.840.1.113883.1.3" extension="POCD_HD000040"/>'
  + '<id nullFlavor="MSK"/><code nullFlavor="MSK"/><effectiveTime nullFlavor="MSK"/><confidentialityCode nullFlavor="MSK"/></ClinicalDocument>';

/** An empty document of the MIME type in (0042,0012), in the place of an encapsulated one. */
export function emptyDocument(mimeType: string): Buffer {
  switch (mimeType.toLowerCase()) {
    case 'application/pdf': return emptyPdf();
    case 'text/xml': case 'application/xml': return Buffer.from(EMPTY_CDA, 'latin1');
    // Binary STL: an 80-byte header and a count of no triangles.
    case 'model/stl': case 'application/sla': return Buffer.alloc(84);
    case 'model/obj': case 'model/mtl': return Buffer.from('# empty\n', 'latin1');
    default: return Buffer.alloc(2);
  }
}
