/*
 * Walking base-relocation blocks (PE specification, .reloc; facts 2.3, 2.4).
 *
 * The directory's size ends the table, never a zero block. Block sizes must add up to it exactly,
 * and the entries of a block must end exactly at its end (loader-rules, reloc.blocks). Nothing is
 * read ahead: a fixup may patch the header of the next block.
 */
#include "pe/relocs.h"

#include "pe/internal.h"

#define BLOCK_HEADER_SIZE 8u
#define ENTRY_SIZE        2u
#define TYPE_HIGHADJ      4u

bool pe_fixups(const struct pe_image *image, struct pe_fixup_iter *it)
{
    *it = (struct pe_fixup_iter){.image = image};
    if (!pe_directory_get(image, IMAGE_DIRECTORY_ENTRY_BASERELOC, &it->dir) || it->dir.size == 0)
        return false;
    it->block = it->block_end = it->entry = it->dir.rva;
    if (!pe_rva_span(image, it->dir.rva, it->dir.size, &it->piece))
        it->piece = (struct pe_span){NULL, 0};
    return true;
}

static int fail(struct pe_fixup_iter *it, const char *what)
{
    it->status = STATUS_INVALID_IMAGE_FORMAT;
    it->what = what;
    return -1;
}

/* Most directories lie in one piece, where reading is cheap; zero fill and odd ends do not. */
static bool read_u16(const struct pe_fixup_iter *it, uint32_t rva, uint16_t *out)
{
    return pe_u16(it->piece, rva - it->dir.rva, out) || pe_rva_u16(it->image, rva, out);
}

static bool read_u32(const struct pe_fixup_iter *it, uint32_t rva, uint32_t *out)
{
    return pe_u32(it->piece, rva - it->dir.rva, out) || pe_rva_u32(it->image, rva, out);
}

int pe_fixup_block(struct pe_fixup_iter *it)
{
    if (!nt_ok(it->status))
        return -1;
    uint32_t size, left = it->dir.size - (it->block_end - it->dir.rva);
    if (left == 0)
        return 0;
    /* No linker leaves relocations to zero fill; a file is not asked for more than it holds. */
    if (it->image->layout == PE_LAYOUT_FILE && it->dir.size > it->image->bytes.size)
        return fail(it, "the relocation directory is larger than the file");
    if (left < BLOCK_HEADER_SIZE)
        return fail(it, "a relocation block header crosses the end of the directory");
    if (!read_u32(it, it->block_end, &it->page_rva) || !read_u32(it, it->block_end + 4, &size))
        return fail(it, "a relocation block header lies outside the image");
    if (size < BLOCK_HEADER_SIZE)
        return fail(it, "a relocation block is smaller than its header");
    if (size > left)
        return fail(it, "a relocation block crosses the end of the directory");
    it->block = it->block_end;
    it->entry = it->block + BLOCK_HEADER_SIZE;
    it->block_end = it->block + size;
    return 1;
}

static bool next_word(struct pe_fixup_iter *it, uint16_t *out)
{
    if (it->block_end - it->entry < ENTRY_SIZE || !read_u16(it, it->entry, out))
        return false;
    it->entry += ENTRY_SIZE;
    return true;
}

bool pe_fixup_entries(const struct pe_fixup_iter *it, struct pe_span *out)
{
    return pe_sub(it->piece, it->entry - it->dir.rva, it->block_end - it->entry, out);
}

int pe_fixup_next(struct pe_fixup_iter *it, struct pe_fixup *out)
{
    uint16_t word;
    if (!nt_ok(it->status))
        return -1;
    while (it->entry == it->block_end) {
        int more = pe_fixup_block(it);
        if (more <= 0)
            return more;
    }
    struct pe_fixup f = {.entry_rva = it->entry, .block_rva = it->page_rva};
    if (!next_word(it, &word))
        return fail(it, "a relocation block ends inside an entry");
    f.type = (uint8_t)(word >> 12);
    f.rva = it->page_rva + (word & 0xfff);
    f.has_parameter = f.type == TYPE_HIGHADJ;
    if (f.has_parameter && !next_word(it, &f.parameter))
        return fail(it, "a HIGHADJ fixup lacks its second entry");
    *out = f;
    return 1;
}
