/*
 * Table-driven decoding of on-disk structures (internal.h).
 *
 * PE32 and PE32+ hold the same fields at different offsets and widths; one row a field merges both
 * into the host's struct without ever laying a C struct over untrusted bytes.
 */
#include "pe/internal.h"

#include <string.h>

static bool read_width(struct pe_span s, uint64_t off, uint8_t width, uint64_t *out)
{
    uint8_t v8;
    uint16_t v16;
    uint32_t v32;
    switch (width) {
    case 1:
        return pe_u8(s, off, &v8) && (*out = v8, true);
    case 2:
        return pe_u16(s, off, &v16) && (*out = v16, true);
    case 4:
        return pe_u32(s, off, &v32) && (*out = v32, true);
    case 8:
        return pe_u64(s, off, out);
    }
    return false;
}

static void store(void *member, uint8_t size, uint64_t value)
{
    uint8_t v8 = (uint8_t)value;
    uint16_t v16 = (uint16_t)value;
    uint32_t v32 = (uint32_t)value;
    const void *from = size == 1   ? (void *)&v8
                       : size == 2 ? (void *)&v16
                       : size == 4 ? (void *)&v32
                                   : (void *)&value;
    memcpy(member, from, size);
}

void pe_decode(struct pe_span s, const struct pe_field *fields, size_t count, bool pe32_plus,
               void *out)
{
    for (size_t i = 0; i < count; i++) {
        const struct pe_field *f = &fields[i];
        uint64_t value;
        if (read_width(s, f->offset[pe32_plus], f->width[pe32_plus], &value))
            store((char *)out + f->member, f->member_size, value);
    }
}
