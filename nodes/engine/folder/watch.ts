/**
 * Watches a folder by looking at it again and again (network shares tell of no events), and hands over what has stopped
 * growing: same names, sizes and times for a while, archives with their end and all their volumes.
 */
import { stat } from 'node:fs/promises';
import { performance } from 'node:perf_hooks';
import { ExdicomError, toExdicomError } from '../errors';
import { look } from './candidates';
import type { Candidate } from './candidates';

export interface WatchSettings {
  readonly folder: string;
  readonly subfolders: boolean;
  /** Milliseconds between two looks. */
  readonly interval: number;
  /** Milliseconds for which nothing in an item may have changed. At least two looks agree in any case. */
  readonly stable: number;
  /** Milliseconds that an item that is stable but not whole is waited for before it is taken as it is. */
  readonly maxWait: number;
  /** Folders that hold no candidates, should they lie in the watched one. */
  readonly exclude: readonly string[];
}

/** `put-back`: a person wants it left where it is until it changes. `too-large`: there is room, but not for this one. */
export type TakenAs = 'job' | 'duplicate' | 'put-back' | 'no-room' | 'too-large';

export interface WatchHandler {
  /** Whether an archive has its end record, and a set its volumes. What it throws is about this item alone, as with `take`. */
  whole(candidate: Candidate, signal: AbortSignal): Promise<boolean>;
  room(): Promise<boolean>;
  /** Makes a job of it. What it throws is about this item alone, unless it says otherwise by its code. */
  take(candidate: Candidate, signal: AbortSignal): Promise<TakenAs>;
  /** What was put back is gone, or another now. */
  letGo?(original: Pick<Candidate, 'kind' | 'roots' | 'fingerprint'>): void;
  /** After each look: what is still there but not taken, whether there was room, what went wrong. */
  looked(result: Look): void;
}

export interface Look {
  /** Items that are growing, not whole, or could not be taken yet. */
  readonly waiting: number;
  readonly full: boolean;
  /** How many of those wait for more room on the disk than there is. */
  readonly tooLarge: number;
  readonly error?: ExdicomError;
}

interface Seen {
  fingerprint: string;
  /** Milliseconds of a clock that never jumps. */
  since: number;
  looks: number;
  /** Not tried again before this, after it failed. */
  notBefore: number;
  failures: number;
}

/** An item that cannot be taken is tried again after two intervals, four, eight... up to this many milliseconds. */
const LONGEST_PAUSE = 600_000;
/** Milliseconds between two questions whether there is room again for what a look had to leave. */
const ROOM_LOOK = 100;

type Found = readonly [Candidate, Seen];

export class FolderWatcher {
  readonly #settings: WatchSettings;
  readonly #handler: WatchHandler;
  readonly #abort = new AbortController();
  readonly #seen = new Map<string, Seen>();
  /** Roots of open jobs, whatever becomes of them meanwhile. */
  readonly #open = new Set<string>();
  /** Roots that were put back, with the state in which they lie there: not taken again until they change. */
  readonly #leftAlone = new Map<string, Pick<Candidate, 'kind' | 'roots' | 'fingerprint'>>();
  /** Device on which they lie: a folder on another one is the place where a share is not mounted, and tells nothing of them. */
  #device: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #looking: Promise<void> | undefined;
  #again = false;
  /** What the last look found and left. */
  #rest: readonly Found[] = [];
  #full = false;
  /** What the last look could not even read. */
  #left: readonly ExdicomError[] = [];
  #lookedAt = 0;
  #nextLook = 0;

  constructor(settings: WatchSettings, handler: WatchHandler) {
    this.#settings = settings;
    this.#handler = handler;
  }

  /** These belong to open jobs and are not taken again until `released`. */
  hold(roots: readonly string[]): void {
    for (const root of roots) this.#open.add(root);
  }

  /** The job of these has closed and disposed of them; `putBack`: they stay where they are, until somebody changes them. */
  release(roots: readonly string[], putBack?: Pick<Candidate, 'kind' | 'roots' | 'fingerprint'>): void {
    for (const root of roots) this.#open.delete(root);
    if (putBack !== undefined && roots[0] !== undefined) this.#leftAlone.set(roots[0], putBack);
  }

  start(): void {
    void this.look();
  }

  /** Looks now, or once more if a look is under way. Never rejects. */
  async look(): Promise<void> {
    if (this.#looking !== undefined) {
      this.#again = true;
      await this.#looking;
      return;
    }
    clearTimeout(this.#timer);
    this.#looking = this.#until(() => this.#lookOnce());
    await this.#looking;
  }

  /** Resolves when nothing of it runs any more. */
  async stop(): Promise<void> {
    this.#abort.abort(new ExdicomError('INTERRUPTED'));
    clearTimeout(this.#timer);
    await this.#looking;
  }

  async #until(work: () => Promise<void>): Promise<void> {
    const { signal } = this.#abort;
    this.#again = false;
    await work();
    while (this.#again && !signal.aborted) {
      this.#again = false;
      await this.#lookOnce();
    }
    this.#looking = undefined;
    if (!signal.aborted) this.#schedule();
  }

  /** The next look at the folder; until then what the last one had to leave for want of room is taken as soon as there is some. */
  #schedule(): void {
    clearTimeout(this.#timer);
    const left = this.#nextLook - performance.now();
    const waits = this.#full && left > ROOM_LOOK;
    this.#timer = setTimeout(() => { void (waits ? this.#takeRest() : this.look()); }, waits ? ROOM_LOOK : Math.max(0, left));
  }

  async #takeRest(): Promise<void> {
    if (this.#looking !== undefined) return;
    this.#looking = this.#until(() => this.#report(async () => {
      if (await this.#handler.room()) return this.#takeReady(this.#rest, this.#abort.signal);
      return undefined;
    }));
    await this.#looking;
  }

  #lookOnce(): Promise<void> {
    const { signal } = this.#abort;
    return this.#report(async () => {
      this.#rest = [];
      this.#full = false;
      const left: ExdicomError[] = [];
      this.#left = left;
      const exclude = new Set(this.#settings.exclude);
      try {
        const candidates = await look({
          folder: this.#settings.folder,
          subfolders: this.#settings.subfolders,
          skip: (path) => exclude.has(path) || this.#open.has(path),
          signal,
          left: (error) => { left.push(error); },
        });
        const { dev } = await stat(this.#settings.folder);
        return await this.#takeReady(this.#remember(candidates, dev), signal);
      } finally {
        this.#nextLook = performance.now() + this.#settings.interval;
      }
    });
  }

  /** Tells what came of it, where something did. */
  async #report(work: () => Promise<Look | undefined>): Promise<void> {
    const { signal } = this.#abort;
    let result: Look | undefined;
    try {
      result = await work();
    } catch (thrown) {
      if (signal.aborted) return;
      result = { waiting: 0, full: false, tooLarge: 0, error: new ExdicomError('SOURCE_UNREADABLE', { origin: thrown }) };
    }
    if (!signal.aborted && result !== undefined) this.#handler.looked(result);
  }

  /** Notes what each candidate looks like now; what is gone is forgotten. */
  #remember(candidates: readonly Candidate[], device: number): readonly Found[] {
    const now = performance.now();
    this.#lookedAt = now;
    const keys = new Set<string>();
    const all: Found[] = [];
    for (const candidate of candidates) {
      const key = candidate.roots[0]!; // a candidate has a root
      keys.add(key);
      if (this.#leftAlone.get(key)?.fingerprint === candidate.fingerprint) continue;
      this.#letGo(key);
      let seen = this.#seen.get(key);
      if (seen?.fingerprint === candidate.fingerprint) seen.looks += 1;
      else {
        seen = { fingerprint: candidate.fingerprint, since: now, looks: 1, notBefore: 0, failures: 0 };
        this.#seen.set(key, seen);
      }
      all.push([candidate, seen]);
    }
    for (const key of this.#seen.keys()) if (!keys.has(key)) this.#seen.delete(key);
    const left = [...this.#leftAlone.keys()];
    if (left.length === 0 || left.some((key) => keys.has(key))) this.#device = device;
    if (this.#device === device) for (const key of left) if (!keys.has(key) && !this.#open.has(key)) this.#letGo(key);
    return all;
  }

  #letGo(key: string): void {
    const original = this.#leftAlone.get(key);
    if (original === undefined) return;
    this.#leftAlone.delete(key);
    this.#handler.letGo?.(original);
  }

  async #takeReady(all: readonly Found[], signal: AbortSignal): Promise<Look> {
    const rest: Found[] = [];
    let full = false;
    let tooLarge = 0;
    let error: ExdicomError | undefined;
    for (const found of all) {
      const [candidate, seen] = found;
      signal.throwIfAborted();
      const now = performance.now();
      let held = false;
      try {
        if (full || seen.notBefore > now || !(await this.#ready(candidate, seen, signal))) { rest.push(found); continue; }
        if (!(await this.#handler.room())) { full = true; rest.push(found); continue; }
        this.hold(candidate.roots);
        held = true;
        const taken = await this.#handler.take(candidate, signal);
        if (taken === 'no-room' || taken === 'too-large') {
          rest.push(found);
          this.release(candidate.roots);
          // There may be none for one that is large, and enough for those after it.
          full = !(await this.#handler.room());
          if (taken === 'too-large') tooLarge += 1;
        }
        else {
          this.#seen.delete(candidate.roots[0]!);
          if (taken === 'put-back') this.release(candidate.roots, candidate);
        }
      } catch (thrown) {
        if (held) this.release(candidate.roots);
        signal.throwIfAborted();
        error = toExdicomError(thrown);
        rest.push(found);
        seen.failures += 1;
        seen.notBefore = performance.now() + Math.min(LONGEST_PAUSE, this.#settings.interval * 2 ** Math.min(seen.failures, 20));
        // These two say only that it had not stopped growing after all.
        if (error.code === 'SOURCE_CHANGED' || error.code === 'SOURCE_GONE') error = undefined;
      }
    }
    this.#rest = rest;
    this.#full = full;
    error ??= this.#left[0];
    return { waiting: rest.length + this.#left.length, full, tooLarge, ...(error === undefined ? {} : { error }) };
  }

  async #ready(candidate: Candidate, seen: Seen, signal: AbortSignal): Promise<boolean> {
    // What it was like when it was last looked at, however long ago that is.
    const quietFor = this.#lookedAt - seen.since;
    if (seen.looks < 2 || quietFor < this.#settings.stable) return false;
    if (quietFor >= this.#settings.stable + this.#settings.maxWait) return true;
    return !candidate.unfinished && (await this.#handler.whole(candidate, signal));
  }
}
