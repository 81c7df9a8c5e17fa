/** A small file system of its own in memory, to be filled and freed. */
import { execFileSync } from 'node:child_process';
import { closeSync, existsSync, mkdirSync, mkdtempSync, openSync, rmSync, statfsSync, truncateSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** Why none can be mounted here, or false. */
export function mountMissing(): string | false {
  try {
    SmallDisk.make(1)[Symbol.dispose]();
    return false;
  } catch {
    return 'mounting a tmpfs is not permitted here';
  }
}

export class SmallDisk implements Disposable {
  private constructor(readonly folder: string) {}

  static make(megabytes: number): SmallDisk {
    const folder = mkdtempSync(join(tmpdir(), 'exdicom-disk-'));
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m,mode=700`, 'tmpfs', folder], { stdio: 'ignore' });
    } catch (thrown) {
      rmSync(folder, { recursive: true });
      throw thrown;
    }
    return new SmallDisk(folder);
  }

  get #filler(): string {
    return join(this.folder, '.filler', 'bytes');
  }

  get freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  /** Fills it but for so many bytes. */
  fill(leave = 0): void {
    mkdirSync(join(this.folder, '.filler'), { recursive: true });
    const fd = openSync(this.#filler, 'a');
    const block = Buffer.alloc(1 << 20, 1);
    try {
      for (;;) {
        const room = this.freeBytes - leave;
        if (room <= 0) return;
        writeSync(fd, block, 0, Math.min(room, block.length));
      }
    } catch (thrown) {
      if (!(thrown instanceof Error && 'code' in thrown && thrown.code === 'ENOSPC')) throw thrown;
    } finally {
      closeSync(fd);
    }
  }

  free(): void {
    if (existsSync(this.#filler)) truncateSync(this.#filler, 0);
  }

  [Symbol.dispose](): void {
    // Whatever still has a file open there does not keep it.
    execFileSync('umount', ['-l', this.folder], { stdio: 'ignore' });
    rmSync(this.folder, { recursive: true });
  }
}
