import { useOrAddConfig } from '../editor/default-config';
import { destinationNames } from '../editor/destinations';
import { input, prepareForm, showWhile } from '../editor/form';
import { nodeLabel, nodeLabelStyle, shown } from '../editor/labels';
import { categoryDescription, translate } from '../editor/red';
import { configNode, fitting, isVariable, oneOf, whole, words } from '../editor/validators';
import { ACTIONS, ASKING, FROM_MESSAGE, isAnswerProperty, OUTCOMES, PARAMETERS, STATES } from './actions';
import type { Parameter } from './actions';
import { numbersOf } from './numbers';
import type { JobsProperties } from './properties';
import { instantOf } from './since';

const [neededProfile, possibleProfile] = [configNode('label.profile'), configNode('label.profile', { empty: true })];

RED.nodes.registerType<JobsProperties>('exdicom-jobs', {
  category: 'EXDICOM',
  categoryDescription: categoryDescription('jobs'),
  color: '#B3ABCB',
  defaults: {
    name: { value: '' },
    ledger: { value: '', type: 'exdicom-ledger', validate: configNode('label.ledger') },
    action: { value: 'list', validate: oneOf('label.action', [...ACTIONS, FROM_MESSAGE]) },
    answer: { value: 'payload', validate: fitting('label.answer', isAnswerProperty, 'validate.answer') },
    job: { value: '' },
    state: { value: '', validate: words('label.state', STATES) },
    outcome: { value: '', validate: oneOf('label.outcome', OUTCOMES, { empty: true }) },
    source: { value: '' },
    destination: { value: '' },
    code: { value: '', validate: fitting('label.code', (given) => /^[A-Z]+(_[A-Z]+)*$/.test(given), 'validate.code', { empty: true }) },
    since: { value: '', validate: fitting('label.since', (given) => instantOf(given) !== undefined, 'validate.since', { empty: true }) },
    limit: { value: '', validate: whole('label.limit', 1, 1000, { empty: true }) },
    offset: { value: '', validate: whole('label.offset', 0, 1_000_000_000, { empty: true }) },
    instances: { value: '', validate: fitting('label.instances', (given) => given === 'all' || numbersOf(given) !== undefined, 'validate.instances', { empty: true }) },
    profile: {
      value: '', type: 'exdicom-deid-profile',
      validate(value, options) { return (this['action'] === 'find' ? neededProfile : possibleProfile).call(this, value, options); },
    },
    who: { value: '' },
  },
  inputs: 1,
  outputs: 1,
  icon: 'jobs.svg',
  paletteLabel: 'jobs',
  label() { return nodeLabel(this.name, 'jobs', shown(this.action)); },
  labelStyle() { return nodeLabelStyle(this.name); },
  inputLabels() { return translate(this, 'port.input'); },
  outputLabels() { return translate(this, 'port.output'); },
  onadd() { useOrAddConfig(this, 'ledger', 'exdicom-ledger'); },
  oneditprepare() {
    prepareForm(this);
    const action = input(this, 'action');
    const chosen = (): string => String(action.val() ?? '');
    const parameters = (): readonly Parameter[] => (isVariable(chosen()) ? Object.values(PARAMETERS).flat() : PARAMETERS[chosen() as keyof typeof PARAMETERS] ?? []); // undefined for a value that nobody can choose
    for (const parameter of new Set(Object.values(PARAMETERS).flat())) {
      showWhile(action, $(`#exdicom-jobs-${parameter}`), () => parameters().includes(parameter));
    }
    // What a variable or a message says may act.
    const acts = (): boolean => !ASKING.some((asking) => asking === chosen());
    showWhile(action, $('#exdicom-jobs-parameters'), () => parameters().length > 0);
    showWhile(action, $('#exdicom-jobs-empty'), () => chosen() !== FROM_MESSAGE);
    showWhile(action, $('#exdicom-jobs-find'), () => chosen() === 'find');
    showWhile(action, $('#exdicom-jobs-password'), () => chosen() === 'password');
    showWhile(action, $('#exdicom-jobs-from-message'), () => chosen() === FROM_MESSAGE);
    showWhile(action, $('#exdicom-jobs-acts'), acts);
    showWhile(action, $('#exdicom-jobs-who'), acts);
    $('#exdicom-jobs-destinations').append(...destinationNames().map((name) => $('<option>').val(name)));
  },
});
