/*
 * Base-relocation blocks (PE specification, .reloc; facts 2.3, 2.4). What the entries mean is the
 * business of reloc/; this iterator only walks them, re-reading the bytes at every step because a
 * block may patch the next one.
 */
#ifndef PE_RELOCS_H
#define PE_RELOCS_H

#include "pe/image.h"

struct pe_fixup {
    uint32_t rva; /* PageRVA + offset, mod 2^32 */
    uint8_t type; /* 0..15 */
    bool has_parameter;
    uint16_t parameter; /* the second entry of a HIGHADJ (type 4) */
    uint32_t entry_rva; /* where the entry itself lies */
    uint32_t block_rva; /* PageRVA of its block */
};

struct pe_fixup_iter {
    const struct pe_image *image;
    struct pe_directory dir;
    struct pe_span piece;             /* what the image holds of the directory in one piece */
    uint32_t block, block_end, entry; /* RVAs */
    uint32_t page_rva;
    nt_status status;
    const char *what; /* static sentence for a negative result */
};
/* False when there is no base-relocation directory (or one of size 0). */
bool pe_fixups(const struct pe_image *image, struct pe_fixup_iter *it);
/* Moves to the next block, past what is left of the one before: 1, 0 at the end, -1 as below. */
int pe_fixup_block(struct pe_fixup_iter *it);
/* The entries of the block that are still to come, where they lie in one piece; else false. */
bool pe_fixup_entries(const struct pe_fixup_iter *it, struct pe_span *out);
/* 1 = a fixup (type 0 entries are returned too), 0 = end, -1 = malformed (status and what are set).
 */
int pe_fixup_next(struct pe_fixup_iter *it, struct pe_fixup *out);

#endif
