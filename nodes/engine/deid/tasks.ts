/** What workers do for de-identification: rewrite files, each for itself. */
import { rmSync, statSync } from 'node:fs';
import { inflatedName, rewriteFile } from '../dicom/rewrite';
import type { RewriteResult } from '../dicom/rewrite-types';
import { toExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { DicomFile } from '../model';
import type { Task, TaskContext } from '../workers/task';
import { keyFingerprint } from './keyed';
import type { CompiledProfile } from './profile';
import { DeidentificationRules } from './rules';

export interface DeidFilesInput {
  readonly profile: CompiledProfile;
  /** The bytes of the key. */
  readonly key: Uint8Array;
  /** Default Issuer of Patient ID of the job's source; empty where there is none. */
  readonly issuer: string;
  /** `from` is read, `to` written. Nobody may look at `to` before this file's output is there: until then it may be a part. */
  readonly files: ReadonlyArray<{ readonly n: number; readonly from: string; readonly to: string }>;
}

export type DeidFileOutput =
  | { readonly kind: 'written'; readonly n: number; readonly sha256: string; readonly mtimeMs: number; readonly file: Omit<DicomFile, 'instance'>; readonly marks?: readonly string[] }
  | { readonly kind: 'quarantined'; readonly n: number; readonly code: ErrorCode; readonly detail?: string; readonly marks?: readonly string[] };

let cached: { readonly id: string; readonly rules: DeidentificationRules } | undefined;

/** A worker serves one profile at a time, so the last rules are the ones to keep. */
function rulesFor({ profile, key, issuer }: DeidFilesInput): DeidentificationRules {
  const id = JSON.stringify([profile.fingerprint, keyFingerprint(key, profile.scope), issuer]);
  if (cached?.id !== id) cached = { id, rules: new DeidentificationRules({ profile, key, issuer }) };
  return cached.rules;
}

/** By whatever names: a link, another path to the same folder. */
function isSameFile(from: string, to: string): boolean {
  const target = statSync(to, { bigint: true, throwIfNoEntry: false });
  if (target === undefined) return false;
  const source = statSync(from, { bigint: true, throwIfNoEntry: false });
  return source?.dev === target.dev && source.ino === target.ino;
}

/** What a process that was killed left half written is in the way of nobody. */
async function rewriteAnew(rules: DeidentificationRules, from: string, to: string): Promise<RewriteResult> {
  try {
    return await rewriteFile(from, to, rules);
  } catch (thrown) {
    if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'EEXIST')) throw thrown;
  }
  for (const left of [to, inflatedName(to)]) rmSync(left, { force: true });
  return rewriteFile(from, to, rules);
}

/** Faults of the disk concern the job, not the file: they are thrown, and the job is tried again. */
async function rewriteOne(rules: DeidentificationRules, { n, from, to }: DeidFilesInput['files'][number]): Promise<DeidFileOutput> {
  // Whatever led here, no file makes room for itself.
  if (isSameFile(from, to)) return { kind: 'quarantined', n, code: 'DEID_UNSUPPORTED', detail: 'the file is its own result' };
  try {
    const result = await rewriteAnew(rules, from, to);
    switch (result.kind) {
      case 'written': {
        // Not synced: what a power failure takes has another size, is noticed by that, and is made again, byte for byte.
        const { sha256, mtimeMs, bytes, sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality } = result;
        return { kind: 'written', n, sha256, mtimeMs, file: { path: to, bytes, sopClassUID, sopInstanceUID, seriesInstanceUID, studyInstanceUID, transferSyntaxUID, modality } };
      }
      case 'refused': return { n, ...result.refusal, kind: 'quarantined' };
      case 'unreadable': return { kind: 'quarantined', n, code: 'DEID_UNREADABLE', detail: `offset ${result.offset}: ${result.detail}` };
    }
  } catch (thrown) {
    rmSync(to, { force: true });
    const error = toExdicomError(thrown);
    if (error.retryable) throw error;
    return error.code === 'INTERNAL' ? { kind: 'quarantined', n, code: 'DEID_UNREADABLE', detail: 'internal' } : { kind: 'quarantined', n, code: error.code };
  }
}

async function files(input: DeidFilesInput, context: TaskContext): Promise<DeidFileOutput[]> {
  const rules = rulesFor(input);
  const outputs: DeidFileOutput[] = [];
  for (const file of input.files) {
    rules.takeMarks();
    const output = await rewriteOne(rules, file);
    outputs.push({ ...output, marks: rules.takeMarks() });
    context.progress(outputs.length, input.files.length);
  }
  return outputs;
}

export const deidTasks = { 'deid.files': files } satisfies Record<string, Task<never, unknown>>;
