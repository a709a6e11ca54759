/*
 * Reading many values that lie close together: a window remembers what could be read around the
 * last of them, so that a table is asked about once a piece and not once an entry.
 *
 * It holds no content, only where the content is: a table that is written while it is walked is
 * seen as it is. It is good for as long as no page of the image loses the right to be read, so it
 * lives no longer than one walk.
 */
#ifndef PE_WINDOW_H
#define PE_WINDOW_H

#include "pe/image.h"

struct pe_window { /* start from {0} */
    uint32_t rva;
    struct pe_run bytes;
};

/* Puts the window where it shows `rva`, if there are bytes behind that. */
void pe_window_move(const struct pe_image *image, struct pe_window *w, uint32_t rva);

/* What pe_rva_u16(), _u32() and _ptr() would answer. */
static inline bool pe_window_u16(const struct pe_image *image, struct pe_window *w, uint32_t rva,
                                 uint16_t *out)
{
    if (pe_run_u16(&w->bytes, rva - w->rva, out))
        return true;
    pe_window_move(image, w, rva);
    return pe_rva_u16(image, rva, out);
}

static inline bool pe_window_u32(const struct pe_image *image, struct pe_window *w, uint32_t rva,
                                 uint32_t *out)
{
    if (pe_run_u32(&w->bytes, rva - w->rva, out))
        return true;
    pe_window_move(image, w, rva);
    return pe_rva_u32(image, rva, out);
}

static inline bool pe_window_ptr(const struct pe_image *image, struct pe_window *w, uint32_t rva,
                                 uint64_t *out)
{
    uint32_t value;
    if (image->h.pe32_plus) {
        if (pe_run_u64(&w->bytes, rva - w->rva, out))
            return true;
        pe_window_move(image, w, rva);
        return pe_rva_u64(image, rva, out);
    }
    if (!pe_window_u32(image, w, rva, &value))
        return false;
    *out = value;
    return true;
}

/* What pe_rva_str() would answer. */
static inline bool pe_window_str(const struct pe_image *image, struct pe_window *w, uint32_t rva,
                                 uint32_t max, struct pe_str *out)
{
    if (pe_run_str(&w->bytes, rva - w->rva, max, out))
        return true;
    pe_window_move(image, w, rva);
    return pe_rva_str(image, rva, max, out);
}

#endif
