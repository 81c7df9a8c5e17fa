/** A `jobs` node's settings, read once: which action, on which ledger, in whose name. */
import { ExdicomError, toExdicomError } from '../engine/errors';
import type { Ledger } from '../engine/ledger/ledger-types';
import { ledgerNode } from '../runtime/ledgers';
import type { LedgerNode } from '../runtime/ledgers';
import { profileNode } from '../runtime/profile';
import type { ProfileUse } from '../runtime/profile';
import { useConfig } from '../runtime/red';
import type { Message, Node, Red } from '../runtime/red';
import type { Settings } from '../runtime/settings';
import type { StatusLine } from '../runtime/status';
import { ACTIONS, FROM_MESSAGE, isAnswerProperty, PARAMETERS } from './actions';
import type { Action } from './actions';
import type { JobsProperties } from './properties';
import { requestOf } from './request';
import type { Asked } from './request';

/** The property of the message that the answer goes to. @throws {ExdicomError} CONFIG_INVALID */
export function answerProperty(settings: Settings<JobsProperties>): string {
  const name = settings.required('answer');
  if (!isAnswerProperty(name)) throw new ExdicomError('CONFIG_INVALID', { detail: 'answer' });
  return name;
}

export class Desk {
  readonly action: Asked['action'];
  /** What the action may turn out to be. */
  readonly actions: readonly Action[];
  readonly dialog: Asked['dialog'];
  readonly #ledger: LedgerNode;
  readonly #profile: () => ProfileUse;
  readonly #who: string;
  readonly #owned: Disposable[] = [];

  /** @throws {ExdicomError} CONFIG_INVALID, LEDGER_MISSING */
  constructor(RED: Red, node: Node, settings: Settings<JobsProperties>, status: StatusLine) {
    this.action = settings.choice('action', [...ACTIONS, FROM_MESSAGE]);
    this.actions = this.action === FROM_MESSAGE ? ACTIONS : [this.action];
    this.#who = settings.text('who');
    const profile = settings.raw('profile');
    const dialog: Record<string, string> = {};
    for (const parameter of PARAMETERS[this.action]) {
      const text = parameter === 'profile' ? '' : settings.text(parameter);
      if (text !== '') dialog[parameter] = text;
    }
    this.#profile = () => profileNode(RED, profile).use;
    if (PARAMETERS[this.action].includes('profile') && profile !== '') {
      const { node: config, use } = profileNode(RED, profile);
      this.#owned.push(useConfig(config, node));
      dialog['profile'] = use.profile.name;
    }
    this.dialog = dialog;
    if (this.action === 'list') checkFilters(dialog);
    this.#ledger = ledgerNode(RED, settings.raw('ledger'));
    this.#owned.push(useConfig(this.#ledger, node), this.#ledger.onFailure((failure) => {
      if (failure === undefined) status.idle();
      else status.failed(failure);
    }));
  }

  readonly profile = (): ProfileUse => this.#profile();

  /** Who is at the desk: the dialog says so, else the message does. */
  readonly who = (message: Message, words: Readonly<Record<string, unknown>>): string | undefined => {
    return [this.#who, message['who'], words['who']].find((name): name is string => typeof name === 'string' && name.trim() !== '');
  };

  /** The ledger, once it is open. @throws {ExdicomError} why it is not; a request cannot wait for a person. */
  readonly ledger = async (signal: AbortSignal): Promise<Ledger> => {
    const failed = new AbortController();
    const watch = this.#ledger.onFailure((failure) => { if (failure !== undefined) failed.abort(failure); });
    try {
      return await this.#ledger.opened(AbortSignal.any([signal, failed.signal]));
    } catch (thrown) {
      throw this.#ledger.failure ?? thrown;
    } finally {
      watch[Symbol.dispose]();
    }
  };

  close(): void {
    for (const owned of this.#owned.splice(0)) owned[Symbol.dispose]();
  }
}

/** Filters of the dialog that would refuse every question: a person sees it at the node when it is deployed. @throws {ExdicomError} CONFIG_INVALID */
function checkFilters(dialog: Asked['dialog']): void {
  try {
    requestOf({ action: 'list', dialog, message: {}, confidential: {} });
  } catch (thrown) {
    const { detail = 'a filter' } = toExdicomError(thrown);
    throw new ExdicomError('CONFIG_INVALID', { detail });
  }
}
