import type { ErrorCode } from '../engine/errors';
import { attempt } from '../runtime/attempt';
import { handleInput } from '../runtime/input';
import { withLedger } from '../runtime/ledgers';
import type { Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings } from '../runtime/settings';
import { StatusLine } from '../runtime/status';
import { ACTIONS, needsPost } from './actions';
import { takeConfidential, wordsOf } from './confidential';
import { answerProperty, Desk } from './desk';
import { perform } from './perform';
import { defaults } from './properties';
import type { JobsProperties } from './properties';
import { actionOf, requestOf } from './request';
import { checkMayAct } from './web';

/** Asks the ledger about jobs, or acts on them. Errors are answered on the output, never told to Catch nodes. */
export = (RED: Red): void => {
  register<JobsProperties>(RED, 'exdicom-jobs', (node, saved) => {
    const status = new StatusLine(node);
    const settings = new Settings<JobsProperties>(RED, node, saved, defaults);
    const answer = attempt(() => answerProperty(settings));
    const desk = attempt(() => new Desk(RED, node, settings, status));
    const wrong = answer.error ?? desk.error;
    if (wrong === undefined) status.idle();
    else status.failed(wrong);

    handleInput(node, {
      // Before anything else, whatever becomes of the message.
      arrive: (message) => ({ confidential: takeConfidential(message, desk.value?.actions ?? ACTIONS), words: wordsOf(message) }),
      work: async ({ message, signal, ...arrival }, { words, confidential }) => {
        if (desk.error !== undefined) throw desk.error;
        if (answer.error !== undefined) throw answer.error;
        const { action, dialog, who, profile, ledger: open } = desk.value;
        if (needsPost(actionOf(action, words))) checkMayAct(message);
        const request = requestOf({ action, dialog, message: words, confidential });
        const ledger = await open(signal);
        const given = await withLedger(ledger, () => perform(request, { ledger, who: who(message, words), profile }));
        message[answer.value] = given;
        status.done('jobs' in given ? given.jobs.length : undefined);
        arrival.send(message);
      },
      leave: () => undefined,
      answer: (message, error) => {
        status.failed(error);
        message[answer.value ?? defaults.answer] = { error: { code: error.code, message: error.message } };
        message['statusCode'] = httpStatus(error.code, error.retryable);
        return message;
      },
      close: () => {
        desk.value?.close();
        status.close();
      },
    });
  });
};

const STATUSES: Readonly<Partial<Record<ErrorCode, number>>> = {
  REQUEST_INVALID: 400, REQUEST_REFUSED: 403, JOB_UNKNOWN: 404, NOT_IN_QUARANTINE: 404, JOB_STATE: 409, JOB_CANCELLED: 409, RELEASE_REFUSED: 409, SOURCE_GONE: 410,
};

/** What says the same as an error in HTTP (RFC 9110, 15). */
function httpStatus(code: ErrorCode, retryable: boolean): number {
  return STATUSES[code] ?? (retryable ? 503 : 500);
}
