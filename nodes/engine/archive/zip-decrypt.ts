/** The two ways in which zip entries are encrypted. Both decrypt in place, block by block. */
import { createCipheriv, createHmac, pbkdf2Sync, timingSafeEqual } from 'node:crypto';
import type { Cipheriv, Hmac } from 'node:crypto';
import type { AesParameters } from './zip-directory';

export interface Decryptor {
  /** Decrypts the next bytes in place. */
  update(block: Buffer): void;
  /** Whether what was read is what was encrypted; `trailer` is what follows the data. Where nothing tells, true. */
  authentic(trailer: Buffer): boolean;
}

/** Bytes before and after the encrypted data. */
export interface Overhead {
  readonly before: number;
  readonly after: number;
}

const AUTHENTICATION_BYTES = 10;
const VERIFIER_BYTES = 2;

export const aesOverhead = ({ keyLength }: AesParameters): Overhead => ({ before: keyLength / 2 + VERIFIER_BYTES, after: AUTHENTICATION_BYTES });
export const zipCryptoOverhead: Overhead = { before: 12, after: 0 };

/** WinZip AES (AE-1, AE-2): PBKDF2-HMAC-SHA1, AES in counter mode with a little-endian counter from 1, HMAC-SHA1 of ten bytes. */
class AesDecryptor implements Decryptor {
  readonly #cipher: Cipheriv;
  readonly #hmac: Hmac;
  readonly #counters = Buffer.alloc(1 << 16);
  #stream: Buffer = Buffer.alloc(0);
  #used = 0;
  #counter = 1;

  constructor(key: Buffer, hmacKey: Buffer) {
    this.#cipher = createCipheriv(`aes-${key.length * 8}-ecb`, key, null);
    this.#cipher.setAutoPadding(false);
    this.#hmac = createHmac('sha1', hmacKey);
  }

  update(block: Buffer): void {
    this.#hmac.update(block);
    for (let at = 0; at < block.length;) {
      if (this.#used === this.#stream.length) this.#refill();
      const count = Math.min(block.length - at, this.#stream.length - this.#used);
      for (let i = 0; i < count; i += 1) block[at + i]! ^= this.#stream[this.#used + i]!;
      at += count;
      this.#used += count;
    }
  }

  #refill(): void {
    for (let at = 0; at < this.#counters.length; at += 16) {
      this.#counters.writeUInt32LE(this.#counter >>> 0, at);
      this.#counters.writeUInt32LE(Math.floor(this.#counter / 0x100000000), at + 4);
      this.#counter += 1;
    }
    this.#stream = this.#cipher.update(this.#counters);
    this.#used = 0;
  }

  authentic(trailer: Buffer): boolean {
    return trailer.length === AUTHENTICATION_BYTES && timingSafeEqual(this.#hmac.digest().subarray(0, AUTHENTICATION_BYTES), trailer);
  }
}

/** @param header salt and verifier. @returns undefined where the password does not fit (one wrong one in 65,536 does). */
export function openAes(header: Buffer, { keyLength }: AesParameters, password: Buffer): Decryptor | undefined {
  const salt = header.subarray(0, keyLength / 2);
  const keys = pbkdf2Sync(password, salt, 1000, keyLength * 2 + VERIFIER_BYTES, 'sha1');
  if (!keys.subarray(keyLength * 2).equals(header.subarray(keyLength / 2, keyLength / 2 + VERIFIER_BYTES))) return undefined;
  return new AesDecryptor(keys.subarray(0, keyLength), keys.subarray(keyLength, keyLength * 2));
}

const CRC_TABLE = Int32Array.from({ length: 256 }, (_, n) => {
  let c = n;
  for (let k = 0; k < 8; k += 1) c = (c & 1) !== 0 ? (c >>> 1) ^ 0xedb88320 : c >>> 1;
  return c;
});

/** Traditional PKWARE encryption (APPNOTE 6.1): three keys, stirred by every plain byte. */
class ZipCrypto implements Decryptor {
  #a = 0x12345678;
  #b = 0x23456789;
  #c = 0x34567890;

  constructor(password: Buffer) {
    for (const byte of password) this.#stir(byte);
  }

  #stir(byte: number): void {
    this.#a = CRC_TABLE[(this.#a ^ byte) & 0xff]! ^ (this.#a >>> 8);
    this.#b = (Math.imul(this.#b + (this.#a & 0xff), 0x08088405) + 1) | 0;
    this.#c = CRC_TABLE[(this.#c ^ (this.#b >>> 24)) & 0xff]! ^ (this.#c >>> 8);
  }

  update(block: Buffer): void {
    // Locals, not fields: this loop runs once per byte of the archive.
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    for (let i = 0; i < block.length; i += 1) {
      const t = (c | 2) & 0xffff;
      const byte = block[i]! ^ ((Math.imul(t, t ^ 1) >>> 8) & 0xff);
      block[i] = byte;
      a = CRC_TABLE[(a ^ byte) & 0xff]! ^ (a >>> 8);
      b = (Math.imul(b + (a & 0xff), 0x08088405) + 1) | 0;
      c = CRC_TABLE[(c ^ (b >>> 24)) & 0xff]! ^ (c >>> 8);
    }
    this.#a = a;
    this.#b = b;
    this.#c = c;
  }

  authentic(): boolean {
    return true;
  }
}

/** @param header the twelve bytes before the data. @returns undefined where the password does not fit (one wrong one in 256 does). */
export function openZipCrypto(header: Buffer, check: number, password: Buffer): Decryptor | undefined {
  const crypto = new ZipCrypto(password);
  const plain = Buffer.from(header);
  crypto.update(plain);
  return plain[11] === check ? crypto : undefined;
}
