/**
 * A message without a job, at a node that can take one: the node becomes the job's source. What the message carries is
 * copied into the ledger, so that the job survives the process; it is replayed into this node.
 */
import { lstat, opendir } from 'node:fs/promises';
import { basename, join, relative } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { ExdicomError } from '../engine/errors';
import type { IntakeItem, Ledger } from '../engine/ledger/ledger-types';
import type { JobToken, OwnPath, SourceKey } from '../engine/model';
import { ledgerNode } from './ledgers';
import type { LedgerNode } from './ledgers';
import { onlyCopies } from './only-copy';
import { placeOf } from './place';
import { useConfig } from './red';
import type { Message, Node, Red } from './red';
import type { StatusLine } from './status';
import { attempt } from './attempt';
import type { Attempt } from './attempt';

/** Files of one message; the ledger's own bounds come on top. */
const MAX_FILES = 100_000;
/** Milliseconds between two looks for a free slot. */
const LOOK_AGAIN = 500;

export class Adopter {
  readonly #key: SourceKey;
  readonly #prefix: string;
  readonly #ledger: Attempt<LedgerNode>;
  readonly #owned: Disposable[] = [];
  /** Adoptions wait for room in the order of their messages. */
  #turn: Promise<unknown> = Promise.resolve();

  constructor(RED: Red, node: Node, ledgerId: string | undefined, status: StatusLine) {
    this.#prefix = node.type.replace(/^exdicom-/, '');
    this.#key = `message:${this.#prefix}/${placeOf(RED, node)}` as SourceKey; // made here, of our own settings
    this.#ledger = attempt(() => ledgerNode(RED, ledgerId));
    if (this.#ledger.error !== undefined) return;
    const found = this.#ledger.value;
    this.#owned.push(useConfig(found, node), found.onFailure(showing(status)));
    const { ledger } = found;
    if (ledger === undefined) return;
    this.#owned.push(ledger.attachSource({
      sourceKey: this.#key,
      send: (token, path, topic) => {
        node.receive({ job: token, payload: path, ...(topic === undefined ? {} : { topic }) });
      },
      ...onlyCopies(ledger),
    }));
  }

  /**
   * Undefined where the ledger knows the same content already.
   * @throws {ExdicomError} NOTHING_TO_DO, SOURCE_GONE, INTAKE_CLOSED, JOB_CANCELLED, LEDGER_MISSING, and what `take` throws.
   */
  async adopt(message: Message, signal: AbortSignal): Promise<{ readonly token: JobToken; readonly path: OwnPath } | undefined> {
    if (this.#ledger.error !== undefined) throw this.#ledger.error;
    const ledger = await this.#ledger.value.opened(signal);
    const items = await itemsOf(message.payload);
    const turn = this.#turn.then(() => this.#take(ledger, { items, message }, signal));
    this.#turn = turn.catch(() => undefined);
    return turn;
  }

  async #take(ledger: Ledger, given: { items: readonly IntakeItem[]; message: Message }, signal: AbortSignal): ReturnType<Adopter['adopt']> {
    const { topic } = given.message;
    for (;;) {
      signal.throwIfAborted();
      const taken = await ledger.take({
        sourceKey: this.#key, kind: 'message', prefix: this.#prefix, items: given.items,
        ...(typeof topic === 'string' ? { topic } : {}),
      }, signal);
      if (taken.kind === 'job') return taken;
      // A person cancelled it before all of it was copied: the sender alone has it.
      if (taken.kind === 'put-back') throw new ExdicomError('JOB_CANCELLED', { stage: 'intake' });
      if (taken.kind !== 'refused') return undefined;
      if (taken.reason !== 'slots') throw new ExdicomError('INTAKE_CLOSED', { detail: taken.reason, stage: 'intake' });
      await sleep(LOOK_AGAIN, undefined, { signal, ref: false });
    }
  }

  close(): void {
    for (const owned of this.#owned.splice(0)) owned[Symbol.dispose]();
  }
}

/** Shows that the ledger cannot be used, and that it can again. */
function showing(status: StatusLine): (failure: ExdicomError | undefined) => void {
  let failed = false;
  return (failure) => {
    if (failure !== undefined) status.failed(failure);
    else if (failed) status.idle();
    failed = failure !== undefined;
  };
}

/** What a payload holds: a Buffer, a path of a file or folder, a DicomFile, or a list of the last two. */
async function itemsOf(payload: unknown): Promise<readonly IntakeItem[]> {
  if (payload instanceof Uint8Array) return [{ content: payload, name: 'message' }];
  const items: IntakeItem[] = [];
  for (const part of Array.isArray(payload) ? (payload as readonly unknown[]) : [payload]) {
    const path = pathOf(part);
    if (path === undefined) throw new ExdicomError('NOTHING_TO_DO');
    await addItems(path, items);
  }
  if (items.length === 0) throw new ExdicomError('NOTHING_TO_DO');
  return items;
}

/** The path that a string, or an object with a `path`, names. */
export function pathOf(part: unknown): string | undefined {
  const path: unknown = typeof part === 'object' && part !== null && 'path' in part ? part.path : part;
  return typeof path === 'string' && path !== '' && !path.includes('\0') ? path : undefined;
}

/** A file, or the regular files in a folder; links inside a folder are not followed. */
async function addItems(path: string, items: IntakeItem[]): Promise<void> {
  try {
    const facts = await lstat(path);
    if (facts.isFile()) { items.push({ path, name: basename(path), bytes: facts.size, mtimeMs: facts.mtimeMs }); return; }
    if (!facts.isDirectory()) throw new ExdicomError('NOTHING_TO_DO', { detail: 'neither a file nor a folder' });
    for await (const entry of await opendir(path, { recursive: true })) {
      if (!entry.isFile()) continue;
      const file = join(entry.parentPath, entry.name);
      const { size, mtimeMs } = await lstat(file);
      items.push({ path: file, name: relative(path, file), bytes: size, mtimeMs });
      if (items.length > MAX_FILES) throw new ExdicomError('LIMIT_ENTRIES', { stage: 'intake' });
    }
  } catch (thrown) {
    if (thrown instanceof ExdicomError) throw thrown;
    throw new ExdicomError('SOURCE_GONE', { origin: thrown, detail: 'of msg.payload' });
  }
}
