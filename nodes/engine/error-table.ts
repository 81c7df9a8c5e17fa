import { ERRORS } from './errors';

/** The table of all error codes as Markdown, without a line break at its end: code (↻ where it is worth retrying), stage, cause, remedy. */
export function errorTable(): string {
  return [
    '| code | stage | what happened | what to do |', '|---|---|---|---|',
    ...Object.entries(ERRORS).map(([code, { stage, retryable, cause, remedy }]) => `| \`${code}\`${retryable ? ' ↻' : ''} | ${stage} | ${cause} | ${remedy} |`),
  ].join('\n');
}
