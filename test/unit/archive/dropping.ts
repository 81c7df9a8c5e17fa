/** Drops files into an extraction and tells what came out. */
import assert from 'node:assert/strict';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { extract } from '../../../nodes/engine/archive/extract';
import { DEFAULT_SETTINGS } from '../../../nodes/engine/archive/settings';
import type { ExtractLimits, ExtractSettings } from '../../../nodes/engine/archive/settings';
import { ExdicomError } from '../../../nodes/engine/errors';
import type { Extraction, FoundEntry } from '../../../nodes/engine/ledger/ledger-types';
import { memoryLedger } from '../../support/memory-ledger';

export interface Came {
  readonly code: string | undefined;
  readonly error: ExdicomError | undefined;
  readonly entries: readonly FoundEntry[];
  readonly extraction: Extraction | undefined;
  /** Contents of the instances, in order. */
  readonly contents: readonly Buffer[];
  /** Names of what lies in the stage's folder afterwards. */
  readonly stayed: readonly string[];
  readonly calls: readonly string[];
}

export interface DropOptions extends Omit<Partial<ExtractSettings>, 'limits'> {
  readonly limits?: Partial<ExtractLimits>;
  readonly issuer?: string;
  /** Passwords given by hand for this job. */
  readonly byHand?: readonly string[];
}

/** @param files by their foreign names. */
export async function drop(files: Readonly<Record<string, Buffer>>, { limits, issuer, byHand = [], ...settings }: DropOptions = {}): Promise<Came> {
  const folder = mkdtempSync(join(tmpdir(), 'exdicom-drop-'));
  const spooled = Object.entries(files).map(([name, content], i) => {
    const path = join(folder, `${i + 1}`);
    writeFileSync(path, content);
    return { path, name };
  });
  const memory = memoryLedger(spooled, issuer);
  try {
    let error: ExdicomError | undefined;
    let extraction: Extraction | undefined;
    try {
      extraction = await extract({ ...memory.ledger, passwords: () => byHand }, memory.token, { ...DEFAULT_SETTINGS, ...settings, limits: { ...DEFAULT_SETTINGS.limits, ...limits } }, { signal: AbortSignal.timeout(60_000), progress: () => undefined });
    } catch (thrown) {
      assert.ok(thrown instanceof ExdicomError, String(thrown));
      error = thrown;
    }
    assert.deepEqual(readdirSync(folder).toSorted(), spooled.map(({ path }) => basename(path)).toSorted(), 'the source is untouched');
    const entries = memory.entries();
    return {
      error, code: error?.code, entries, extraction, calls: memory.calls,
      contents: entries.flatMap(({ file }) => (file === undefined ? [] : [readFileSync(file.path)])),
      stayed: readdirSync(memory.stage).toSorted(),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
    rmSync(memory.root, { recursive: true, force: true });
  }
}

/** Kind and code of every entry, in a line each. */
export const story = (entries: readonly FoundEntry[]): readonly string[] => entries.map(({ kind, code, name }) => [kind, code, name].filter((part) => part !== undefined).join(' '));
