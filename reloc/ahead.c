/*
 * The run of pages before the walk: blocks of a linker go up page by page, so that their headers
 * say soon enough what will be written.
 *
 * What is told must come true, since a page that is made private for nothing is memory lost. So a
 * run ends before a page that holds fixups which are still to come: no block of the run can change
 * what a later one says. And it begins behind everything that was written so far: who prepares
 * pages may give them other memory with the content that they have in the image.
 */
#include "reloc/ahead.h"

/* A field reaches at most this far into the next page. */
#define MAX_REACH 16u

static bool holds_fixups(const struct pe_fixup_iter *it, uint32_t page)
{
    return page < (uint64_t)it->dir.rva + it->dir.size &&
           it->block < (uint64_t)page + PE_PAGE_SIZE + MAX_REACH;
}

/* The first entry of the block writes to its page. */
static bool begins_with_fixup(const struct pe_fixup_iter *it)
{
    struct pe_span entries;
    uint16_t entry;
    if (!pe_fixup_entries(it, &entries) || !pe_u16(entries, 0, &entry))
        return false;
    return entry >> 12 == RELOC_TYPE_HIGHLOW || entry >> 12 == RELOC_TYPE_DIR64;
}

static bool writes_page(const struct reloc_walk *walk, const struct pe_fixup_iter *it)
{
    uint32_t page = it->page_rva, limit = pe_mapped_size(walk->image);
    return page % PE_PAGE_SIZE == 0 && page < limit && limit - page >= PE_PAGE_SIZE &&
           !holds_fixups(it, page) && begins_with_fixup(it) &&
           (!walk->memory.may_write ||
            walk->memory.may_write(walk->memory.user, page, PE_PAGE_SIZE));
}

/* The end of the run of pages that begins with the block at `it`. */
static uint32_t find_end(const struct reloc_walk *walk, const struct pe_fixup_iter *it)
{
    struct pe_fixup_iter next = *it;
    uint32_t end = it->page_rva;
    while (writes_page(walk, &next)) {
        end = next.page_rva + PE_PAGE_SIZE;
        do
            if (pe_fixup_block(&next) <= 0)
                return end;
        while (next.page_rva == end - PE_PAGE_SIZE);
        if (next.page_rva != end)
            break;
    }
    return end;
}

void reloc_ahead_block(struct reloc_ahead *ahead, const struct reloc_walk *walk,
                       const struct pe_fixup_iter *it)
{
    uint32_t page = it->page_rva;
    if (page < ahead->written_end || page < ahead->prepared_end)
        return;
    if (page >= ahead->known_end)
        ahead->known_end = find_end(walk, it);
    if (page >= ahead->known_end)
        return;
    ahead->prepared_end =
        page + walk->memory.prepare(walk->memory.user, page, ahead->known_end - page);
}
