/** Code pages that names of entries may be in where the archive does not say; in the dialog as well, hence without an import. */
export const NAME_ENCODINGS = ['cp950', 'cp949', 'cp932', 'gbk', 'cp437'] as const;

export type NameEncoding = typeof NAME_ENCODINGS[number];
