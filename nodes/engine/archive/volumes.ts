/** Which files are volumes of one archive, by their names. Pure: it looks at no disk. */

interface Volume {
  /** Equal for the volumes of one set. */
  readonly set: string;
  /** Position in the set; gaps are allowed. */
  readonly order: number;
  /** A name that is an archive of its own where no other volume of the set is there. */
  readonly plain: boolean;
}

const LAST = Number.MAX_SAFE_INTEGER;

function volumeOf(name: string): Volume | undefined {
  const lower = name.toLowerCase();
  const part = /^(.*)\.part(\d{1,5})\.(rar|exe)$/u.exec(lower);
  if (part) return { set: `${part[1]}.part.rar`, order: Number(part[2]), plain: false };
  const rar = /^(.*)\.(?:(rar)|([r-z])(\d{2}))$/u.exec(lower);
  // .z01 belongs to a zip; RAR gets there only after 800 volumes.
  if (rar && rar[3] !== 'z') {
    if (rar[2] !== undefined) return { set: `${rar[1]}.rar`, order: 0, plain: true };
    return { set: `${rar[1]}.rar`, order: 1 + (rar[3]!.codePointAt(0)! - 0x72) * 100 + Number(rar[4]), plain: false };
  }
  const zip = /^(.*)\.(?:(zip)|z(\d{2,4}))$/u.exec(lower);
  if (zip) return { set: `${zip[1]}.zip`, order: zip[2] === undefined ? Number(zip[3]) : LAST, plain: zip[2] !== undefined };
  const cut = /^(.*)\.(zip|7z|rar)\.(\d{3,4})$/u.exec(lower);
  if (cut) return { set: `${cut[1]}.${cut[2]}.cut`, order: Number(cut[3]), plain: false };
  return undefined;
}

/**
 * Groups names (of one folder, or with their relative folders) into the archives that they make together: `x.part1.rar` and
 * on, `x.rar` with `x.r00` and on, `x.zip` with `x.z01` and on, `x.zip.001`, `x.7z.001`, `x.rar.001` and on. Names that are
 * no volume, DICOM files like `IM.001` among them, are a set of one.
 * @returns positions in `names`: each set in the order of its volumes, sets in the order of their first name.
 */
export function volumeSets(names: readonly string[]): ReadonlyArray<readonly number[]> {
  const sets = new Map<string, Array<{ readonly index: number; readonly order: number }>>();
  for (const [index, name] of names.entries()) {
    const volume = volumeOf(name);
    let key = volume?.set ?? `file ${index}`;
    // Two files that claim the same place (a.zip and A.ZIP) are two archives.
    if (volume && sets.get(key)?.some((other) => other.order === volume.order)) key = `file ${index}`;
    const set = sets.get(key) ?? [];
    set.push({ index, order: volume?.order ?? 0 });
    sets.set(key, set);
  }
  return [...sets.values()].map((set) => set.sort((a, b) => a.order - b.order).map(({ index }) => index));
}

/** Whether this name alone says that there are other volumes: `x.part1.rar`, `x.r00`, `x.z01`, `x.zip.001`; not `x.rar`, `x.zip`. */
export function isVolumeName(name: string): boolean {
  const volume = volumeOf(name);
  return volume !== undefined && !volume.plain;
}

/** Whether a file of this name may go on in the middle of an archive, so that its beginning tells nothing: `x.z02`, `x.zip` after it, `x.zip.002`, `x.rar.002`. */
export function mayContinue(name: string): boolean {
  return /\.(?:zip|z\d{2,4}|(?:zip|rar)\.\d{3,4})$/iu.test(name);
}

/**
 * @param names of one set, in order.
 * @returns whether by these a volume is missing: the first, one between others, or the `x.zip` that ends `x.z01` and on. Of
 * other sets no name tells which is the last.
 */
export function lacksVolume(names: readonly string[]): boolean {
  const volumes = names.map(volumeOf);
  const numbered = volumes.flatMap((volume) => (volume === undefined || volume.order === LAST ? [] : [volume]));
  const [first] = numbered;
  if (first === undefined) return false;
  if (first.order > (first.set.endsWith('.rar') && !first.set.endsWith('.part.rar') ? 0 : 1)) return true;
  if (numbered.some(({ order }, i) => i > 0 && order !== numbered[i - 1]!.order + 1)) return true;
  return first.set.endsWith('.zip') && volumes.at(-1)?.order !== LAST;
}

/** Whether a set that was cut into equal pieces may have another one: its last is no smaller than its first. Names in order. */
export function mayLackLast(volumes: ReadonlyArray<{ readonly name: string; readonly bytes: number }>): boolean {
  const first = volumes[0];
  const last = volumes.at(-1);
  return first !== undefined && last !== undefined && /\.(?:zip|rar)\.\d{3,4}$/iu.test(last.name) && last.bytes >= first.bytes;
}
