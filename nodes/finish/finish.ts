import { ExdicomError } from '../engine/errors';
import type { Receipt } from '../engine/ledger/ledger-types';
import type { JobId, JobToken } from '../engine/model';
import { attempt } from '../runtime/attempt';
import { handleInput } from '../runtime/input';
import { ledgerOf, withEachLedger } from '../runtime/ledgers';
import { placeOf } from '../runtime/place';
import type { Message, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { StatusLine } from '../runtime/status';
import { jobOf } from '../runtime/token';
import { defaults } from './properties';
import type { FinishProperties } from './properties';

/** Closes a job once, when it is complete, and sends its receipt. Errors are told on the output, never to Catch nodes. */
export = (RED: Red): void => {
  register<FinishProperties>(RED, 'exdicom-finish', (node, saved) => {
    const settings = new Settings<FinishProperties>(RED, node, saved, defaults);
    const status = new StatusLine(node);
    const key = `finish:${placeOf(RED, node)}`;
    /** The last message of each job that has come here, without its payload: the receipt goes out on it. */
    const visitors = new Map<JobId, Message>();
    let closed = false;
    status.idle();

    const deliver = (receipt: Receipt, token: JobToken): void => {
      if (closed) return;
      const visitor = visitors.get(token.id);
      visitors.delete(token.id);
      node.send({ ...visitor, job: token, payload: receipt });
      const { outcome, error } = { ...receipt.job, error: receipt.error };
      if (outcome === 'complete' || outcome === 'duplicate') status.done(receipt.entries.instance);
      else if (outcome === 'with-exceptions') status.partly(arrived(receipt));
      else status.failed(new ExdicomError(error?.code ?? (outcome === 'cancelled' ? 'JOB_CANCELLED' : 'INTERNAL'), { stage: 'finish' }));
    };
    const rule = attempt(() => ({ required: settings.list('required'), allowLeftOut: settings.boolean('allowLeftOut') }));
    if (rule.error !== undefined) status.failed(rule.error);
    const attached = rule.error === undefined ? withEachLedger((ledger) => ledger.attachFinisher(key, rule.value, deliver)) : undefined;

    handleInput(node, {
      arrive: (message) => {
        const token = jobOf(message);
        if (token === undefined) return undefined;
        const ledger = ledgerOf(token);
        return { token, ledger, visit: ledger.enter(token, key) };
      },
      work: async ({ message }, presence) => {
        if (rule.error !== undefined) throw rule.error;
        if (presence === undefined) throw new ExdicomError('NOTHING_TO_DO', { stage: 'finish' });
        const { token, ledger } = presence;
        visitors.set(token.id, { ...message, payload: undefined });
        const { closed: complete, told } = await ledger.finish(token, key);
        if (told === true) visitors.delete(token.id);
        if (!complete) status.waiting();
      },
      leave: (presence, ending) => {
        if (ending === 'interrupted') presence?.visit.interrupt();
        else presence?.visit.leave();
      },
      answer: (message, error) => {
        status.failed(error);
        const { code, cause, remedy, retryable, message: text } = error;
        message.payload = null;
        message['error'] = { code, cause, remedy, retryable, message: text };
        return message;
      },
      close: () => {
        closed = true;
        attached?.[Symbol.dispose]();
        status.close();
      },
    });
  });
};

/** How many instances are at every required destination, or might be: no more than the worst of them has. */
function arrived({ destinations }: Receipt): number {
  const required = destinations.filter(({ required: isRequired }) => isRequired);
  return required.length === 0 ? 0 : Math.min(...required.map(({ verified }) => verified));
}
