/**
 * What every node that works on jobs does: enters the job when the message arrives, works, leaves at done, tells the ledger
 * of a failure, and marks the job interrupted when the node closes with it inside. Nodes that can be given a message without
 * a job give it one here.
 */
import { ExdicomError, toExdicomError } from '../engine/errors';
import type { Failure, Ledger, Visit } from '../engine/ledger/ledger-types';
import type { JobToken } from '../engine/model';
import { Adopter } from './adopt';
import { attempt } from './attempt';
import { handleInput } from './input';
import type { Arrival } from './input';
import { ledgerOf, withLedger } from './ledgers';
import type { Node, Red, Saved } from './red';
import { StatusLine } from './status';
import type { Progress } from './status';
import { jobOf } from './token';

export interface JobArrival extends Arrival {
  readonly token: JobToken;
  readonly ledger: Ledger;
  readonly progress: Progress;
}

export interface Stage<S> {
  /** Reads the saved properties, once. What it throws is shown at the node and ends every message. */
  readonly settings: () => S;
  readonly work: (arrival: JobArrival, settings: S, status: StatusLine) => Promise<void>;
  /** Whether a message without a job is given one; else it ends as NOTHING_TO_DO. */
  readonly adopts: boolean;
  /** Whether Catch nodes get this node's messages without their payload: what may only be seen in front of it. */
  readonly withholds?: boolean;
  /** Messages worked on side by side. */
  readonly limit?: (settings: S) => number;
  readonly close?: () => Promise<void> | void;
}

/** Errors after which there is nothing that the ledger could record of the job. */
const WITHOUT_JOB = new Set(['JOB_UNKNOWN', 'JOB_CANCELLED', 'LEDGER_CLOSED', 'LEDGER_MISSING']);

interface Presence {
  job: { readonly token: JobToken; readonly ledger: Ledger; readonly visit: Visit } | undefined;
  failure: Failure | undefined;
}

/** Makes a stage of a node. Call it last in the constructor. */
export function runStage<S>(RED: Red, node: Node, saved: Saved<{ ledger: string }>, stage: Stage<S>): StatusLine {
  const status = new StatusLine(node);
  const settings = attempt(stage.settings);
  if (settings.error === undefined) status.idle();
  else status.failed(settings.error);
  const adopter = stage.adopts ? new Adopter(RED, node, saved.ledger, status) : undefined;

  const enter = (token: JobToken): NonNullable<Presence['job']> => {
    const ledger = ledgerOf(token);
    return { token, ledger, visit: ledger.enter(token, node.id) };
  };

  handleInput<Presence>(node, {
    ...(stage.limit === undefined || settings.error !== undefined ? {} : { limit: stage.limit(settings.value) }),
    arrive: (message) => {
      const token = jobOf(message);
      return { job: token === undefined ? undefined : enter(token), failure: undefined };
    },
    work: async (arrival, presence) => {
      if (settings.error !== undefined) throw settings.error;
      const progress = status.begin();
      try {
        if (presence.job === undefined) {
          if (adopter === undefined) throw new ExdicomError('NOTHING_TO_DO');
          // It waits for a slot, which jobs may hold that are queued up here.
          const adopted = await arrival.aside(() => adopter.adopt(arrival.message, arrival.signal));
          if (adopted === undefined) { status.done(0); return; }
          const job = enter(adopted.token);
          // Taken in while the node closed, when its presence had ended already.
          if (arrival.signal.aborted) job.visit.interrupt();
          arrival.signal.throwIfAborted();
          presence.job = job;
          arrival.message['job'] = adopted.token;
          arrival.message.payload = adopted.path;
        }
        const { token, ledger, visit } = presence.job;
        // A person may cancel the job: the work ends by its signal, and whatever it does nothing more is sent.
        const cancelled = visit.signal;
        cancelled.throwIfAborted();
        const signal = AbortSignal.any([arrival.signal, cancelled]);
        const send: Arrival['send'] = (outgoing) => { if (!cancelled.aborted) arrival.send(outgoing); };
        await withLedger(ledger, () => stage.work({ ...arrival, signal, send, token, ledger, progress }, settings.value, status));
        cancelled.throwIfAborted();
      } catch (thrown) {
        if (!arrival.signal.aborted) presence.job?.visit.signal.throwIfAborted();
        throw toExdicomError(thrown, presence.job === undefined ? {} : { job: presence.job.token.name });
      } finally {
        progress.end();
      }
    },
    fail: async (error, presence) => {
      status.failed(error);
      if (presence.job === undefined || WITHOUT_JOB.has(error.code)) return;
      const failure = await presence.job.ledger.fail(presence.job.token, error);
      if (error.code === 'DESTINATION_HELD') status.paused();
      else if (failure.kind === 'needs-password') status.noted('needs password');
      else if (failure.kind === 'parked') status.waiting(Number.isFinite(failure.until) ? failure.until : undefined);
    },
    conceal: (message) => {
      // The source sends the job again, so nobody needs what a failed attempt was about. A message without a job is its sender's own.
      if (stage.withholds === true && message['job'] !== undefined) message.payload = null;
    },
    leave: (presence, ending) => {
      const visit = presence.job?.visit;
      if (ending === 'interrupted') visit?.interrupt();
      else visit?.leave();
    },
    close: async () => {
      adopter?.close();
      await stage.close?.();
      status.close();
    },
  });
  return status;
}
