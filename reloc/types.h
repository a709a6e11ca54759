/*
 * Base-relocation types: the one table that plan, apply and audit share (types.c).
 */
#ifndef RELOC_TYPES_H
#define RELOC_TYPES_H

#include "reloc/reloc.h"

/* The types that nearly all fixups have. */
enum { RELOC_TYPE_ABSOLUTE = 0, RELOC_TYPE_HIGHLOW = 3, RELOC_TYPE_DIR64 = 10 };

struct reloc_type {
    uint8_t type;
    uint8_t machines;  /* set of machine families */
    uint8_t windows;   /* set of enum pe_windows */
    uint8_t width;     /* bytes that a fixup of the type changes */
    uint8_t alignment; /* the field begins at a multiple of this at or below the RVA; 0 = there */
    const char *name;
    /*
     * Adds `delta` to the field, a span of exactly `width` writable bytes. NULL for types that do
     * nothing (width 0), and that have a name but are refused (width RELOC_TYPE_REFUSED).
     */
    void (*apply)(struct pe_span field, int64_t delta, uint16_t parameter);
};

#define RELOC_TYPE_REFUSED 0xff

/* The types by number, as the image's Windows version knows them on its machine; NULL where it
 * refuses the type. */
void reloc_types_of(const struct pe_image *image, const struct reloc_type *types[RELOC_TYPE_COUNT]);

#endif
