/*
 * Which pages of an image's relocated form hold fixups.
 *
 * Of an image without DYNAMIC_BASE Windows leaves the fixups to the loader of each process (facts
 * 2.3). What it writes to becomes a copy, of which VirtualQuery says PAGE_READWRITE where it said
 * PAGE_WRITECOPY before (facts 1.1). Here these pages come from the cache and are everyone's, so
 * the fixups tell which they would be. They are walked when somebody asks for the first time, not
 * when the image is loaded: few ask, and a walk takes longer than a load.
 */
#include <stdlib.h>
#include <sys/mman.h>

#include "loader/mm/pages.h"
#include "loader/mm/section_object.h"
#include "pe/rules.h"

bool mm_section_fixed_wanted(const struct mm_section *section)
{
    return section->moved && atomic_load(&section->fixed_pages) == NULL &&
           !(section->image.h.dll_characteristics & IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE);
}

bool mm_section_is_fixed(const struct mm_section *section, uint64_t page)
{
    const uint8_t *bits = atomic_load(&section->fixed_pages);

    return bits != NULL && (bits[page / 8] >> page % 8 & 1) != 0;
}

/* Counts the fixups of each page, in the object as it is: no process has written to that. */
static void count_fixups(const struct mm_section *section, uint32_t *counts)
{
    void *object = mmap(NULL, section->size, PROT_READ, MAP_PRIVATE, section->object_fd,
                        (off_t)section->object_offset);
    struct pe_image image = section->image;
    struct reloc_plan plan;

    if (object == MAP_FAILED)
        return;
    image.bytes = (struct pe_span){object, section->size};
    image.layout = PE_LAYOUT_MAPPED;
    if (!section->shows_headers)
        pe_directories_as_mapped(&image);
    reloc_plan(&image, section->cache_key.base, counts, (uint32_t)(section->size / MM_PAGE), &plan,
               NULL);
    munmap(object, section->size);
}

void mm_section_find_fixed(struct mm_section *section)
{
    size_t pages = (size_t)(section->size / MM_PAGE);
    uint32_t *counts = calloc(pages, sizeof(*counts));
    uint8_t *bits = calloc(pages / 8 + 1, 1), *none = NULL;

    if (counts != NULL && bits != NULL) {
        count_fixups(section, counts);
        for (size_t page = 0; page < pages; page++)
            bits[page / 8] |= (uint8_t)((counts[page] != 0) << page % 8);
        /* Another thread may have been faster. */
        if (atomic_compare_exchange_strong(&section->fixed_pages, &none, bits))
            bits = NULL;
    }
    free(counts);
    free(bits);
}
