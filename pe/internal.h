/*
 * What the files of pe/ share among themselves: the extent of an image's addresses, the place of
 * its section table, and table-driven decoding of on-disk structures that differ between PE32 and
 * PE32+.
 */
#ifndef PE_INTERNAL_H
#define PE_INTERNAL_H

#include <stddef.h>

#include "pe/image.h"

#define PE_ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))

/* One past the last RVA: the page-rounded SizeOfImage of a file, the view of a mapped image. */
uint64_t pe_limit(const struct pe_image *image);

/* `value` rounded up to the power of two `to`; 64 bits, so 32-bit values do not wrap. */
static inline uint64_t pe_round_up(uint64_t value, uint64_t to)
{
    return (value + to - 1) & ~(to - 1);
}

/* On-disk layouts of one structure: index 0 = PE32, 1 = PE32+. Width 0: the field does not exist.
 */
struct pe_field {
    uint16_t offset[2];
    uint8_t width[2];
    uint16_t member;     /* offset in the host's struct */
    uint8_t member_size; /* 1, 2, 4 or 8 */
};
#define PE_FIELD(type, name, off32, width32, off64, width64)                                \
    {                                                                                       \
        {off32, off64}, {width32, width64}, offsetof(type, name), sizeof(((type *)0)->name) \
    }
/* The same place and width in both forms. */
#define PE_FIELD_SAME(type, name, off, width) PE_FIELD(type, name, off, width, off, width)

/* Decodes the fields that lie inside `s`; the others are left as they are. */
void pe_decode(struct pe_span s, const struct pe_field *fields, size_t count, bool pe32_plus,
               void *out);

/* Where the file has the field that `member` (offset in struct pe_headers) was decoded from. */
uint64_t pe_header_offset(const struct pe_image *image, size_t member);

#define PE_SECTION_HEADER_SIZE 40u

/* The span that holds the section table, the table's offset in it and NumberOfSections. */
struct pe_section_table {
    struct pe_span bytes;
    uint64_t offset;
    uint32_t count;
};
struct pe_section_table pe_section_table(const struct pe_image *image);
/* True when the VirtualAddresses of all table entries that can be read rise strictly. */
bool pe_sections_rise(const struct pe_image *image);
/*
 * The PE section with the highest VirtualAddress not above `rva` (false: none), and in `next` the
 * lowest VirtualAddress above it (UINT32_MAX: none).
 */
bool pe_section_below(const struct pe_image *image, uint32_t rva, uint32_t *index, uint32_t *next);

#endif
