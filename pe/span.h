/*
 * Bounded reader: the only file that touches untrusted bytes (span.c), but for runs of fixups
 * (reloc/run.c).
 *
 * All checks are by subtraction (off > size || len > size - off), so nothing can wrap. Values are
 * little-endian on disk and decoded byte by byte: no alignment and no host byte order is assumed.
 * Every reader returns false and leaves its output untouched when the range is not inside.
 */
#ifndef PE_SPAN_H
#define PE_SPAN_H

#include <stdbool.h>
#include <stdint.h>

struct pe_span {
    const uint8_t *data;
    uint64_t size; /* bytes */
};

/* A string inside a span: not owned, `len` bytes without the NUL that ends it. */
struct pe_str {
    const char *ptr;
    uint32_t len;
};

bool pe_sub(struct pe_span s, uint64_t off, uint64_t len, struct pe_span *out);
bool pe_u8(struct pe_span s, uint64_t off, uint8_t *out);
bool pe_u16(struct pe_span s, uint64_t off, uint16_t *out);
bool pe_u32(struct pe_span s, uint64_t off, uint32_t *out);
bool pe_u64(struct pe_span s, uint64_t off, uint64_t *out);
/* Copies min(len, what the span holds from off) bytes and returns that number (0 when off is
 * outside). */
uint64_t pe_copy_some(struct pe_span s, uint64_t off, void *dst, uint64_t len);
/* A NUL-terminated string that ends inside the span, of at most `max` bytes without its NUL. */
bool pe_cstr(struct pe_span s, uint64_t off, uint32_t max, struct pe_str *out);
/* Writers for a mapped image (fixups, IAT): the same checks. `s.data` must point to writable
 * memory. */
bool pe_put_u16(struct pe_span s, uint64_t off, uint16_t value);
bool pe_put_u32(struct pe_span s, uint64_t off, uint32_t value);
bool pe_put_u64(struct pe_span s, uint64_t off, uint64_t value);

#endif
