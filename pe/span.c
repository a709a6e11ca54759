/*
 * The bounded reader: the only file that does pointer arithmetic on untrusted bytes.
 *
 * A range is inside when off <= size and len <= size - off; nothing is ever added before it was
 * checked, so no offset, however wild, can wrap. Integers are assembled byte by byte: images are
 * little-endian and their fields need not be aligned (PE specification).
 */
#include "pe/span.h"

#include <string.h>

static bool inside(struct pe_span s, uint64_t off, uint64_t len)
{
    return s.data && off <= s.size && len <= s.size - off;
}

static bool get(struct pe_span s, uint64_t off, unsigned bytes, uint64_t *out)
{
    if (!inside(s, off, bytes))
        return false;
    uint64_t value = 0;
    for (unsigned i = bytes; i-- > 0;)
        value = value << 8 | s.data[off + i];
    *out = value;
    return true;
}

static bool put(struct pe_span s, uint64_t off, unsigned bytes, uint64_t value)
{
    if (!inside(s, off, bytes))
        return false;
    uint8_t *p = (uint8_t *)(uintptr_t)(s.data + off);
    for (unsigned i = 0; i < bytes; i++, value >>= 8)
        p[i] = (uint8_t)value;
    return true;
}

bool pe_sub(struct pe_span s, uint64_t off, uint64_t len, struct pe_span *out)
{
    if (!inside(s, off, len))
        return false;
    *out = (struct pe_span){s.data + off, len};
    return true;
}

bool pe_u8(struct pe_span s, uint64_t off, uint8_t *out)
{
    uint64_t value;
    if (!get(s, off, 1, &value))
        return false;
    *out = (uint8_t)value;
    return true;
}

bool pe_u16(struct pe_span s, uint64_t off, uint16_t *out)
{
    uint64_t value;
    if (!get(s, off, 2, &value))
        return false;
    *out = (uint16_t)value;
    return true;
}

bool pe_u32(struct pe_span s, uint64_t off, uint32_t *out)
{
    uint64_t value;
    if (!get(s, off, 4, &value))
        return false;
    *out = (uint32_t)value;
    return true;
}

bool pe_u64(struct pe_span s, uint64_t off, uint64_t *out)
{
    return get(s, off, 8, out);
}

uint64_t pe_copy_some(struct pe_span s, uint64_t off, void *dst, uint64_t len)
{
    if (!inside(s, off, 0))
        return 0;
    uint64_t n = len < s.size - off ? len : s.size - off;
    if (n)
        memcpy(dst, s.data + off, (size_t)n);
    return n;
}

bool pe_cstr(struct pe_span s, uint64_t off, uint32_t max, struct pe_str *out)
{
    if (!inside(s, off, 1))
        return false;
    uint64_t n = s.size - off;
    if (n > (uint64_t)max + 1)
        n = (uint64_t)max + 1;
    const uint8_t *start = s.data + off;
    const uint8_t *end = memchr(start, 0, (size_t)n);
    if (!end)
        return false;
    *out = (struct pe_str){(const char *)start, (uint32_t)(end - start)};
    return true;
}

bool pe_put_u16(struct pe_span s, uint64_t off, uint16_t value)
{
    return put(s, off, 2, value);
}

bool pe_put_u32(struct pe_span s, uint64_t off, uint32_t value)
{
    return put(s, off, 4, value);
}

bool pe_put_u64(struct pe_span s, uint64_t off, uint64_t value)
{
    return put(s, off, 8, value);
}
