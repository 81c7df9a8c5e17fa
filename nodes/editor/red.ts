/** The part of Node-RED's editor that the dialogs use, as 5.0 and 4.1 have it; the published typings were written for 1.3. */

/** A node as the editor holds it. Its saved properties lie beside these. */
export interface EditorNode {
  readonly id: string;
  readonly type: string;
  readonly z?: string;
  readonly _def: EditorDefinition;
  /** A text of this node's locale file; the key itself where there is none. Absent until the node is on the workspace. */
  readonly _?: Translate;
  credentials?: Record<string, unknown>;
  [property: string]: unknown;
}

export type Translate = (key: string, values?: Record<string, string | number>) => string;

/** True, or the reason why not. Declares both arguments, by which Node-RED knows that it gives a reason. */
export type Validator = (this: EditorNode, value: unknown, options: object) => true | string;

interface Property<V> {
  readonly value: V;
  /** Type of the configuration node that the property names. */
  readonly type?: string;
  readonly validate?: Validator;
}

/** What `registerType` takes. Everything but functions is a literal, since the Flow Library reads the script without running it. */
export interface Definition<P extends object, C extends object = object> {
  readonly category: 'EXDICOM' | 'config';
  readonly categoryDescription?: string;
  readonly color?: string;
  readonly defaults: { readonly [K in keyof P]: Property<P[K]> };
  readonly credentials?: { readonly [K in keyof C]: { readonly type: 'password'; readonly validate?: Validator } };
  readonly inputs?: 0 | 1;
  readonly outputs?: number;
  readonly icon?: string;
  readonly align?: 'left' | 'right';
  readonly paletteLabel: string;
  label(this: P & EditorNode): string;
  labelStyle?(this: P & EditorNode): string;
  inputLabels?(this: P & EditorNode): string;
  outputLabels?(this: P & EditorNode, index: number): string;
  onadd?(this: P & EditorNode): void;
  oneditprepare(this: P & EditorNode): void;
  oneditsave?(this: P & EditorNode): void;
}

/** A definition as the editor hands it back. */
export interface EditorDefinition {
  readonly category: string;
  readonly defaults: Record<string, { value: unknown; type?: string; validate?: Validator }>;
  label?: string | ((this: EditorNode) => string);
  readonly _: Translate;
}

export interface EditorRed {
  /** A text by `module/node:key`. */
  readonly _: Translate;
  readonly nodes: {
    registerType<P extends object, C extends object = object>(type: string, definition: Definition<P, C>): void;
    getType(type: string): EditorDefinition | undefined;
    node(id: string): EditorNode | null | undefined;
    add(node: object): void;
    id(): string;
    eachNode(visit: (node: EditorNode) => boolean | void): void;
    eachConfig(visit: (node: EditorNode) => boolean | void): void;
    dirty(): boolean;
  };
  readonly history: { push(event: object): void };
  readonly workspaces: { active(): string };
  readonly utils: { getNodeLabel(node: EditorNode, fallback?: string): string };
}

declare global {
  const RED: EditorRed;
}

/** A text of the node's locale file, also before the node is on the workspace. */
export function translate(node: EditorNode, key: string, values?: Record<string, string | number>): string {
  const { _: own, _def: { _: fromType } } = node;
  return (own ?? fromType)(key, values);
}

/** What the palette says of our category. `shortName` is the node whose locale file holds it; Node-RED 4 does not ask. */
export function categoryDescription(shortName: string): string {
  return RED._(`@exdicom/node-red-dicom/${shortName}:category`, { defaultValue: 'EXDICOM' });
}
