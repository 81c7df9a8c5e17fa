import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import type { TestContext } from 'node:test';
import { rewriteFile } from '../../../nodes/engine/dicom/rewrite';
import type { NewElement, Tag } from '../../../nodes/engine/dicom/rewrite-types';
import { tables } from '../../../nodes/engine/deid/tables';
import { ct, el, part10, rulesFor, SHARED, sq, withShared } from './data-sets';

function folder(t: TestContext): string {
  const path = mkdtempSync(join(tmpdir(), 'exdicom-deid-'));
  t.after(() => { rmSync(path, { recursive: true, force: true }); });
  return path;
}

const MODES = [['basic', rulesFor()], ['shifted', rulesFor({ preset: 'basic-shifted-dates' })]] as const;

const isInstalled = (program: string): boolean => spawnSync('which', [program]).status === 0;
const peers = ['dciodvfy', 'dcmftest', 'dcmdump'].filter((program) => !isInstalled(program));

test('no planted identifier of the shared data survives anywhere in the bytes', withShared, async (t) => {
  const root = folder(t);
  const planted = readFileSync(join(SHARED, 'synthetic/PLANTED.tsv'), 'utf8').split('\n').slice(1).map((line) => line.split('\t'));
  for (const [mode, rules] of MODES) {
    for (const name of ['phi/phi_sentinel_explicit.dcm', 'phi/phi_sentinel_implicit.dcm', 'objects/encapsulated_pdf_phi.dcm']) {
      const to = join(root, 'out.dcm');
      rmSync(to, { force: true });
      const original = readFileSync(join(SHARED, 'synthetic', name)).toString('latin1');
      const result = await rewriteFile(join(SHARED, 'synthetic', name), to, rules);
      assert.equal(result.kind, 'written', name);
      const bytes = readFileSync(to).toString('latin1');
      let found = 0;
      for (const [, , sentinel = ''] of planted) {
        // Shorter ones may stand in any number; shifting keeps times of day and may turn one planted day into another.
        if (sentinel.length < 7 || !original.includes(sentinel) || (mode === 'shifted' && /^(?:\d{6}\.\d+|\d{8})$/.test(sentinel))) continue;
        found += 1;
        assert.ok(!bytes.includes(sentinel), `${name} ${mode} ${sentinel}`);
      }
      if (name.startsWith('phi/')) assert.ok(found > 500, `${name} has ${found} sentinels`);
      assert.ok(!/ZQ[A-Z]\d{4}/.test(bytes), `${name} ${mode}`);
    }
  }
});

/** A token that is legal for a VR as far as it can be, and unlike any other. */
function token(vr: string, n: number): string {
  const digits = String(n).padStart(4, '0');
  switch (vr) {
    case 'DA': return `1${digits.slice(0, 3)}0${(n % 9) + 1}1${n % 10}`;
    case 'DT': return `1${digits.slice(0, 3)}0${(n % 9) + 1}1${n % 10}1122${digits.slice(2)}.${digits}77`;
    case 'TM': return `1122${String(n % 60).padStart(2, '0')}.${digits}77`;
    case 'UI': return `1.2.999.77${digits}.1`;
    case 'DS': case 'IS': return `77${digits}77`;
    default: return `ZQ${digits}Q`;
  }
}

test('a token in every listed attribute at depth 0, 1 and 3, and in what is not listed, is gone from the bytes', async (t) => {
  const root = folder(t);
  let n = 0;
  const tokens: Array<readonly [vr: string, value: string]> = [];
  const plant = (tag: Tag, vr: string): NewElement => {
    n += 1;
    // Numbers and codes are decided by the table alone: a token shows there as well as any text.
    const value = token(vr, n);
    tokens.push([vr, value]);
    return vr === 'SQ' ? sq(tag, [el(0x00100010, 'PN', value), sq(0x00400275, [el(0x00104000, 'LT', value)])]) : el(tag, vr, value);
  };
  const listed = (skip: ReadonlySet<Tag>): NewElement[] => [...tables().rows].filter(([tag]) => tag >>> 16 > 4 && !skip.has(tag))
    .map(([tag, { vr }]) => plant(tag, vr)).toSorted((one, other) => one.tag - other.tag);
  // The sequences around, listed nowhere: nothing hides what is inside.
  const around = [0x00081115, 0x52009229, 0x52009230, 0x00409096] as const;
  const needed = new Set<Tag>([0x00080018, 0x0020000d, 0x0020000e]);
  const unlisted = [
    el(0x00080041, 'LO', token('LO', 9001)), el(0x00100034, 'LO', token('LO', 9002)), el(0x00140104, 'PN', `${token('PN', 9003)}=${token('PN', 9004)}=${token('PN', 9005)}`), el(0x00141020, 'DA', '17770701'),
    el(0x00090010, 'LO', token('LO', 9006)), el(0x00091001, 'UN', token('LO', 9007)), sq(0x00091002, [el(0x00100010, 'PN', token('LO', 9008))]), el(0x00104321, 'UN', token('LO', 9009)),
    el(0x50003000, 'OW', token('LO', 9010)), el(0x60000022, 'LO', token('LO', 9011)), el(0x60001500, 'LO', token('LO', 9012)), el(0x60003000, 'OW', token('LO', 9013)),
    el(0x00286022, 'OB', token('LO', 9014)), el(0x00041220, 'LO', token('LO', 9015)), el(0x00200242, 'UI', '1.2.999.779016.1'),
  ];
  const deep = sq(around[1], [sq(around[2], [sq(around[3], listed(new Set()), unlisted.filter(({ tag }) => tag >>> 16 > 8))])]);
  const elements = ct(...listed(needed), ...unlisted.filter(({ tag }) => tag > 0x0004ffff), sq(around[0], listed(new Set())), deep);
  const from = join(root, 'in.dcm');
  writeFileSync(from, part10(elements));
  const planted = readFileSync(from).toString('latin1');
  assert.ok(tokens.every(([, value]) => planted.includes(value)));
  for (const [mode, rules] of MODES) {
    const to = join(root, `${mode}.dcm`);
    const result = await rewriteFile(from, to, rules);
    assert.equal(result.kind, 'written');
    const bytes = readFileSync(to).toString('latin1');
    // The shift keeps times of day, and may turn one planted day into another: nothing but those may stay.
    const left = tokens.filter(([vr, value]) => bytes.includes(value) && !(mode === 'shifted' && (vr === 'TM' || vr === 'DA')));
    assert.deepEqual(left, [], mode);
    const others = ['preamble', 'METAAET', '1.2.999.779016', '17770701', ...Array.from({ length: 16 }, (_, which) => token('LO', 9001 + which))];
    assert.deepEqual(others.filter((value) => bytes.includes(value)), [], mode);
  }
  assert.ok(tokens.length > 1900);
});

/** Lines of dciodvfy with their values stripped, so that a mapped UID is no new error. */
function errorsOf(path: string): Set<string> {
  const { stderr, stdout } = spawnSync('dciodvfy', [path], { encoding: 'latin1', maxBuffer: 64 << 20 });
  return new Set(`${stderr}\n${stdout}`.split('\n').filter((line) => line.startsWith('Error')).map((line) => line.replace(/= ?<[^>]*>$|"[^"]*"|(?<=InstanceUID) .*/, '').replaceAll(/\d+(?:\.\d+)+/g, '')));
}

test('dciodvfy finds no error that the original did not have, and dcmftest and dcmdump read it', { ...withShared, ...(peers.length === 0 ? {} : { skip: `not installed: ${peers.join(' ')}` }) }, async (t) => {
  const root = folder(t);
  const wanted = new Map([['CT', 4], ['MR', 4], ['US', 4], ['SC', 4], ['OT', 3], ['RTSTRUCT', 1], ['RTPLAN', 4], ['RTDOSE', 2], ['SR', 6], ['PR', 1], ['SEG', 6], ['DOC', 2], ['KO', 1], ['PT', 2], ['NM', 2], ['MG', 1], ['DX', 1], ['CR', 2], ['SM', 1], ['ECG', 1]]);
  const seen = new Map<string, number>();
  const readable = new Set(readFileSync(join(SHARED, 'TOOLS.tsv'), 'utf8').split('\n').map((line) => line.split('\t')).filter(([, dump]) => dump === 'ok').map(([path]) => path));
  for (const line of readFileSync(join(SHARED, 'MANIFEST.tsv'), 'utf8').split('\n').slice(1)) {
    const [path = '', , , , , , , sopClass = '', , itsModality = ''] = line.split('\t');
    const modality = sopClass.startsWith('1.2.840.10008.5.1.4.1.1.7') && !/\.7\d/.test(sopClass) ? 'SC' : itsModality;
    const count = seen.get(modality) ?? 0;
    // The sentinel files are a kitchen sink, which no IOD describes.
    if (!readable.has(path) || path.includes('/phi/') || path.includes('/hostile/') || count >= (wanted.get(modality) ?? 0)) continue;
    const from = join(SHARED, path);
    const before = errorsOf(from);
    if ([...before].some((error) => error.includes('Information Object Not found'))) continue;
    for (const [mode, rules] of MODES) {
      const to = join(root, 'out.dcm');
      rmSync(to, { force: true });
      const result = await rewriteFile(from, to, rules);
      if (result.kind !== 'written') continue;
      if (mode === 'basic') seen.set(modality, count + 1);
      assert.deepEqual([...errorsOf(to)].filter((error) => !before.has(error)), [], `${path} ${mode}`);
      assert.match(execFileSync('dcmftest', [to], { encoding: 'latin1' }), /^yes/);
      execFileSync('dcmdump', [to], { stdio: 'ignore' });
    }
  }
  for (const [modality] of wanted) if (modality !== 'OT') assert.ok((seen.get(modality) ?? 0) > 0, `a ${modality} was checked`);
});

test('the same key, profile and bytes give the same bytes, by any rules object', async (t) => {
  const root = folder(t);
  const from = join(root, 'in.dcm');
  writeFileSync(from, part10(ct(el(0x00080020, 'DA', '20240301'), el(0x00181030, 'LO', 'Head'), el(0x7fe00010, 'OW', 'pixels'))));
  const digests = new Set<string>();
  for (let n = 0; n < 3; n += 1) {
    const to = join(root, `${n}.dcm`);
    const result = await rewriteFile(from, to, rulesFor({ preset: 'basic-shifted-dates' }));
    assert.equal(result.kind, 'written');
    digests.add(createHash('sha256').update(readFileSync(to)).digest('hex'));
  }
  assert.equal(digests.size, 1);
});
