/** Takes out of a message what nobody behind this node may see: a password, or what a patient is looked for by. */
import type { Message } from '../runtime/red';
import { CONFIDENTIAL } from './actions';
import type { Action } from './actions';
import type { Confidential } from './request';

type Fields = Record<string, unknown>;

/** What a message says in its payload, and in the path of a web request; plain objects only. */
export function wordsOf(message: Message): Fields {
  const { req, job } = message as { readonly req?: unknown; readonly job?: unknown };
  const token = fieldsOf(job);
  return {
    ...(typeof token?.['id'] === 'string' ? { job: token['id'] } : {}),
    ...fieldsOf(fieldsOf(req)?.['params']),
    ...fieldsOf(message.payload),
  };
}

/**
 * Removes them at once: from the message, and from the body of the web request that it came from. Objects that other messages
 * may share are replaced, but for that body, of which there is only one.
 */
export function takeConfidential(message: Message, actions: readonly Action[]): Confidential {
  const names = new Set(actions.flatMap((action) => CONFIDENTIAL[action] ?? []));
  const taken: Fields = {};
  if (names.size === 0) return taken;
  const payload = fieldsOf(message.payload);
  for (const name of names) {
    const value = payload?.[name];
    if (value !== undefined) taken[name] = value;
  }
  if (payload !== undefined) message.payload = Object.fromEntries(Object.entries(payload).filter(([name]) => !names.has(name)));
  const body = fieldsOf(fieldsOf((message as { readonly req?: unknown }).req)?.['body']);
  for (const name of names) if (body !== undefined) delete body[name];
  if (names.has('password') && 'password' in message) {
    taken['password'] = message['password'];
    delete message['password'];
  }
  return taken;
}

function fieldsOf(value: unknown): Fields | undefined {
  return typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array) ? value as Fields : undefined; // an object, whatever it holds
}
