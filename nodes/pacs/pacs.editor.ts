import { prepareForm, showWhile, input } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { aeTitle, configNode, decimal, flag, host as hostName, oneOf, whole } from '../editor/validators';
import { prepareEcho } from './echo.editor';
import type { PacsProperties } from './properties';

RED.nodes.registerType<PacsProperties>('exdicom-pacs', {
  category: 'config',
  color: '#B9B3A6',
  defaults: {
    name: { value: '' },
    host: { value: '', validate: hostName('label.host') },
    port: { value: '11112', validate: whole('label.port', 1, 65_535) },
    aet: { value: '', validate: aeTitle('label.aet') },
    callingAet: { value: '${EXDICOM_AET:-EXDICOM}', validate: aeTitle('label.callingAet') },
    tls: { value: '', type: 'tls-config', validate: configNode('label.tls', { empty: true }) },
    verification: { value: 'C-FIND', validate: oneOf('label.verification', ['response', 'C-FIND']) },
    queryHost: { value: '', validate: hostName('label.queryHost', { empty: true }) },
    queryPort: { value: '', validate: whole('label.queryPort', 1, 65_535, { empty: true }) },
    queryAet: { value: '', validate: aeTitle('label.queryAet', { empty: true }) },
    findWait: { value: '15', validate: decimal('label.findWait', 0, 1440) },
    probeInterval: { value: '30', validate: decimal('label.probeInterval', 1, 86_400) },
    associations: { value: '1', validate: whole('label.associations', 1, 16) },
    connectTimeout: { value: '10', validate: decimal('label.connectTimeout', 1, 86_400) },
    associationTimeout: { value: '30', validate: decimal('label.associationTimeout', 1, 86_400) },
    responseTimeout: { value: '120', validate: decimal('label.responseTimeout', 1, 86_400) },
    writeTimeout: { value: '60', validate: decimal('label.writeTimeout', 1, 86_400) },
    releaseTimeout: { value: '10', validate: decimal('label.releaseTimeout', 1, 86_400) },
    nudge: { value: true, validate: flag('label.nudge') },
    identifiedAllowed: { value: false, validate: flag('label.identifiedAllowed') },
  },
  icon: 'pacs.svg',
  paletteLabel: 'pacs',
  label() {
    const [aet, host] = [shown(this.aet), shown(this.host)];
    return nodeLabel(this.name, aet === '' ? 'pacs' : `${aet} @ ${host}:${shown(this.port)}`);
  },
  labelStyle() { return nodeLabelStyle(this.name); },
  oneditprepare() {
    prepareForm(this);
    const level = input(this, 'verification');
    showWhile(level, $('#exdicom-pacs-query'), () => level.val() !== 'response');
    showWhile(level, $('#exdicom-pacs-response'), () => level.val() === 'response');
    prepareEcho(this);
  },
});
