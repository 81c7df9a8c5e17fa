import { useOrAddConfig } from '../editor/default-config';
import { input, prepareForm } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { aeTitle, aeTitles, configNode, decimal, flag, host, ipAddresses, whole } from '../editor/validators';
import type { CStoreInProperties } from './properties';

RED.nodes.registerType<CStoreInProperties>('exdicom-c-store-in', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('c-store-in'),
  color: '#7DB3AC',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger') },
    host: { value: '127.0.0.1', validate: host('label.host') },
    port: { value: '${EXDICOM_LISTEN_PORT:-11112}', validate: whole('label.port', 1, 65_535) },
    aet: { value: '${EXDICOM_AET:-EXDICOM}', validate: aeTitle('label.aet') },
    tls: { value: '', type: 'tls-config', validate: configNode('label.tls', { empty: true }) },
    clientCertificate: { value: false, validate: flag('label.clientCertificate') },
    checkAet: { value: false, validate: flag('label.checkAet') },
    callers: { value: '', validate: aeTitles('label.callers') },
    addresses: { value: '', validate: ipAddresses('label.addresses') },
    quiet: { value: '10', validate: decimal('label.quiet', 1, 86_400) },
    associations: { value: '10', validate: whole('label.associations', 1, 100) },
    issuer: { value: '' },
  },
  inputs: 0,
  outputs: 1,
  icon: 'c-store-in.svg',
  paletteLabel: 'c\u2011store\u2011in', // hyphens that do not break: the palette would put spaces around others
  label() { return nodeLabel(this.name, 'c-store-in', `${shown(this.aet)} :${shown(this.port)}`); },
  labelStyle() { return nodeLabelStyle(this.name); },
  outputLabels() { return translate(this, 'port.output'); },
  onadd() { useOrAddConfig(this, 'ledger', 'exdicom-ledger'); },
  oneditprepare() {
    prepareForm(this);
    const address = $('#node-input-host');
    const update = (): void => { $('#exdicom-c-store-in-open').toggle(!['127.0.0.1', '::1', '[::1]', 'localhost'].includes(String(address.val() ?? '').trim())); };
    address.on('change input', update);
    update();
    // Without TLS nobody can show a certificate.
    const tls = input(this, 'tls');
    const certificates = (): void => {
      const chosen = !['', '_ADD_'].includes(String(tls.val() ?? ''));
      $('#exdicom-c-store-in-certificates').toggle(chosen);
      if (!chosen) input(this, 'clientCertificate').prop('checked', false);
    };
    tls.on('change', certificates);
    certificates();
  },
});
