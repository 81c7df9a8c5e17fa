import { compileProfile } from '../engine/deid/profile';
import { attempt } from '../runtime/attempt';
import type { ProfileNode, ProfileUse } from '../runtime/profile';
import type { ConfigNode, Node, Red } from '../runtime/red';
import { register } from '../runtime/register';
import { Settings, inUserDirectory, resolveSetting, workingDirectory } from '../runtime/settings';
import { defaults } from './properties';
import type { DeidProfileCredentials, DeidProfileProperties } from './properties';

/** How a project de-identifies (PS3.15, Annex E), and where its key is found. */
export = (RED: Red): void => {
  register<DeidProfileProperties, DeidProfileCredentials>(RED, 'exdicom-deid-profile', (created, saved) => {
    const node = created as ConfigNode & ProfileNode; // the properties are set in the next lines
    const use = attempt(() => read(RED, created, saved));
    node.users = {};
    Object.assign(node, use.error === undefined ? { use: use.value } : { failure: use.error });
    if (use.error !== undefined) node.error(use.error);
  }, { key: { type: 'password' } });
};

function read(RED: Red, node: Node<DeidProfileCredentials>, saved: Partial<DeidProfileProperties>): ProfileUse {
  const settings = new Settings<DeidProfileProperties>(RED, node, saved, defaults);
  const dates = settings.choice('dates', ['remove', 'shift']);
  const profile = compileProfile({
    name: settings.text('name') || defaults.name,
    scope: settings.text('scope'),
    preset: dates === 'shift' ? 'basic-shifted-dates' : 'basic',
    dates,
    maximumShift: settings.integer('maximumShift', 1, 36_500),
    allowedRisks: settings.list('allowedRisks'),
    allowedSopClasses: settings.list('allowedSopClasses'),
  });
  if (settings.choice('keyMode', ['kept', 'per-job']) === 'per-job') return { profile, key: undefined };
  const credential = (node.credentials as Partial<DeidProfileCredentials> | undefined)?.key; // Node-RED leaves it out where none was entered
  return {
    profile,
    key: {
      environment: resolveSetting(RED, node, '${EXDICOM_DEID_KEY}'),
      credential: credential === undefined ? undefined : resolveSetting(RED, node, credential),
      file: settings.path('keyFile', workingDirectory(RED)) || inUserDirectory(RED, 'exdicom-deid-key'),
    },
  };
}
