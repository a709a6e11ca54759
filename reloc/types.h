/*
 * Base-relocation types: the one table that plan, apply and audit share (types.c).
 */
#ifndef RELOC_TYPES_H
#define RELOC_TYPES_H

#include "reloc/reloc.h"

struct reloc_type {
    uint8_t type;
    uint8_t machines; /* set of machine families */
    uint8_t width;    /* bytes that a fixup of the type changes */
    const char *name;
    /*
     * Adds `delta` to the field, a span of exactly `width` writable bytes. NULL for ABSOLUTE, and
     * for types that have a name but are refused (width RELOC_TYPE_REFUSED).
     */
    void (*apply)(struct pe_span field, int64_t delta, uint16_t parameter);
};

#define RELOC_TYPE_REFUSED 0xff

/* The types of a machine by number; NULL where the machine refuses the type. */
void reloc_types_of(uint16_t machine, const struct reloc_type *types[RELOC_TYPE_COUNT]);

#endif
