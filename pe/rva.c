/*
 * Access by RVA: what a mapped image would show, whichever layout the bytes have (facts 1.2).
 *
 * An image is a row of pieces. Each begins with bytes that the span holds in one run and ends with
 * zero fill; either part may be empty. A mapped or flat image is one piece. In a file, a piece is a
 * PE section up to where the next one begins, or the headers, or a gap (all zero fill).
 */
#include "pe/internal.h"
#include "pe/window.h"

#include <string.h>

#define WINDOW_SIZE 0x40000u /* large enough for most tables, little to ask a view about */

struct piece {
    uint64_t offset; /* in the span */
    uint64_t backed; /* bytes there */
    uint64_t zero;   /* zero bytes behind them */
};

uint64_t pe_limit(const struct pe_image *image)
{
    if (image->layout == PE_LAYOUT_FILE)
        return pe_mapped_size(image);
    return image->bytes.size <= UINT32_MAX ? image->bytes.size : UINT32_MAX;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The piece [0, length) that starts at `offset` of the span with `backed` bytes, cut at `rva`. */
static void cut(struct piece *p, uint64_t offset, uint64_t backed, uint64_t length, uint64_t skip)
{
    backed = min_u64(backed, length);
    p->offset = offset + skip;
    p->backed = backed > skip ? backed - skip : 0;
    p->zero = length - skip - p->backed;
}

static void file_piece(const struct pe_image *image, uint32_t rva, uint64_t limit, struct piece *p)
{
    uint32_t index, next;
    struct pe_section s;
    bool below = pe_section_below(image, rva, &index, &next);
    uint64_t end = min_u64(limit, next), headers = min_u64(pe_headers_shown(image), end);
    if (below && pe_section_at(image, index, &s) && rva - s.virtual_address < s.mapped_size) {
        uint64_t section_end = min_u64(end, (uint64_t)s.virtual_address + s.mapped_size);
        cut(p, s.file_offset, s.file_size, section_end - s.virtual_address,
            rva - s.virtual_address);
    } else {
        cut(p, 0, below ? 0 : min_u64(headers, image->bytes.size), end, rva);
    }
}

/* The pages of a view have protections: only `want` bytes are asked for, at the cost of a page
 * each. */
static void mapped_piece(const struct pe_image *image, uint32_t rva, uint64_t limit, uint64_t want,
                         struct piece *p)
{
    cut(p, 0, image->bytes.size, limit, rva);
    if (image->readable)
        p->backed = image->readable(image->view, rva, (uint32_t)min_u64(p->backed, want));
}

/* The piece at `rva`, of which no more than `want` bytes matter. */
static bool piece_at(const struct pe_image *image, uint32_t rva, uint64_t want, struct piece *p)
{
    uint64_t limit = pe_limit(image);
    if (rva >= limit)
        return false;
    if (image->layout == PE_LAYOUT_MAPPED)
        mapped_piece(image, rva, limit, want, p);
    else if (pe_is_flat(image))
        cut(p, 0, image->bytes.size, limit, rva);
    else
        file_piece(image, rva, limit, p);
    return p->backed || p->zero;
}

bool pe_rva_copy(const struct pe_image *image, uint32_t rva, void *dst, uint32_t len)
{
    uint64_t limit = pe_limit(image);
    if (rva > limit || len > limit - rva)
        return false;
    for (uint32_t done = 0; done < len;) {
        struct piece p;
        uint32_t at = rva + done, left = len - done;
        if (!piece_at(image, at, left, &p))
            return false;
        uint64_t bytes = min_u64(p.backed, left), zeroes = min_u64(p.zero, left - bytes);
        pe_copy_some(image->bytes, p.offset, (char *)dst + done, bytes);
        memset((char *)dst + done + bytes, 0, (size_t)zeroes);
        done += (uint32_t)(bytes + zeroes);
    }
    return true;
}

/* `len` bytes at `rva`: where they are, or a copy in `buffer`. */
static bool read_bytes(const struct pe_image *image, uint32_t rva, uint8_t *buffer, uint32_t len,
                       struct pe_span *out)
{
    if (pe_rva_span(image, rva, len, out) && out->size == len)
        return true;
    if (!pe_rva_copy(image, rva, buffer, len))
        return false;
    *out = (struct pe_span){buffer, len};
    return true;
}

bool pe_rva_u16(const struct pe_image *image, uint32_t rva, uint16_t *out)
{
    uint8_t buffer[2];
    struct pe_span s;
    return read_bytes(image, rva, buffer, sizeof(buffer), &s) && pe_u16(s, 0, out);
}

bool pe_rva_u32(const struct pe_image *image, uint32_t rva, uint32_t *out)
{
    uint8_t buffer[4];
    struct pe_span s;
    return read_bytes(image, rva, buffer, sizeof(buffer), &s) && pe_u32(s, 0, out);
}

bool pe_rva_u64(const struct pe_image *image, uint32_t rva, uint64_t *out)
{
    uint8_t buffer[8];
    struct pe_span s;
    return read_bytes(image, rva, buffer, sizeof(buffer), &s) && pe_u64(s, 0, out);
}

bool pe_rva_ptr(const struct pe_image *image, uint32_t rva, uint64_t *out)
{
    uint32_t value;
    if (image->h.pe32_plus)
        return pe_rva_u64(image, rva, out);
    if (!pe_rva_u32(image, rva, &value))
        return false;
    *out = value;
    return true;
}

bool pe_rva_span(const struct pe_image *image, uint32_t rva, uint32_t len, struct pe_span *out)
{
    struct piece p;
    return len && piece_at(image, rva, len, &p) && p.backed &&
           pe_sub(image->bytes, p.offset, min_u64(p.backed, len), out);
}

bool pe_rva_str(const struct pe_image *image, uint32_t rva, uint32_t max, struct pe_str *out)
{
    struct piece p;
    struct pe_span s;
    if (!piece_at(image, rva, (uint64_t)max + 1, &p))
        return false;
    if (!p.backed) {
        *out = (struct pe_str){"", 0};
        return true;
    }
    if (!pe_sub(image->bytes, p.offset, p.backed, &s))
        return false;
    if (pe_cstr(s, 0, max, out))
        return true;
    /* No NUL among the backed bytes: the zero fill behind them ends the string. */
    if (!p.zero || p.backed > max)
        return false;
    *out = (struct pe_str){(const char *)s.data, (uint32_t)p.backed};
    return true;
}

bool pe_rva_to_offset(const struct pe_image *image, uint32_t rva, uint64_t *out)
{
    struct piece p;
    if (image->layout != PE_LAYOUT_FILE || !piece_at(image, rva, 1, &p) || !p.backed)
        return false;
    *out = p.offset;
    return true;
}

/* Windows begin at multiples of their size where the bytes in front of `rva` can be read as well:
 * names are read in any order. */
void pe_window_move(const struct pe_image *image, struct pe_window *w, uint32_t rva)
{
    uint32_t start = rva & ~(WINDOW_SIZE - 1);
    struct pe_span bytes = {NULL, 0};
    if (!pe_rva_span(image, start, WINDOW_SIZE, &bytes) || bytes.size <= rva - start) {
        start = rva;
        if (!pe_rva_span(image, start, WINDOW_SIZE, &bytes))
            bytes = (struct pe_span){NULL, 0};
    }
    w->bytes = (struct pe_run){bytes.data, (uint32_t)bytes.size};
    w->rva = start;
}
