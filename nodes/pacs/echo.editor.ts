/** The button "Test connection": a C-ECHO with what stands in the dialog, saved or not. */
import { input } from '../editor/form';
import { translate, type EditorNode } from '../editor/red';

/** What the runtime needs for an association. */
const SENT = ['host', 'port', 'aet', 'callingAet', 'tls', 'connectTimeout', 'associationTimeout', 'responseTimeout', 'releaseTimeout'] as const;

/** The runtime's answer: our own code and sentences, never what the peer sent. */
interface EchoAnswer {
  readonly ok: boolean;
  readonly milliseconds?: number;
  readonly code?: string;
  readonly cause?: string;
  readonly remedy?: string;
  readonly detail?: string;
}

export function prepareEcho(node: EditorNode): void {
  const button = $<HTMLButtonElement>('#exdicom-pacs-echo');
  const result = $('#exdicom-pacs-echo-result');
  const say = (kind: '' | 'exdicom-good' | 'exdicom-bad', text: string): void => {
    result.removeClass('exdicom-good exdicom-bad').addClass(kind).text(text);
  };

  // An answer is one to the values that were asked with.
  let asked = 0;
  for (const property of SENT) input(node, property).on('input change', () => { asked += 1; say('', ''); });

  button.on('click', () => {
    const values = Object.fromEntries(SENT.map((property) => [property, String(input(node, property).val() ?? '')]));
    if (values['tls'] === '_ADD_') values['tls'] = '';
    const current = (asked += 1);
    button.prop('disabled', true);
    say('', translate(node, 'echo.running'));
    // Relative: only then does the editor add its token and the root of the admin API.
    const request = $.ajax({ url: 'exdicom/pacs/echo', method: 'POST', contentType: 'application/json', data: JSON.stringify({ id: node.id, z: node.z ?? '', ...values }) });
    request.done((answer: EchoAnswer) => {
      if (current !== asked) return;
      if (answer.ok) say('exdicom-good', translate(node, 'echo.ok', { milliseconds: Math.round(answer.milliseconds ?? 0) }));
      else say('exdicom-bad', explain(node, answer));
    });
    request.fail((failed) => {
      if (current !== asked) return;
      const isForbidden = failed.status === 401 || failed.status === 403;
      // The admin API may answer with an error page, or not at all.
      say('exdicom-bad', isForbidden ? translate(node, 'echo.forbidden') : explain(node, failed.responseJSON as Partial<EchoAnswer> | undefined));
    });
    request.always(() => { button.prop('disabled', false); });
  });
}

/** In the reader's language where the code is known to the locale file, else in the runtime's words. */
function explain(node: EditorNode, answer: Partial<EchoAnswer> | undefined): string {
  if (answer?.code === undefined) return translate(node, 'echo.failed');
  const key = `echo.${answer.code}`;
  const own = translate(node, key);
  if (own !== key) return own;
  return [answer.cause, answer.remedy].filter((sentence) => sentence !== undefined).join(' ') || translate(node, 'echo.failed');
}
