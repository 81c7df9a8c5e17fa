/**
 * The one vocabulary of statuses: `idle`, `working 120/300`, `waiting 14:05`, `done 300`, `failed: PACS refused`. At most
 * twenty characters, at most one update a second, the last state always shown, cleared on close.
 */
import { ExdicomError } from '../engine/errors';
import type { Delivered } from '../engine/model';
import { shortText } from './short-texts';
import type { Node } from './red';

const LONGEST = 20;
const INTERVAL = 1000;
const LONGEST_TIMER = 2 ** 31 - 1;

type Fill = 'red' | 'green' | 'yellow' | 'blue' | 'grey';
interface Shown { readonly fill: Fill; readonly shape: 'ring' | 'dot'; readonly text: string }

/** One message's share of a node's progress. */
export interface Progress {
  report(done: number, total?: number): void;
  end(): void;
}

export class StatusLine {
  readonly #node: Node;
  readonly #running = new Set<{ done: number; total: number | undefined }>();
  #last: Shown = { fill: 'grey', shape: 'ring', text: 'idle' };
  #shown = '';
  #shownAt = Number.NEGATIVE_INFINITY;
  #timer: NodeJS.Timeout | undefined;
  #closed = false;
  /** The last moment at which something that was parked here goes on. */
  #parkedUntil = 0;
  #goingOn: NodeJS.Timeout | undefined;

  constructor(node: Node) {
    this.#node = node;
  }

  idle(): void { this.#rest({ fill: 'grey', shape: 'ring', text: 'idle' }); }

  /** Something is under way that has no count, or not yet. */
  begin(): Progress {
    const share = { done: 0, total: undefined as number | undefined };
    this.#running.add(share);
    this.#update();
    return {
      report: (done, total) => { share.done = done; share.total = total; this.#update(); },
      end: () => { if (this.#running.delete(share)) this.#update(); },
    };
  }

  /** Under way, so many so far; for what is no message's progress. */
  working(count: number): void { this.#rest({ fill: 'blue', shape: 'dot', text: count === 0 ? 'working' : `working ${count}` }); }

  /** Nothing to do until then (milliseconds since 1970), or until something else happens; with how many jobs wait. */
  waiting(until?: number, jobs?: number): void {
    const clock = until === undefined ? '' : ` ${new Date(until).toTimeString().slice(0, 5)}`;
    this.#rest({ fill: 'yellow', shape: 'ring', text: `waiting${clock}${jobs === undefined ? '' : ` (${jobs})`}` });
  }

  /** Of several things that go on by themselves the last is shown; idle once its moment has passed. */
  parked(until?: number): void {
    clearTimeout(this.#goingOn);
    if (until !== undefined) this.#parkedUntil = Math.max(this.#parkedUntil, until);
    this.waiting(until === undefined ? undefined : this.#parkedUntil);
    if (until === undefined) return;
    const shown = this.#last;
    const wait = Math.min(LONGEST_TIMER, Math.max(0, this.#parkedUntil - Date.now()));
    this.#goingOn = setTimeout(() => { if (this.#last === shown) this.idle(); }, wait).unref();
  }

  /** At rest, but there is something for a person to know: `quarantined 3`. */
  noted(text: string): void { this.#rest({ fill: 'yellow', shape: 'ring', text }); }

  /** A person holds what this node works on. */
  paused(): void { this.#rest({ fill: 'yellow', shape: 'ring', text: 'paused' }); }

  done(count?: number): void { this.#rest({ fill: 'green', shape: 'dot', text: count === undefined ? 'done' : `done ${count}` }); }

  /** Done, but something was set aside or left out. */
  partly(count: number): void { this.#rest({ fill: 'yellow', shape: 'dot', text: `done ${count}` }); }

  /** What came of a delivery. Where nothing arrived, why: `done 0` would hide that a PACS refused all of it. */
  delivered({ verified, failed: [first] }: Delivered): void {
    if (first === undefined) this.done(verified);
    else if (verified > 0) this.partly(verified);
    else this.failed(new ExdicomError(first.code));
  }

  failed(error: ExdicomError): void { this.#rest({ fill: 'red', shape: 'ring', text: `failed: ${shortText(error)}` }); }

  /** A failure that stops nothing. */
  warning(error: ExdicomError): void { this.#rest({ fill: 'yellow', shape: 'ring', text: `failed: ${shortText(error)}` }); }

  close(): void {
    this.#closed = true;
    clearTimeout(this.#timer);
    clearTimeout(this.#goingOn);
    this.#node.status({});
  }

  #rest(state: Shown): void {
    this.#last = state;
    this.#update();
  }

  #update(): void {
    if (this.#closed || this.#timer !== undefined) return;
    // Of a clock that jumps back by an hour nothing is to be waited for.
    const wait = Math.min(INTERVAL, this.#shownAt + INTERVAL - Date.now());
    if (wait <= 0) { this.#show(); return; }
    this.#timer = setTimeout(() => { this.#timer = undefined; this.#show(); }, wait);
    this.#timer.unref();
  }

  #show(): void {
    const state = this.#running.size === 0 ? this.#last : this.#working();
    const key = `${state.fill} ${state.shape} ${state.text}`;
    if (key === this.#shown) return;
    this.#shown = key;
    this.#shownAt = Date.now();
    this.#node.status({ ...state, text: state.text.slice(0, LONGEST) });
  }

  #working(): Shown {
    let done = 0;
    let total: number | undefined = 0;
    for (const share of this.#running) {
      done += share.done;
      total = total === undefined || share.total === undefined ? undefined : total + share.total;
    }
    let text = done === 0 ? 'working' : `working ${done}`;
    if (total !== undefined && total > 0) {
      text = `working ${done}/${total}`;
      if (text.length > LONGEST) text = `working ${Math.floor((100 * done) / total)}%`;
    }
    return { fill: 'blue', shape: 'dot', text };
  }
}
