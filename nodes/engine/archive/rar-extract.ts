/** Unpacks entries of a RAR archive through unrar, one after the other. */
import { UnrarError } from 'node-unrar-js/dist/js/Extractor';
import { ExdicomError } from '../errors';
import type { ErrorCode } from '../errors';
import { isJunkName } from './names';
import type { RarDirectory, RarEntry } from './rar-directory';
import { RATIO_FROM } from './settings';
import type { ExtractLimits } from './settings';
import { settleCopy, Sink } from './settle';
import type { SettleContext, Settled, Verdict } from './settle';
import { newUnrar } from './unrar';
import type { EntryWriter, FileHeader, Unrar } from './unrar';
import type { ShareResult } from './zip-extract';

export interface RarShare {
  readonly directory: RarDirectory;
  readonly from: number;
  readonly to: number;
  /** Number of the archive's first entry within the job. */
  readonly base: number;
  readonly prefix: string;
  readonly passwords: readonly string[];
  readonly limits: ExtractLimits;
  readonly context: SettleContext;
}

/** Takes an entry's bytes and remembers why it did not take more. */
class GuardedSink implements EntryWriter {
  refused: ErrorCode | undefined;
  readonly sink: Sink;

  constructor(n: number, private readonly entry: RarEntry, private readonly limits: ExtractLimits, context: SettleContext) {
    this.sink = new Sink(n, context, entry.size);
  }

  write(chunk: Uint8Array): boolean {
    const bytes = this.sink.bytes + chunk.length;
    if (this.entry.size === undefined) {
      // Nobody announced a size, so it is judged on the way.
      if (bytes > this.limits.bytes) this.refused = 'LIMIT_BYTES';
      else if (bytes > RATIO_FROM && bytes > this.entry.packed * this.limits.ratio) this.refused = 'LIMIT_RATIO';
    }
    if (this.refused === undefined && !this.sink.write(chunk)) this.refused = 'ENTRY_DAMAGED';
    return this.refused === undefined;
  }
}

interface Failure {
  /** Of the entry; undefined where it happened outside of any. */
  readonly index: number | undefined;
  readonly thrown: unknown;
  readonly refused: ErrorCode | undefined;
}

const sameEntry = (one: FileHeader, other: FileHeader | undefined): boolean => other !== undefined
  && one.name === other.name && one.unpSize === other.unpSize && one.packSize === other.packSize && one.crc === other.crc && one.time === other.time;

interface Current {
  readonly index: number;
  readonly entry: RarEntry;
  readonly guarded: GuardedSink;
}

class RarExtraction {
  readonly verdicts = new Map<number, Verdict>();
  readonly #byPosition: ReadonlyMap<number, number>;
  #current: Current | undefined;
  #position = -1;
  proven = false;

  constructor(private readonly share: RarShare, private readonly tick: () => void) {
    this.#byPosition = new Map(share.directory.entries.map(({ position }, index) => [position, index]));
  }

  #begin(): void {
    this.#position = -1;
    this.#current = undefined;
  }

  /** Asked by unrar for each header in turn. */
  #wants(unrar: Unrar, header: FileHeader, password: string | undefined): boolean {
    const { directory, base, limits, context, from, to } = this.share;
    // What is skipped and goes on in the next volume is met there again, though it is listed once.
    if (!sameEntry(header, directory.headers[this.#position + 1])) return false;
    this.#position += 1;
    this.#current = undefined;
    unrar.writer = undefined;
    // In a solid archive there is no other way to the entries behind it. With a wrong password it may be sound.
    unrar.goesOn = directory.solid && !header.flags.encrypted;
    const index = this.#byPosition.get(this.#position);
    if (index === undefined || index < from || index >= to || this.verdicts.has(index)) return false;
    const entry = directory.entries[index]!;
    if (entry.encrypted && password === undefined) return false;
    unrar.current = index;
    unrar.createdOne = false;
    unrar.copyOf = undefined;
    this.#current = { index, entry, guarded: new GuardedSink(base + index, entry, limits, context) };
    unrar.writer = this.#current.guarded;
    return true;
  }

  /** Unpacks what has no verdict yet until the end or the first failure. */
  async run(password: string | undefined): Promise<Failure | undefined> {
    using unrar: Unrar = await newUnrar(this.share.directory.input, password ?? '');
    this.#begin();
    try {
      const files = unrar.extract({ files: (header) => this.#wants(unrar, header, password) }).files;
      // The iterator is followed to its end: what unrar holds is freed only there.
      while (files.next().done !== true) this.#keep(unrar);
      return undefined;
    } catch (thrown) {
      const failed = this.#current;
      failed?.guarded.sink.discard();
      const ofEntry = thrown instanceof UnrarError || thrown instanceof WebAssembly.RuntimeError || (thrown instanceof ExdicomError && thrown.code === 'ENTRY_DAMAGED');
      if (!ofEntry) throw thrown;
      return { index: failed?.index ?? this.#byPosition.get(this.#position), thrown, refused: failed?.guarded.refused };
    }
  }

  #keep(unrar: Unrar): void {
    const done = this.#current;
    if (done === undefined) return;
    this.verdicts.set(done.index, unrar.damaged ? this.#damaged(done.guarded) : this.#verdict(unrar, done.index, done.entry, done.guarded.sink));
    if (done.entry.encrypted) this.proven = true;
    this.tick();
  }

  #damaged({ sink, refused = 'ENTRY_CRC' }: GuardedSink): Verdict {
    sink.discard();
    return { kind: 'unreadable', code: refused };
  }

  #verdict(unrar: Unrar, index: number, entry: RarEntry, sink: Sink): Verdict {
    if (unrar.copyOf !== undefined) {
      sink.discard();
      const of = this.verdicts.get(unrar.created.get(unrar.copyOf) ?? -1);
      return of === undefined ? { kind: 'unreadable', code: 'ENTRY_DAMAGED' } : settleCopy(of, this.share.base + index, this.share.context);
    }
    if (!unrar.createdOne) {
      sink.discard();
      return { kind: 'unreadable', code: 'ENTRY_LINK' };
    }
    if (entry.size !== undefined && sink.bytes !== entry.size) {
      sink.discard();
      return { kind: 'unreadable', code: 'ENTRY_DAMAGED' };
    }
    return sink.settle(entry.name);
  }
}

/** Unpacks entries `from` to `to` of a RAR. Stops early at an entry for which no password fits: the job waits for one then. */
export async function extractRar(share: RarShare, tick: () => void): Promise<ShareResult> {
  const { directory, from, to } = share;
  const passwords = directory.headerPassword === undefined ? [...share.passwords] : [directory.headerPassword];
  const work = new RarExtraction(share, tick);
  for (let i = from; i < to; i += 1) {
    const { refused } = directory.entries[i]!;
    if (refused !== undefined) work.verdicts.set(i, { kind: 'unreadable', code: refused });
  }

  const tried = new Map<number, { readonly passwords: Set<string>; damaged: boolean }>();
  const giveUp = (): void => {
    for (let i = from; i < to; i += 1) if (!work.verdicts.has(i)) work.verdicts.set(i, { kind: 'unreadable', code: 'ENTRY_DAMAGED' });
  };
  for (let at = from; at < to;) {
    if (work.verdicts.has(at)) { at += 1; continue; }
    const entry = directory.entries[at]!;
    const password = passwords.find((candidate) => tried.get(at)?.passwords.has(candidate) !== true);
    if (entry.encrypted && password === undefined) {
      const damaged = tried.get(at)?.damaged === true;
      work.verdicts.set(at, { kind: 'locked', tried: damaged });
      if (!damaged && !isJunkName(entry.name)) break;
      continue;
    }
    const failure = await work.run(password);
    if (failure === undefined) {
      // Not reached though nothing failed: unrar's list and its way through the archive differ.
      if (!work.verdicts.has(at)) work.verdicts.set(at, { kind: 'unreadable', code: 'ENTRY_DAMAGED' });
      continue;
    }
    // What is damaged otherwise than in its content is no way through, nor what is encrypted, where the archive is solid.
    if (failure.index === undefined || work.verdicts.has(failure.index)) { giveUp(); continue; }
    const failed = directory.entries[failure.index]!;
    const reason = failure.thrown instanceof UnrarError ? failure.thrown.reason : undefined;
    if (failure.refused === undefined && failed.encrypted && password !== undefined) {
      const wrong = reason === 'ERAR_BAD_PASSWORD' || reason === 'ERAR_MISSING_PASSWORD';
      // RAR 4 has no check of its passwords: a wrong one and damage look the same.
      if (wrong || directory.version === 4) {
        const before = tried.get(failure.index);
        tried.set(failure.index, { passwords: new Set([...before?.passwords ?? [], password]), damaged: !wrong || before?.damaged === true });
        continue;
      }
    }
    const code = failure.refused ?? (reason === 'ERAR_BAD_DATA' ? 'ENTRY_CRC' : reason === 'ERAR_NO_MEMORY' ? 'ENTRY_METHOD' : 'ENTRY_DAMAGED');
    work.verdicts.set(failure.index, { kind: 'unreadable', code });
  }

  const settled: Settled[] = [];
  for (const [i, verdict] of [...work.verdicts].sort(([a], [b]) => a - b)) {
    const { name, size } = directory.entries[i]!;
    const junk = isJunkName(name) && (verdict.kind === 'unreadable' || verdict.kind === 'locked');
    settled.push({ n: share.base + i, name: share.prefix + name, bytes: size ?? 0, ...(junk ? { kind: 'not-dicom' as const } : verdict) });
  }
  return { settled, proven: work.proven };
}
