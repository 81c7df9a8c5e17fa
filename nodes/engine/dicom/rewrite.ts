/**
 * The element engine: reads a DICOM file, asks rules what becomes of each element, and writes the new file. What is kept is
 * copied byte for byte; no value of any size is held in memory.
 */
import { closeSync, fstatSync, openSync, rmSync } from 'node:fs';
import { takeBlock } from '../memory';
import { dictionaryVr } from './dictionary';
import { UNDEFINED } from './elements';
import { measure } from './extent';
import type { Extent } from './extent';
import { inflateFile, InflatesTooFar } from './inflate';
import { findLayout } from './layout';
import type { Layout } from './layout';
import { writeFile } from './output';
import { OverlayBits } from './overlay-bits';
import { fileMetaInformation } from './part10';
import { PixelLength } from './pixel-length';
import { Plan, PlanTooLarge } from './plan';
import type { ElementView, Refusal, RewriteResult, Rules, Tag } from './rewrite-types';
import { ByteSource, NeedMore, Unreadable } from './source';
import { TRANSFER_SYNTAXES } from './transfer-syntaxes';
import { LONGEST_VALUE, View } from './view';
import { REPORTED, Walk } from './walk';
import { Leak, WordGuard } from './word-guard';

const FIRST_READ = 64 << 10;
/** Elements that the rules want, at most: more than all of them twice are an attack. */
const MOST_MET = 1024;

/** What a rewrite works with; kept for the next one. */
interface Tools {
  readonly window: Buffer;
  readonly plan: Plan;
  readonly guard: WordGuard;
}

const idle: Tools[] = [];

/**
 * Rewrites the file `from` by `rules` into the new file `to` (0600; the caller syncs and renames it). For worker threads:
 * all but deflated files are read and written in one go.
 * @throws what the rules throw, and system errors; nothing is left at `to` then.
 */
export async function rewriteFile(from: string, to: string, rules: Rules): Promise<RewriteResult> {
  const tools = idle.pop() ?? { window: takeBlock(), plan: new Plan(), guard: new WordGuard() };
  const fd = openSync(from, 'r');
  try {
    const { size } = fstatSync(fd);
    const source = ByteSource.file(fd, size, tools.window, FIRST_READ);
    const layout = findLayout(source);
    if (layout === undefined) return { kind: 'unreadable', offset: 0, detail: 'not a DICOM file' };
    if (layout.deflated) return await rewriteDeflated(from, to, source.size, layout, rules, tools);
    return await rewriteDataSet(from, to, source, layout, layout.dataSetOffset, rules, tools);
  } catch (thrown) {
    return asResult(thrown);
  } finally {
    closeSync(fd);
    tools.plan.clear();
    if (idle.length < 2) idle.push(tools);
  }
}

function asResult(thrown: unknown): RewriteResult {
  if (thrown instanceof Unreadable) return { kind: 'unreadable', offset: thrown.offset, detail: thrown.detail };
  if (thrown instanceof NeedMore) return { kind: 'unreadable', offset: 0, detail: 'the file cannot be read' };
  if (thrown instanceof PlanTooLarge) return refused({ code: 'DEID_UNSUPPORTED', detail: 'too many changes in one file' });
  if (thrown instanceof Leak) return refused({ code: 'DEID_LEAK', detail: 'in pixels or other bytes' });
  if (thrown instanceof InflatesTooFar) return refused({ code: 'LIMIT_RATIO', detail: 'deflated data set' });
  throw thrown;
}

const refused = (refusal: Refusal): RewriteResult => ({ kind: 'refused', refusal });

/** Where the data set of a deflated file lies while it is rewritten into `to`. */
export const inflatedName = (to: string): string => `${to}.inflated`;

async function rewriteDeflated(from: string, to: string, size: number, layout: Layout, rules: Rules, tools: Tools): Promise<RewriteResult> {
  const inflated = inflatedName(to);
  await inflateFile(from, layout.dataSetOffset, size, inflated);
  const fd = openSync(inflated, 'r');
  try {
    const source = ByteSource.file(fd, fstatSync(fd).size, tools.window, FIRST_READ);
    return await rewriteDataSet(inflated, to, source, layout, 0, rules, tools);
  } finally {
    closeSync(fd);
    rmSync(inflated, { force: true });
  }
}

async function rewriteDataSet(from: string, to: string, source: ByteSource, layout: Layout, offset: number, rules: Rules, { plan, guard }: Tools): Promise<RewriteResult> {
  const { encoding, transferSyntaxUID } = layout;
  const wanted = new Set(rules.wanted);
  const met: View[] = [];
  const pixels = new PixelLength(source, encoding);
  const overlays = new OverlayBits(source, encoding);
  const extent = measure(source, offset, encoding, (tag, vr, valueOffset, length) => {
    overlays.hear(tag, valueOffset, length);
    pixels.hear(tag, vr, valueOffset, length);
    if (!wanted.has(tag) || met.length > MOST_MET) return;
    const view = new View(source);
    view.tag = tag;
    view.vr = vr === undefined || vr === 'UN' ? dictionaryVr(tag) ?? 'UN' : vr;
    view.length = length === UNDEFINED ? undefined : length;
    view.valueOffset = valueOffset;
    view.bigEndian = encoding.bigEndian && vr !== 'UN';
    met.push(view);
  });
  const head = headOf(met, extent.end);
  if (head === undefined) return refused({ code: 'DEID_UNSUPPORTED', detail: 'elements stand there again and again' });
  const contradiction = contradicted(layout, extent);
  if (contradiction !== undefined) return refused(contradiction);
  const swallowed = rules.guardsWords === true ? pixels.swallowed() : undefined;
  if (swallowed !== undefined) return refused({ code: swallowed === 'words' ? 'DEID_LEAK' : 'DEID_UNREADABLE', detail: 'pixel data holds more than pixels' });

  const refusal = rules.begin(head.views, {
    transferSyntaxUID, mediaStorageSOPClassUID: layout.mediaStorageSOPClassUID, mediaStorageSOPInstanceUID: layout.mediaStorageSOPInstanceUID, repeated: head.repeated,
  });
  if (refusal !== undefined) return refused(refusal);

  const masks = rules.clearsOverlays === true ? overlays.masks() : [];
  if (masks === undefined) return refused({ code: 'DEID_UNSUPPORTED', detail: 'an overlay in the bits of pixels that cannot be cleared' });

  const walk = new Walk(source, rules, plan);
  walk.dataSet(offset, extent, encoding);
  const reported = (tag: Tag): string => walk.reported.get(tag) ?? '';
  const facts = {
    sopClassUID: reported(REPORTED.sopClassUID), sopInstanceUID: reported(REPORTED.sopInstanceUID),
    studyInstanceUID: reported(REPORTED.studyInstanceUID), seriesInstanceUID: reported(REPORTED.seriesInstanceUID),
    modality: reported(REPORTED.modality), transferSyntaxUID,
  };
  if (facts.sopClassUID === '' || facts.sopInstanceUID === '') return refused({ code: 'DICOM_INCOMPLETE' });
  if (rules.guardsWords === true) walk.guard(guard);
  const written = await writeFile(from, to, fileMetaInformation(facts, rules.fileMeta()), { plan, source, guard: rules.guardsWords === true && guard.needed ? guard : undefined, masks }, layout.deflated);
  return { kind: 'written', ...written, droppedBytes: source.size - extent.end, ...facts };
}

interface Head {
  readonly views: ReadonlyMap<Tag, ElementView>;
  readonly repeated: readonly ElementView[];
}

/** Those of the views that lie before `end`, by tag; undefined where they are too many. */
function headOf(met: readonly View[], end: number): Head | undefined {
  if (met.length > MOST_MET) return undefined;
  const views = new Map<Tag, View>();
  const repeated: View[] = [];
  for (const view of met) {
    if (view.valueOffset > end) continue;
    const former = views.get(view.tag);
    if (former === undefined || former.length === 0) views.set(view.tag, view);
    else if (view.length !== 0 && !isSame(former, view)) repeated.push(view);
  }
  return { views, repeated };
}

function isSame(one: View, other: View): boolean {
  const [first, second] = [one, other].map(({ vr, length }) => (vr === 'SQ' ? 'items' : length === undefined || length > LONGEST_VALUE ? 'too long' : 'value'));
  if (first !== second || first === 'too long') return false;
  return first === 'items' || one.ascii().trim() === other.ascii().trim();
}

/** A transfer syntax that Pixel Data proves wrong cannot be mended without knowing the codec, nor passed on. */
function contradicted({ encoding, transferSyntaxUID }: Layout, { pixelData }: Extent): Refusal | undefined {
  const syntax = TRANSFER_SYNTAXES.get(transferSyntaxUID);
  if (transferSyntaxUID === '') return { code: 'DEID_UNSUPPORTED', detail: 'no transfer syntax' };
  if (syntax === undefined) return undefined;
  if (syntax.encapsulated && (pixelData === 'native' || !encoding.explicit)) return { code: 'DEID_UNSUPPORTED', detail: 'pixel data is not encapsulated as the transfer syntax says' };
  if (!syntax.encapsulated && pixelData === 'encapsulated') return { code: 'DEID_UNSUPPORTED', detail: 'pixel data is encapsulated but the transfer syntax is not' };
  return undefined;
}
