/** A `deid-profile` config node, as other nodes see it. */
import type { KeySources } from '../engine/deid/key';
import type { CompiledProfile } from '../engine/deid/profile';
import { ExdicomError } from '../engine/errors';
import { configNode } from './red';
import type { ConfigNode, Red } from './red';

export interface ProfileUse {
  readonly profile: CompiledProfile;
  /** Where the key is found; undefined: a random one for each job, thrown away with it. */
  readonly key: KeySources | undefined;
}

export interface ProfileNode extends ConfigNode {
  /** Absent where its settings are not valid; then `failure` says why. */
  readonly use?: ProfileUse;
  readonly failure?: ExdicomError;
}

/**
 * The profile of this name, wherever in the flows it is: what a person has released a file under.
 * @throws {ExdicomError} PROFILE_MISSING where there is none, or several.
 */
export function profileNamed(RED: Red, name: string): ProfileUse {
  const found: ProfileUse[] = [];
  RED.nodes.eachNode(({ id, type }) => {
    const use = type === 'exdicom-deid-profile' ? (configNode(RED, id, type) as ProfileNode | undefined)?.use : undefined; // as below
    if (use?.profile.name === name) found.push(use);
  });
  const [use, ...others] = found;
  if (use === undefined || others.length > 0) throw new ExdicomError('PROFILE_MISSING', { detail: `${found.length} have it` });
  return use;
}

/** @throws {ExdicomError} CONFIG_INVALID where none is chosen, or it is disabled or not valid. */
export function profileNode(RED: Red, id: string | undefined): { readonly node: ProfileNode; readonly use: ProfileUse } {
  const node = configNode(RED, id, 'exdicom-deid-profile') as ProfileNode | undefined; // registered under this type by nodes/deid-profile alone
  if (node === undefined) throw new ExdicomError('CONFIG_INVALID', { detail: 'profile' });
  if (node.use === undefined) throw node.failure ?? new ExdicomError('CONFIG_INVALID', { detail: 'profile' });
  return { node, use: node.use };
}
