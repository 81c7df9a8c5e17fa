/** De-identification of a job's files: what is done already is taken as it is, the rest runs on the workers in batches. */
import { createHash } from 'node:crypto';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import type { Ledger, PreparedFile, Quarantined } from '../ledger/ledger-types';
import type { Anonymized, DicomFile, JobToken, OwnPath, Sha256 } from '../model';
import { turns } from '../turns';
import { runTask, workerCount } from '../workers/pool';
import { keyFingerprint } from './keyed';
import type { CompiledProfile } from './profile';
import type { DeidFileOutput, DeidFilesInput } from './tasks';

export interface AnonymizeSettings {
  readonly profile: CompiledProfile;
  /** From `loadKey` or `jobKey`. */
  readonly key: Buffer;
}

export interface AnonymizeContext {
  readonly signal: AbortSignal;
  readonly progress: (done: number, total: number) => void;
  /** How a batch is run; the pool of workers unless a test stands in for it. */
  readonly run?: typeof runTask<'deid.files'>;
}

/** What of the ledger de-identification needs. */
export type AnonymizeLedger = Pick<Ledger, 'pinProfile' | 'prepared' | 'numberFiles' | 'stageFolder' | 'job' | 'attempting' | 'progressed' | 'recordPreparation'>;

export interface AnonymizeResult {
  /** In the order of the input, without what is in quarantine. */
  readonly files: DicomFile[];
  readonly anonymized: Anonymized;
  readonly quarantined: Array<{ instance: number; code: ErrorCode }>;
}

type NumberedFile = DicomFile & { readonly instance: number };

const BATCH_FILES = { most: 64, least: 8 };
const BATCH_BYTES = { most: 32 << 20, least: 4 << 20 };
/** Milliseconds: what a thread may take to start on a loaded machine, for every file, and for every MiB at 1 MiB/s. */
const TIME = { start: 60_000, file: 500, mebibyte: 1000 };

/**
 * The files in batches of bounded count and bytes; a file larger than a batch is one of its own. Towards the end they become
 * smaller, so that no worker is left with a whole one when the others have nothing more to do.
 */
export function batchesOf<T extends { readonly bytes: number }>(files: readonly T[], workers = workerCount): T[][] {
  const batches: T[][] = [];
  const share = (left: number, { most, least }: { readonly most: number; readonly least: number }): number => Math.min(most, Math.max(least, Math.ceil(left / workers / 2)));
  let left = files.reduce((sum, { bytes }) => sum + bytes, 0);
  let last: T[] = [];
  let bytes = 0;
  let most = { files: 0, bytes: 0 };
  for (const [index, file] of files.entries()) {
    if (last.length >= most.files || bytes + file.bytes > most.bytes) {
      last = [];
      bytes = 0;
      most = { files: share(files.length - index, BATCH_FILES), bytes: share(left, BATCH_BYTES) };
      batches.push(last);
    }
    last.push(file);
    bytes += file.bytes;
    left -= file.bytes;
  }
  return batches;
}

function timeLimit(batch: readonly DicomFile[]): number {
  const bytes = batch.reduce((sum, file) => sum + file.bytes, 0);
  return TIME.start + batch.length * TIME.file + Math.ceil(bytes / (1 << 20)) * TIME.mebibyte;
}

/** What decides the bytes of a result: profile, engine, tables, and the key without which it could not be made again. */
export function settingsDigest({ profile, key }: AnonymizeSettings): string {
  return createHash('sha256').update(`${profile.fingerprint} ${keyFingerprint(key, profile.scope)}`).digest('hex');
}

async function isOnDisk({ path, bytes }: PreparedFile): Promise<boolean> {
  try {
    return (await stat(path)).size === bytes;
  } catch {
    return false;
  }
}

function isCulprit(thrown: unknown): thrown is ExdicomError {
  return thrown instanceof ExdicomError && (thrown.code === 'WORKER_CRASHED' || thrown.code === 'WORKER_TIMEOUT');
}

class Anonymization {
  readonly prepared = new Map<number, PreparedFile>();
  readonly quarantined = new Map<number, ErrorCode>();
  resumed = 0;
  readonly #ledger: AnonymizeLedger;
  readonly #token: JobToken;
  readonly #settings: AnonymizeSettings;
  readonly #context: AnonymizeContext;
  readonly #digest: string;
  readonly #total: number;
  #done = 0;
  /** The job is suspected of having killed the process. */
  #apart = false;

  constructor(ledger: AnonymizeLedger, token: JobToken, total: number, settings: AnonymizeSettings, context: AnonymizeContext) {
    this.#ledger = ledger;
    this.#token = token;
    this.#settings = settings;
    this.#context = context;
    this.#digest = settingsDigest(settings);
    this.#total = total;
  }

  async run(files: readonly NumberedFile[]): Promise<void> {
    const { profile } = this.#settings;
    await this.#ledger.pinProfile(this.#token.id, { name: profile.name, fingerprint: this.#digest });
    const rest = await this.#resume(files);
    if (rest.length === 0) return;
    const [folder, job] = await Promise.all([this.#ledger.stageFolder(this.#token.id, 'anonymize'), this.#ledger.job(this.#token.id)]);
    this.#apart = await this.#ledger.attempting(this.#token.id, 'anonymize');
    const batches = batchesOf(rest);
    let next = 0;
    const lane = async (): Promise<void> => {
      // One batch is entered into the ledger while the next is worked on, so that no thread waits for a disk to flush.
      let recording = Promise.resolve();
      try {
        for (let batch = batches[next]; batch !== undefined; batch = batches[next]) {
          next += 1;
          const outputs = await this.#outputs(batch, folder, job.issuer ?? '');
          await recording;
          recording = this.#record(batch, outputs);
          // What it rejects with is awaited a batch later, which must not count as unhandled until then.
          recording.catch(() => undefined);
        }
      } catch (thrown) {
        next = batches.length;
        throw thrown;
      } finally {
        await recording;
      }
    };
    // Every lane ends before this does, so that nothing writes into a folder that is given up.
    const lanes = await Promise.allSettled(Array.from({ length: Math.min(workerCount, batches.length) }, lane));
    for (const ended of lanes) if (ended.status === 'rejected') throw ended.reason;
  }

  /** Takes over what an earlier attempt has left on disk; returns what is still to do. */
  async #resume(files: readonly NumberedFile[]): Promise<NumberedFile[]> {
    const { files: prepared, quarantined } = await this.#ledger.prepared(this.#token.id, 'anonymize', this.#digest, files);
    const found = new Map(prepared.map((file) => [file.instance, file]));
    const set = new Map(quarantined.map(({ instance, code }) => [instance, code]));
    const rest: NumberedFile[] = [];
    for (const file of files) {
      const earlier = found.get(file.instance);
      const code = set.get(file.instance);
      if (code !== undefined) this.quarantined.set(file.instance, code);
      else if (earlier !== undefined && await isOnDisk(earlier)) this.prepared.set(file.instance, earlier);
      else {
        rest.push(file);
        continue;
      }
      this.resumed += 1;
      this.#advance(1);
    }
    return rest;
  }

  #advance(count: number): void {
    this.#done += count;
    this.#context.progress(this.#done, this.#total);
  }

  async #outputs(batch: readonly NumberedFile[], folder: OwnPath, issuer: string): Promise<readonly DeidFileOutput[]> {
    try {
      return await this.#work(batch, folder, issuer);
    } catch (thrown) {
      this.#context.signal.throwIfAborted();
      if (!isCulprit(thrown)) throw thrown;
    }
    // One file of the batch has cost the worker: each alone, and only the one that does it again and again is set aside.
    for (const file of batch) await this.#record([file], await this.#alone(file, folder, issuer));
    return [];
  }

  async #alone(file: NumberedFile, folder: OwnPath, issuer: string): Promise<readonly DeidFileOutput[]> {
    for (let apart = this.#apart; ; apart = true) {
      try {
        return await this.#work([file], folder, issuer, apart);
      } catch (thrown) {
        this.#context.signal.throwIfAborted();
        if (!isCulprit(thrown)) throw thrown;
        if (thrown.code === 'WORKER_TIMEOUT') return [{ kind: 'quarantined', n: file.instance, code: thrown.code }];
        // The process or the batch, a thread or the batch, and now a process with nothing else in it.
        if (apart) return [{ kind: 'quarantined', n: file.instance, code: 'CONDEMNED' }];
      }
    }
  }

  #work(batch: readonly NumberedFile[], folder: OwnPath, issuer: string, apart = this.#apart): Promise<DeidFileOutput[]> {
    const { profile, key } = this.#settings;
    const input: DeidFilesInput = {
      profile, key, issuer,
      files: batch.map(({ instance, path }) => ({ n: instance, from: path, to: join(folder, `${instance}.dcm`) })),
    };
    const { signal, run = runTask<'deid.files'> } = this.#context;
    return run('deid.files', input, { signal, timeLimit: timeLimit(batch), apart });
  }

  async #record(batch: readonly NumberedFile[], outputs: readonly DeidFileOutput[]): Promise<void> {
    if (outputs.length === 0) return;
    const origins = new Map(batch.map((file) => [file.instance, file.path]));
    const files: PreparedFile[] = [];
    const quarantined: Quarantined[] = [];
    for (const output of outputs) {
      const instance = output.n;
      // Numbered files came from the ledger, so their paths are its own; what the rewriter names lies in the stage's folder.
      const from = (origins.get(instance) ?? '') as OwnPath;
      if (output.kind === 'written') {
        const { sha256, mtimeMs, file, marks = [] } = output;
        files.push({ instance, from, path: file.path as OwnPath, sha256: sha256 as Sha256, bytes: file.bytes, mtimeMs, file: { ...file, instance }, marks });
      } else {
        const { code, detail, marks = [] } = output;
        quarantined.push({ instance, code, path: from, marks, ...(detail === undefined ? {} : { detail }) });
      }
    }
    await this.#ledger.recordPreparation(this.#token.id, { stage: 'anonymize', settings: this.#digest, profile: this.#settings.profile.name, files, quarantined });
    await this.#ledger.progressed(this.#token.id, 'anonymize');
    for (const file of files) this.prepared.set(file.instance, file);
    for (const { instance, code } of quarantined) this.quarantined.set(instance, code);
    this.#advance(outputs.length);
  }
}

/**
 * De-identifies the files of a job (PS3.15, Annex E). A file that cannot be vouched for is quarantined with its code and
 * costs no other.
 * @throws {ExdicomError} PROFILE_CHANGED where the job began with another profile or key; retryable faults of the disk.
 */
export async function anonymize(
  ledger: AnonymizeLedger, token: JobToken, files: readonly DicomFile[], settings: AnonymizeSettings, context: AnonymizeContext,
): Promise<AnonymizeResult> {
  // One file may be there twice, where a flow made it so.
  const wanted = [...new Map((await ledger.numberFiles(token.id, files)).map((file) => [file.path, file])).values()];
  const work = new Anonymization(ledger, token, wanted.length, settings, context);
  await turns.during(`${token.id} anonymize`, context.signal, () => work.run(wanted));
  const quarantined = wanted.flatMap(({ instance }) => {
    const code = work.quarantined.get(instance);
    return code === undefined ? [] : [{ instance, code }];
  });
  const written = wanted.flatMap(({ instance }) => work.prepared.get(instance)?.file ?? []);
  return {
    files: written, quarantined,
    anonymized: { profile: settings.profile.name, files: written.length, quarantined, resumed: work.resumed },
  };
}
