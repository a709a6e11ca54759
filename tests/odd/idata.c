/*
 * Import tables written by hand (idata.h; layout: PE specification, "The .idata Section").
 */
#include "tests/odd/idata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TABLES = 0x400, TABLE_SIZE = 0x40, DESCRIPTOR_SIZE = 20 };

#define WORD ((uint32_t)sizeof(void *))

static uint32_t offset_of(uint32_t rva, uint32_t size)
{
    if (rva < IDATA || rva - IDATA > IDATA_SIZE - size) {
        fprintf(stderr, "idata: RVA 0x%x is not in the page\n", rva);
        abort();
    }
    return rva - IDATA;
}

uint32_t idata_table(uint32_t n)
{
    return IDATA + TABLES + n * TABLE_SIZE;
}

uint32_t idata_slot(uint32_t n, uint32_t i)
{
    return idata_table(n) + i * WORD;
}

void idata_put32(struct idata *i, uint32_t rva, uint32_t value)
{
    pebuild_put32(i->bytes, offset_of(rva, 4), value);
}

void idata_pointer(struct idata *i, uint32_t rva, uint64_t value)
{
    if (WORD == 8)
        pebuild_put64(i->bytes, offset_of(rva, 8), value);
    else
        pebuild_put32(i->bytes, offset_of(rva, 4), (uint32_t)value);
}

static uint32_t add_string(struct idata *i, const void *bytes, uint32_t size)
{
    uint32_t rva = i->strings;
    memcpy(i->bytes + offset_of(rva, size), bytes, size);
    i->strings += (size + 1) & ~1u;
    return rva;
}

uint32_t idata_string(struct idata *i, const char *text)
{
    return add_string(i, text, (uint32_t)strlen(text) + 1);
}

uint64_t idata_name(struct idata *i, uint16_t hint, const char *name)
{
    uint8_t bytes[2];
    pebuild_put16(bytes, 0, hint);
    uint32_t rva = add_string(i, bytes, sizeof(bytes));
    idata_string(i, name);
    return rva;
}

uint64_t idata_ordinal(uint16_t ordinal)
{
    return ordinal | 1ull << (WORD * 8 - 1);
}

uint32_t idata_field(uint32_t index, uint32_t field)
{
    return IDATA_DESCRIPTORS + index * DESCRIPTOR_SIZE + field * 4;
}

void idata_descriptor(struct idata *i, uint32_t index, uint32_t lookup, const char *dll,
                      uint32_t iat)
{
    idata_put32(i, idata_field(index, 0), lookup);
    idata_put32(i, idata_field(index, 3), dll ? idata_string(i, dll) : 0);
    idata_put32(i, idata_field(index, 4), iat);
}

void idata_import(struct idata *i, uint32_t index, uint32_t lookup, const char *dll, uint32_t iat,
                  const char *function)
{
    uint64_t thunk = idata_name(i, 0, function);
    idata_descriptor(i, index, lookup, dll, iat);
    idata_pointer(i, iat, thunk);
    if (lookup)
        idata_pointer(i, lookup, thunk);
}

void idata_putchar(struct idata *i, uint32_t index, uint32_t lookup, uint32_t iat)
{
    idata_import(i, index, lookup, "msvcrt.dll", iat, "putchar");
}

struct idata *idata_begin(struct odd *odd)
{
    struct idata *i = calloc(1, sizeof(*i));
    odd_text(odd);
    if (!i || pebuild_next_rva(odd->b) != IDATA) {
        fprintf(stderr, "idata: the code does not end where the page begins\n");
        abort();
    }
    const struct pebuild_section *own = &odd->b->sections[0];
    uint32_t begin = odd->b->h.directory[IMAGE_DIRECTORY_ENTRY_IMPORT].rva;
    memcpy(i->bytes, own->data + (begin - own->virtual_address), 2 * DESCRIPTOR_SIZE);
    i->odd = odd;
    i->directory = IDATA_DESCRIPTORS;
    i->strings = IDATA_STRINGS;
    i->raw_size = IDATA_SIZE;
    return i;
}

void idata_finish(struct idata *i)
{
    struct pebuild *b = i->odd->b;
    pebuild_section(b, "DATA", PEBUILD_DATA, i->bytes, i->raw_size, IDATA_SIZE);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_IMPORT, i->directory, 3 * DESCRIPTOR_SIZE);
    free(i);
}

void idata_say(struct odd *odd, uint32_t slot, char c)
{
    const uint32_t argument = (uint32_t)c;
    odd_call_import(odd, slot, 1, &argument);
}
