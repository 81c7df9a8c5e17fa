/** Every archive of the shared data, dropped in as it is, against what reference tools found in it. */
import assert from 'node:assert/strict';
import { createHash, hash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { after, describe, test } from 'node:test';
import { extract } from '../../nodes/engine/archive/extract';
import { DEFAULT_SETTINGS } from '../../nodes/engine/archive/settings';
import { volumeSets } from '../../nodes/engine/archive/volumes';
import { identifyFile } from '../../nodes/engine/dicom/identify';
import { ExdicomError } from '../../nodes/engine/errors';
import { closePool } from '../../nodes/engine/workers/pool';
import { memoryLedger } from '../support/memory-ledger';

const data = resolve(process.cwd(), '../shared/data');
const present = existsSync(join(data, 'ARCHIVES.tsv'));

function table(name: string): ReadonlyArray<Readonly<Record<string, string>>> {
  const [head = '', ...rows] = readFileSync(join(data, name), 'utf8').split('\n').filter((line) => line !== '');
  const columns = head.split('\t');
  return rows.map((row) => Object.fromEntries(row.split('\t').map((cell, i) => [columns[i] ?? '', cell])));
}

interface Outcome {
  readonly error: ExdicomError | undefined;
  readonly kinds: Readonly<Record<string, number>>;
  readonly codes: readonly string[];
  readonly names: readonly string[];
  readonly sha256: readonly string[];
  readonly dataSets: readonly string[];
}

/** Digest of the data set of a file in the shared data, found by its own digest; the file's where it is not there. */
function dataSetOf(digest: string): string {
  const row = table('MANIFEST.tsv').find(({ sha256 }) => sha256 === digest);
  if (row === undefined) return digest;
  const path = join(data, row['path'] ?? '');
  const found = identifyFile(path);
  return found.kind === 'instance' ? hash('sha256', readFileSync(path).subarray(found.identity.dataSetOffset)) : digest;
}

async function dropIn(files: readonly string[], passwords: readonly string[]): Promise<Outcome> {
  const memory = memoryLedger(files);
  try {
    let error: ExdicomError | undefined;
    try {
      await extract(memory.ledger, memory.token, { ...DEFAULT_SETTINGS, passwords }, { signal: AbortSignal.timeout(120_000), progress: () => undefined });
    } catch (thrown) {
      assert.ok(thrown instanceof ExdicomError, String(thrown));
      error = thrown;
    }
    const entries = memory.entries();
    const kinds: Record<string, number> = {};
    for (const { kind } of entries) kinds[kind] = (kinds[kind] ?? 0) + 1;
    // Nothing but instances stays, all of them ours by name and by mode, and nothing lies outside.
    const stayed = existsSync(memory.stage) ? readdirSync(memory.stage) : [];
    if (error === undefined) assert.deepEqual(stayed.toSorted(), entries.flatMap(({ file }) => (file === undefined ? [] : [file.path.slice(memory.stage.length + 1)])).toSorted());
    for (const name of stayed) {
      assert.match(name, /^\d{6,}\.\w+$/);
      assert.equal(statSync(join(memory.stage, name)).mode & 0o077, 0);
    }
    assert.deepEqual(readdirSync(memory.root).filter((name) => name !== 'extract'), []);
    for (const { file } of entries) if (file !== undefined) assert.equal(createHash('sha256').update(readFileSync(file.path)).digest('hex'), file.sha256);
    return {
      error, kinds,
      codes: entries.flatMap(({ code }) => (code === undefined ? [] : [code])),
      names: entries.map(({ name }) => name),
      sha256: entries.flatMap(({ file }) => (file === undefined ? [] : [file.sha256])),
      dataSets: entries.flatMap(({ file }) => (file?.dataSetSha256 === undefined ? [] : [file.dataSetSha256])),
    };
  } finally {
    rmSync(memory.root, { recursive: true, force: true });
  }
}

/** Where the reference tools list instances that must not come out: what is cut off, incomplete, or not unpacked at all. */
const REFUSED: Readonly<Record<string, string>> = {
  'made/truncated_40.zip': 'ARCHIVE_DAMAGED', 'made/truncated_95.zip': 'ARCHIVE_DAMAGED', 'made/rar5_truncated.rar': 'ARCHIVE_DAMAGED',
  'made/rar5_missing_part2.part1.rar': 'MISSING_VOLUME', 'made/bomb_overlap.zip': 'LIMIT_OVERLAP',
  'made/study.7z': 'UNSUPPORTED_ARCHIVE', 'made/enc_header.7z': 'UNSUPPORTED_ARCHIVE', 'made/study.tar.gz': 'UNSUPPORTED_ARCHIVE', 'made/single.dcm.gz': 'UNSUPPORTED_ARCHIVE', 'made/tar_slip_links.tar': 'UNSUPPORTED_ARCHIVE',
  'made/empty.zip': 'ARCHIVE_EMPTY', 'made/only_dirs.zip': 'ARCHIVE_EMPTY', 'made/rar5_empty.rar': 'ARCHIVE_EMPTY',
  'made/no_dicom_inside.zip': 'NO_DICOM', 'made/rar5_no_dicom.rar': 'NO_DICOM', 'made/bomb_single_512mb.zip': 'LIMIT_RATIO', 'made/bomb_nested_42style.zip': 'LIMIT_DEPTH',
};
/** Codes that single entries must end with, beside the instances. */
const ENTRY_CODES: Readonly<Record<string, readonly string[]>> = {
  'made/symlink.zip': ['ENTRY_LINK'], 'made/bad_crc.zip': ['ENTRY_DAMAGED'], 'made/nested_zip_rar.zip': ['LIMIT_DEPTH'], 'made/rar5_bad_crc.rar': ['ENTRY_CRC'],
};
const NAMES: Readonly<Record<string, readonly string[]>> = Object.fromEntries(
  ['names_cp949_noflag.zip', 'names_utf8_flag.zip', 'names_utf8_noflag.zip', 'rar4_korean_names_cp949.rar', 'rar4_korean_names_utf8.rar', 'rar5_korean_names.rar']
    .map((name) => [`made/${name}`, ['환자_홍길동/흉부CT_001.dcm', '환자_홍길동/흉부CT_002.dcm', '김철수(1970)/뇌MR 영상.dcm']]),
);

describe('archives of the shared data', { skip: present ? false : 'no ../shared/data' }, () => {
  after(closePool);
  if (!present) return;

  const contents = Map.groupBy(table('ARCHIVE_CONTENTS.tsv'), (row) => row['archive'] ?? '');
  const archives = table('ARCHIVES.tsv');
  const byFolder = Map.groupBy(archives, (row) => dirname(row['path'] ?? ''));

  for (const rows of byFolder.values()) {
    for (const set of volumeSets(rows.map((row) => row['path'] ?? ''))) {
      const first = rows[set[0] ?? 0] ?? {};
      const path = first['path'] ?? '';
      const short = path.replace('archives/', '');
      test(short, { timeout: 180_000 }, async () => {
        const passwords = [...(first['password'] ?? '').matchAll(/"([^"]+)"|=(\S+)|^(\S+)$/g)].map((match) => match[1] ?? match[2] ?? match[3] ?? '');
        const found = await dropIn(set.map((index) => join(data, rows[index]?.['path'] ?? '')), passwords);
        if (process.env['EXDICOM_TEST_REPORT'] !== undefined) console.log(`${short}\t${found.error?.code ?? ''}\t${JSON.stringify(found.kinds)}\t${[...new Set(found.codes)].join()}`);
        assert.notEqual(found.error?.code, 'INTERNAL', found.error?.origin() instanceof Error ? String((found.error.origin() as Error).stack) : undefined);
        assert.notEqual(found.error?.code, 'WORKER_CRASHED');
        if (REFUSED[short] !== undefined) {
          assert.equal(found.error?.code, REFUSED[short]);
          return;
        }
        // Without a SOP Instance UID it is no more than a preamble and a prefix.
        const wanted = (contents.get(path) ?? []).filter((row) => row['kind'] === 'instance' && (row['sop_instance_uid'] ?? '') !== '').map((row) => row['sha256'] ?? '');
        if (short.startsWith('made/')) assert.equal(found.error, undefined);
        if (wanted.length > 0) {
          assert.equal(found.error, undefined);
          // A file without File Meta Information is given one: its data set is what must be the same.
          assert.deepEqual(wanted.filter((digest) => !found.sha256.includes(digest) && !found.dataSets.includes(dataSetOf(digest))), []);
        }
        for (const code of ENTRY_CODES[short] ?? []) assert.ok(found.codes.includes(code), `${code} in ${found.codes.join()}`);
        if (NAMES[short] !== undefined) assert.deepEqual(found.names, NAMES[short]);
      });
    }
  }

  test('an encrypted archive waits for its password, with none and with a wrong one', async () => {
    for (const name of ['enc_zipcrypto.zip', 'enc_aes128.zip', 'enc_aes256.zip']) {
      for (const passwords of [[], ['wrong']]) {
        const found = await dropIn([join(data, 'archives/made', name)], passwords);
        assert.equal(found.error?.code, 'NEEDS_PASSWORD', name);
      }
    }
  });
});
