/**
 * unrar (compiled to WebAssembly in node-unrar-js) with our own hands under it: it reads volumes that we opened and writes
 * into sinks that we number, so no name of an archive ever reaches a disk, and sizes are watched while it writes.
 */
import { readFileSync } from 'node:fs';
import { Extractor } from 'node-unrar-js/dist/js/Extractor';
import type { FileHeader, SeekMethod } from 'node-unrar-js/dist/js/Extractor';
import { ExdicomError } from '../errors';
import { ByteSource } from './byte-source';
import type { RarMask } from './rar-headers';

/** What unrar says of an entry that it has read. */
interface FileState {
  readonly errCode: number;
}

/** An archive in unrar's own hands, as far as the extractor uses it. */
interface RarArchive {
  open(path: string, password: string, listOnly: boolean): unknown;
  getFileHeader(): unknown;
  readFile(skip: boolean): FileState;
  delete(): void;
}

interface UnrarModule {
  HEAPU8: Uint8Array;
  extractor: Extractor;
  RarArchive: new () => RarArchive;
}

/** ERAR_BAD_DATA: what came out is not what was packed. */
const BAD_DATA = 12;

/** Takes what one entry unpacks to; false ends the entry. */
export interface EntryWriter {
  write(chunk: Uint8Array): boolean;
}

export interface UnrarInput {
  /** Paths of the volumes in their order; a volume that was cut into files by other means has several. */
  readonly volumes: ReadonlyArray<readonly string[]>;
  /** Where the first one begins, after the program of a self-extracting archive. */
  readonly start: number;
  /** What unrar sees in the first volume in the place of what is there. */
  readonly masks: readonly RarMask[];
  /** `x.part1.rar` or `x.rar`, `x.r00`: unrar asks for the next volume by a name that it makes from the one before. */
  readonly newNaming: boolean;
}

const FATAL_EVENTS = ['uncaughtException', 'unhandledRejection'] as const;

/** What the loader that Emscripten generates takes of `Module`. */
interface LoaderOptions {
  instantiateWasm(imports: WebAssembly.Imports, receive: (instance: WebAssembly.Instance, module: WebAssembly.Module) => void): WebAssembly.Exports;
}

/** Compiled once for this thread: each time would cost some MB of memory that is not given back soon, and be slower. */
let compiled: WebAssembly.Module | undefined;

/** A module of its own for every archive: its memory never shrinks, and one that was left by an exception stays broken. */
async function loadModule(): Promise<UnrarModule> {
  const factory = require('node-unrar-js/dist/js/unrar') as (options: LoaderOptions) => Promise<UnrarModule>;
  const thread: NodeJS.EventEmitter = process;
  const before = FATAL_EVENTS.map((event) => new Set<unknown>(thread.rawListeners(event)));
  const code = compiled ??= new WebAssembly.Module(readFileSync(require.resolve('node-unrar-js/dist/js/unrar.wasm')));
  const failed = Promise.withResolvers<never>();
  try {
    return await Promise.race([failed.promise, factory({
      instantiateWasm(imports, receive) {
        try {
          const instance = new WebAssembly.Instance(code, imports);
          receive(instance, code);
          return instance.exports;
        } catch (thrown) {
          // The loader only prints it, and is never done.
          failed.reject(thrown);
          throw thrown;
        }
      },
    })]);
  } finally {
    // Each module listens for fatal errors of the thread and throws them again; that would keep all of them in memory.
    for (const [i, event] of FATAL_EVENTS.entries()) {
      for (const listener of thread.rawListeners(event)) if (before[i]?.has(listener) !== true) thread.off(event, listener as () => void);
    }
  }
}

export const newUnrar = async (input: UnrarInput, password: string): Promise<Unrar> => new Unrar(await loadModule(), input, password);

type Handle =
  | { readonly kind: 'volume'; readonly source: ByteSource; readonly start: number; readonly masks: readonly RarMask[]; position: number }
  /** An entry that a later one copies: its bytes are not asked for again, see `Unrar.created`. */
  | { readonly kind: 'copied' }
  | { readonly kind: 'entry'; position: number };

export class Unrar extends Extractor implements Disposable {
  readonly #module: UnrarModule;
  readonly #input: UnrarInput;
  readonly #handles = new Map<number, Handle>();
  #next = 1;
  /** Where the entry that is being unpacked goes; set before each entry, undefined where nothing is wanted. */
  writer: EntryWriter | undefined;
  /** Whether unrar has asked for an output file since this was last set to false; it does not for links and folders. */
  createdOne = false;
  /** Where the entry being unpacked is a copy: the name, in unrar's words, of the one that it copies. */
  copyOf: string | undefined;
  /** Names under which unrar created the entries so far. */
  readonly created = new Map<string, number>();
  /** Number of the entry being unpacked. */
  current = 0;
  /** Whether unrar goes on where the entry being read is damaged, which is then told here, instead of ending by an exception. */
  goesOn = false;
  damaged = false;

  constructor(module: UnrarModule, input: UnrarInput, password: string) {
    super(module, password);
    const lenient = (): RarArchive => this.#lenient(new module.RarArchive());
    // A constructor that returns an object makes that object; the extractor makes its archives with `new`.
    this.unrar = { RarArchive: function RarArchive() { return lenient(); } };
    this.#module = module;
    this.#input = input;
    module.extractor = this;
  }

  [Symbol.dispose](): void {
    for (const handle of this.#handles.values()) if (handle.kind === 'volume') handle.source[Symbol.dispose]();
    this.#handles.clear();
  }

  #lenient(archive: RarArchive): RarArchive {
    return {
      open: (path, password, listOnly) => archive.open(path, password, listOnly),
      getFileHeader: () => archive.getFileHeader(),
      delete: () => { archive.delete(); },
      readFile: (skip) => {
        const state = archive.readFile(skip);
        this.damaged = this.goesOn && state.errCode === BAD_DATA;
        return this.damaged ? { ...state, errCode: 0 } : state;
      },
    };
  }

  protected override get _filePath(): string {
    return this.#input.newNaming ? 'v.part00001.rar' : 'v.rar';
  }

  #volume(name: string): number | undefined {
    const part = /^v\.part(\d+)\.rar$/u.exec(name);
    if (part) return Number(part[1]) - 1;
    const old = /^v\.(?:rar|([r-z])(\d\d))$/u.exec(name);
    if (old) return old[1] === undefined ? 0 : 1 + (old[1].codePointAt(0)! - 0x72) * 100 + Number(old[2]);
    return undefined;
  }

  #add(handle: Handle): number {
    this.#handles.set(this.#next, handle);
    this.#next += 1;
    return this.#next - 1;
  }

  protected open(name: string): number {
    const volume = this.#volume(name);
    if (volume !== undefined) {
      const paths = this.#input.volumes[volume];
      if (paths === undefined) throw new ExdicomError('MISSING_VOLUME');
      return this.#add({ kind: 'volume', source: new ByteSource(paths), start: volume === 0 ? this.#input.start : 0, masks: volume === 0 ? this.#input.masks : [], position: 0 });
    }
    if (!this.created.has(name)) throw new ExdicomError('ENTRY_DAMAGED');
    this.copyOf = name;
    return this.#add({ kind: 'copied' });
  }

  protected create(name: string): number {
    this.createdOne = true;
    this.created.set(name, this.current);
    return this.#add({ kind: 'entry', position: 0 });
  }

  protected closeFile(handle: number): void {
    const open = this.#handles.get(handle);
    if (open?.kind === 'volume') open.source[Symbol.dispose]();
    this.#handles.delete(handle);
  }

  protected read(handle: number, buffer: number, size: number): number {
    const open = this.#handles.get(handle);
    if (open?.kind !== 'volume') return 0;
    const from = open.start + open.position;
    const target = this.#module.HEAPU8.subarray(buffer, buffer + size);
    const count = open.source.readInto(target, from);
    for (const { position, bytes } of open.masks) {
      const seen = bytes.subarray(Math.max(0, from - position), Math.max(0, from + count - position));
      if (seen.length > 0) target.set(seen, Math.max(0, position - from));
    }
    open.position += count;
    return count;
  }

  protected write(handle: number, buffer: number, size: number): boolean {
    const open = this.#handles.get(handle);
    if (open?.kind !== 'entry') return false;
    open.position += size;
    return this.writer === undefined || this.writer.write(this.#module.HEAPU8.subarray(buffer, buffer + size));
  }

  protected tell(handle: number): number {
    const open = this.#handles.get(handle);
    return open === undefined || open.kind === 'copied' ? 0 : open.position;
  }

  protected seek(handle: number, position: number, method: SeekMethod): boolean {
    const open = this.#handles.get(handle);
    if (open === undefined) return false;
    if (open.kind !== 'volume') return method !== 'SET' || position === 0;
    const size = open.source.size - open.start;
    const target = position + (method === 'CUR' ? open.position : method === 'END' ? size : 0);
    if (target < 0 || target > size) return false;
    open.position = target;
    return true;
  }
}

export type { FileHeader };
