/*
 * A window of page marks (pages.h).
 */
#include "reloc/pages.h"

#include <string.h>

void reloc_pages_start(struct reloc_pages *pages, uint32_t first)
{
    pages->first = first;
    pages->beyond = RELOC_NO_PAGE;
    memset(pages->bits, 0, sizeof pages->bits);
}

void reloc_pages_mark(struct reloc_pages *pages, uint32_t page)
{
    if (page < pages->first)
        return;
    uint32_t i = page - pages->first;
    if (i >= RELOC_WINDOW_PAGES) {
        if (page < pages->beyond)
            pages->beyond = page;
        return;
    }
    uint8_t bit = (uint8_t)(1u << i % 8);
    if (!(pages->bits[i / 8] & bit))
        pages->distinct++;
    pages->bits[i / 8] |= bit;
}
