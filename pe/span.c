/*
 * What of the bounded reader is not inline (span.h): copies and strings.
 */
#include "pe/span.h"

uint64_t pe_copy_some(struct pe_span s, uint64_t off, void *dst, uint64_t len)
{
    if (!pe_inside(s, off, 0))
        return 0;
    uint64_t n = len < s.size - off ? len : s.size - off;
    if (n)
        memcpy(dst, s.data + off, (size_t)n);
    return n;
}

bool pe_cstr(struct pe_span s, uint64_t off, uint32_t max, struct pe_str *out)
{
    if (!pe_inside(s, off, 1))
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
