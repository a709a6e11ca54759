/*
 * Counting distinct pages (pages.c).
 *
 * It must be exact for fixups in any order and for hostile directories, yet needs no heap: a bitmap
 * covers a window of 256 MiB of image. Who has pages behind it counts once more, from `beyond` on.
 */
#ifndef RELOC_PAGES_H
#define RELOC_PAGES_H

#include <stdint.h>

#define RELOC_WINDOW_PAGES (1u << 16)
#define RELOC_NO_PAGE      UINT32_MAX

struct reloc_pages {
    uint32_t first, beyond; /* first page of the window, lowest marked page after it */
    uint32_t distinct;      /* marked pages of this and of all earlier windows */
    uint8_t bits[RELOC_WINDOW_PAGES / 8];
};

/* The window begins at page `first`, with no page marked; `distinct` stays. */
void reloc_pages_start(struct reloc_pages *pages, uint32_t first);
void reloc_pages_mark(struct reloc_pages *pages, uint32_t page);

#endif
