import { ERRORS, ExdicomError } from '../engine/errors';
import type { ErrorCode } from '../engine/errors';
import { DAYS, minutesOf } from '../engine/ledger/active-hours';
import type { RetryPolicy } from '../engine/ledger/ledger-types';
import { attempt } from '../runtime/attempt';
import { handleInput } from '../runtime/input';
import { ledgerOf, withLedger } from '../runtime/ledgers';
import type { Message, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { StatusLine } from '../runtime/status';
import { jobOf } from '../runtime/token';
import { defaults } from './properties';
import type { RetryProperties } from './properties';

const DAY = 86_400;

/** Parks a job that Catch hands over by a policy of its own. Errors are told on the second output, never to Catch nodes. */
export = (RED: Red): void => {
  register<RetryProperties>(RED, 'exdicom-retry', (node, saved) => {
    const settings = new Settings<RetryProperties>(RED, node, saved, defaults);
    const status = new StatusLine(node);
    const policy = attempt(() => policyOf(settings));
    if (policy.error === undefined) status.idle();
    else status.failed(policy.error);

    const judge = async (message: Message): Promise<Message | readonly [null, Message]> => {
      if (policy.error !== undefined) throw policy.error;
      const code = codeOf(message);
      const told = code === undefined ? {} : { code };
      const token = jobOf(message);
      if (token === undefined) return [null, Object.assign(message, { retry: { reason: 'no-job', ...told } })];
      if (code === undefined || !ERRORS[code].retryable) return [null, Object.assign(message, { retry: { reason: 'not-retryable', ...told } })];
      const ledger = ledgerOf(token);
      const parked = await withLedger(ledger, () => ledger.park(token, policy.value));
      const { attempts = 0 } = policy.value;
      if (parked.kind === 'parked') {
        const { kind: _kind, ...facts } = parked;
        status.parked(facts.until);
        return Object.assign(message, { retry: { ...facts, attempts, ...told } });
      }
      const { kind: reason, ...facts } = parked;
      // Of the others the status of the node that failed has told.
      if (reason === 'gave-up') status.failed(new ExdicomError('GAVE_UP'));
      else if (reason === 'unknown-job') status.failed(new ExdicomError('JOB_UNKNOWN'));
      return [null, Object.assign(message, { retry: { reason, ...facts, attempts, ...told } })];
    };

    handleInput(node, {
      arrive: () => undefined,
      work: async (arrival) => { arrival.send(await judge(arrival.message)); },
      leave: () => undefined,
      answer: (message, error) => {
        status.failed(error);
        const { code, cause, remedy } = error;
        return [null, Object.assign(message, { retry: { reason: 'failed', code, cause, remedy } })];
      },
      close: () => { status.close(); },
    });
  });
};

/** Of what Node-RED hands to Catch nodes only the code is sure to be there. */
function codeOf({ error }: Message & { readonly error?: unknown }): ErrorCode | undefined {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  return typeof code === 'string' && Object.hasOwn(ERRORS, code) ? code as ErrorCode : undefined; // looked up in this line
}

function policyOf(settings: Settings<RetryProperties>): RetryPolicy {
  const [from, to] = [settings.text('activeFrom'), settings.text('activeTo')];
  const days = settings.words('activeDays', DAYS);
  const hours = { from: timeOf('activeFrom', from), to: timeOf('activeTo', to), days };
  return {
    delay: settings.number('delay', 0.1, 30 * DAY) * 1000,
    factor: settings.number('factor', 1, 10),
    cap: settings.number('cap', 0.1, 30 * DAY) * 1000,
    jitter: settings.number('jitter', 0, 100) / 100,
    maximumAge: settings.number('maximumAge', 0.001, 24 * 365) * 3_600_000,
    attempts: settings.integer('attempts', 0, 1_000_000),
    ...(from === '' && to === '' && days.length === 0 ? {} : { hours }),
  };
}

/** Minutes since midnight; an empty text is midnight. */
function timeOf(property: 'activeFrom' | 'activeTo', text: string): number {
  const minutes = text === '' ? 0 : minutesOf(text);
  if (minutes === undefined) throw new ExdicomError('CONFIG_INVALID', { detail: property });
  return minutes;
}
