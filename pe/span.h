/*
 * Bounded reader: pointer arithmetic on untrusted bytes is done here and in span.c only, but for
 * runs of fixups (reloc/run.c).
 *
 * A range is inside when off <= size and len <= size - off; nothing is ever added before it was
 * checked, so no offset, however wild, can wrap. Values are little-endian on disk and copied out:
 * no alignment and no host byte order is assumed. Every reader returns false and leaves its output
 * untouched when the range is not inside. The readers are inline: the loader reads tables of
 * thousands of entries with them.
 */
#ifndef PE_SPAN_H
#define PE_SPAN_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct pe_span {
    const uint8_t *data;
    uint64_t size; /* bytes */
};

/* A string inside a span: not owned, `len` bytes without the NUL that ends it. */
struct pe_str {
    const char *ptr;
    uint32_t len;
};

static inline bool pe_inside(struct pe_span s, uint64_t off, uint64_t len)
{
    return s.data && off <= s.size && len <= s.size - off;
}

static inline bool pe_sub(struct pe_span s, uint64_t off, uint64_t len, struct pe_span *out)
{
    if (!pe_inside(s, off, len))
        return false;
    *out = (struct pe_span){s.data + off, len};
    return true;
}

static inline bool pe_u8(struct pe_span s, uint64_t off, uint8_t *out)
{
    if (!pe_inside(s, off, 1))
        return false;
    *out = s.data[off];
    return true;
}

static inline bool pe_u16(struct pe_span s, uint64_t off, uint16_t *out)
{
    if (!pe_inside(s, off, 2))
        return false;
    uint16_t raw;
    memcpy(&raw, s.data + off, sizeof(raw));
    *out = le16toh(raw);
    return true;
}

static inline bool pe_u32(struct pe_span s, uint64_t off, uint32_t *out)
{
    if (!pe_inside(s, off, 4))
        return false;
    uint32_t raw;
    memcpy(&raw, s.data + off, sizeof(raw));
    *out = le32toh(raw);
    return true;
}

static inline bool pe_u64(struct pe_span s, uint64_t off, uint64_t *out)
{
    if (!pe_inside(s, off, 8))
        return false;
    uint64_t raw;
    memcpy(&raw, s.data + off, sizeof(raw));
    *out = le64toh(raw);
    return true;
}

/*
 * A short span for inner loops: offsets and sizes of 32 bits, which a 32-bit host compares at once.
 * The same checks; read through a pointer, so that nothing is copied for a look at it.
 */
struct pe_run {
    const uint8_t *data;
    uint32_t size; /* 0 where data is NULL */
};

static inline const uint8_t *pe_run_at(const struct pe_run *r, uint32_t off, uint32_t len)
{
    return off < r->size && len <= r->size - off ? r->data + off : NULL;
}

static inline bool pe_run_u16(const struct pe_run *r, uint32_t off, uint16_t *out)
{
    uint16_t raw;
    const uint8_t *at = pe_run_at(r, off, sizeof(raw));
    if (!at)
        return false;
    memcpy(&raw, at, sizeof(raw));
    *out = le16toh(raw);
    return true;
}

static inline bool pe_run_u32(const struct pe_run *r, uint32_t off, uint32_t *out)
{
    uint32_t raw;
    const uint8_t *at = pe_run_at(r, off, sizeof(raw));
    if (!at)
        return false;
    memcpy(&raw, at, sizeof(raw));
    *out = le32toh(raw);
    return true;
}

static inline bool pe_run_u64(const struct pe_run *r, uint32_t off, uint64_t *out)
{
    uint64_t raw;
    const uint8_t *at = pe_run_at(r, off, sizeof(raw));
    if (!at)
        return false;
    memcpy(&raw, at, sizeof(raw));
    *out = le64toh(raw);
    return true;
}

/* As pe_cstr() below, of at most `max` < UINT32_MAX bytes. */
static inline bool pe_run_str(const struct pe_run *r, uint32_t off, uint32_t max,
                              struct pe_str *out)
{
    const uint8_t *at = pe_run_at(r, off, 1);
    uint32_t room = at ? r->size - off : 0;
    const uint8_t *end = at ? memchr(at, 0, room <= max ? room : max + 1) : NULL;
    if (!end)
        return false;
    out->ptr = (const char *)at;
    out->len = (uint32_t)(end - at);
    return true;
}

/* Copies min(len, what the span holds from off) bytes and returns that number (0 when off is
 * outside). */
uint64_t pe_copy_some(struct pe_span s, uint64_t off, void *dst, uint64_t len);
/* A NUL-terminated string that ends inside the span, of at most `max` bytes without its NUL. */
bool pe_cstr(struct pe_span s, uint64_t off, uint32_t max, struct pe_str *out);
/* Writers for a mapped image (fixups, IAT): the same checks. `s.data` must point to writable
 * memory. */
static inline bool pe_put_u16(struct pe_span s, uint64_t off, uint16_t value)
{
    uint16_t raw = htole16(value);
    if (!pe_inside(s, off, sizeof(raw)))
        return false;
    memcpy((uint8_t *)(uintptr_t)s.data + off, &raw, sizeof(raw));
    return true;
}

static inline bool pe_put_u32(struct pe_span s, uint64_t off, uint32_t value)
{
    uint32_t raw = htole32(value);
    if (!pe_inside(s, off, sizeof(raw)))
        return false;
    memcpy((uint8_t *)(uintptr_t)s.data + off, &raw, sizeof(raw));
    return true;
}

static inline bool pe_put_u64(struct pe_span s, uint64_t off, uint64_t value)
{
    uint64_t raw = htole64(value);
    if (!pe_inside(s, off, sizeof(raw)))
        return false;
    memcpy((uint8_t *)(uintptr_t)s.data + off, &raw, sizeof(raw));
    return true;
}

#endif
