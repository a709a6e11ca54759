/*
 * What an entry of the image cache says of its section object, so that nothing of the image file
 * has to be read to map it: headers, extents, and for a relocated image what was done to it.
 *
 * The layout is the same for both word sizes. A note is only believed of an entry that is trusted
 * (cache.h), and is checked like anything from a file all the same.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/mm/cache.h"
#include "loader/mm/pages.h"
#include "loader/mm/protect.h"
#include "loader/mm/section_object.h"

#define DOS_HEADER_SIZE 0x40u

struct note_head {
    uint64_t file_size, shared_size, headers_end;
    uint32_t image_size, extent_count, headers_at, headers_size;
    uint32_t settled; /* the image file had not been written to just before it was read */
    uint32_t moved;   /* 1: the record of the fixups that were applied follows the headers */
};

struct note_extent {
    uint64_t offset;
    uint32_t rva, size, source, protect;
    int32_t pe_section;
    uint32_t reserved;
};

/* struct reloc_plan without its pointer, which differs between word sizes. */
struct note_fixups {
    uint64_t preferred_base, actual_base;
    uint32_t fixups[RELOC_TYPE_COUNT], total, pages;
};

_Static_assert(sizeof(struct note_head) == 48, "both word sizes read a note");
_Static_assert(sizeof(struct note_extent) == 32, "both word sizes read a note");
_Static_assert(sizeof(struct note_fixups) == 88, "both word sizes read a note");

/* ---- writing --------------------------------------------------------------------------------- */

struct writer {
    uint8_t *at;
    uint32_t used;
    bool full;
};

static void put(struct writer *w, const void *bytes, uint64_t size)
{
    w->full |= size > MM_CACHE_NOTE - w->used;
    if (w->full)
        return;
    memcpy(w->at + w->used, bytes, (size_t)size);
    w->used += (uint32_t)size;
}

static void put_extent(struct writer *w, const struct mm_extent *e)
{
    struct note_extent out = {.offset = e->offset,
                              .rva = e->rva,
                              .size = e->size,
                              .source = (uint32_t)e->source,
                              .protect = e->protect,
                              .pe_section = e->pe_section};

    put(w, &out, sizeof(out));
}

static void put_fixups(struct writer *w, const struct reloc_plan *plan)
{
    struct note_fixups out = {.preferred_base = plan->preferred_base,
                              .actual_base = plan->actual_base,
                              .total = plan->fixups_total,
                              .pages = plan->pages_dirtied};

    memcpy(out.fixups, plan->fixups, sizeof(out.fixups));
    put(w, &out, sizeof(out));
}

uint32_t mm_note_write(const struct mm_section *section, bool settled, uint8_t note[MM_CACHE_NOTE])
{
    struct pe_span headers = section->image.bytes;
    uint32_t at = section->image.h.e_lfanew;
    struct note_head head = {.file_size = section->image.file_size,
                             .shared_size = section->shared_size,
                             .headers_end = headers.size,
                             .image_size = section->size,
                             .extent_count = section->extent_count,
                             .headers_at = at,
                             .settled = settled,
                             .moved = section->moved};
    struct writer w = {note, 0, headers.size < DOS_HEADER_SIZE || at >= headers.size};

    head.headers_size = w.full ? 0 : (uint32_t)(headers.size - at);
    put(&w, &head, sizeof(head));
    put(&w, headers.data, DOS_HEADER_SIZE);
    put(&w, headers.data + at, head.headers_size);
    for (uint32_t i = 0; i < section->extent_count; i++)
        put_extent(&w, &section->extents[i]);
    if (section->moved)
        put_fixups(&w, &section->fixups);
    return w.full ? 0 : w.used;
}

/* ---- reading --------------------------------------------------------------------------------- */

struct reader {
    const uint8_t *at;
    uint32_t left;
    bool short_of;
};

static const void *take(struct reader *r, uint32_t size)
{
    const uint8_t *at = r->at;

    r->short_of |= size > r->left;
    if (r->short_of)
        return NULL;
    r->at += size;
    r->left -= size;
    return at;
}

static void get(struct reader *r, void *out, uint32_t size)
{
    const void *from = take(r, size);

    if (from != NULL)
        memcpy(out, from, size);
}

/* The copy of the headers has everything at its offset in the file; what lies between is zero. */
static bool get_headers(struct reader *r, const struct note_head *head, struct mm_section *section,
                        enum pe_windows windows)
{
    const uint8_t *dos = take(r, DOS_HEADER_SIZE), *nt = take(r, head->headers_size);
    uint8_t *copy;

    if (nt == NULL || head->headers_end > head->file_size || head->headers_end > SIZE_MAX / 2 ||
        head->headers_end < DOS_HEADER_SIZE ||
        (uint64_t)head->headers_at + head->headers_size != head->headers_end)
        return false;
    copy = calloc(1, (size_t)head->headers_end);
    if (copy == NULL)
        return false;
    memcpy(copy, dos, DOS_HEADER_SIZE);
    memcpy(copy + head->headers_at, nt, head->headers_size);
    section->image.bytes = (struct pe_span){copy, head->headers_end};
    if (!nt_ok(pe_open(section->image.bytes, PE_LAYOUT_FILE, &section->image, NULL)))
        return false;
    section->image.file_headers = section->image.bytes;
    section->image.windows = windows;
    section->image.file_size = head->file_size;
    return true;
}

/* Where an extent's pages come from, as a plan says it; `*shared` counts the bytes of SHARED ones.
 */
static bool has_source(const struct mm_section *section, const struct note_extent *e,
                       uint64_t *shared)
{
    uint64_t begin = *shared;

    switch (e->source) {
    case MM_SOURCE_OBJECT:
        return e->offset == e->rva;
    case MM_SOURCE_FILE:
        return e->offset < section->image.file_size;
    case MM_SOURCE_SHARED:
        *shared += e->size;
        return e->offset == begin;
    default:
        return false;
    }
}

/* Ascending, disjoint, in whole pages and inside the image, as a plan makes them. */
static bool is_extent(const struct mm_section *section, const struct note_extent *e, uint64_t end)
{
    return (e->rva | e->size | e->offset) % MM_PAGE == 0 && e->size != 0 && e->rva >= end &&
           e->rva < section->size && e->size <= section->size - e->rva &&
           mm_protect_valid(e->protect);
}

static bool get_extents(struct reader *r, struct mm_section *section)
{
    uint64_t end = 0, shared = 0;

    section->extents = calloc(section->extent_count, sizeof(*section->extents));
    for (uint32_t i = 0; section->extents != NULL && i < section->extent_count; i++) {
        struct note_extent e = {0};

        get(r, &e, sizeof(e));
        if (r->short_of || !is_extent(section, &e, end) || !has_source(section, &e, &shared))
            return false;
        end = (uint64_t)e.rva + e.size;
        section->extents[i] = (struct mm_extent){.rva = e.rva,
                                                 .size = e.size,
                                                 .source = (enum mm_source)e.source,
                                                 .offset = e.offset,
                                                 .protect = e.protect,
                                                 .pe_section = e.pe_section};
    }
    return section->extents != NULL && shared == section->shared_size;
}

static bool get_fixups(struct reader *r, struct mm_section *section)
{
    struct note_fixups in = {0};

    get(r, &in, sizeof(in));
    section->moved = true;
    section->fixups = (struct reloc_plan){.outcome = RELOC_APPLIED,
                                          .reason = "the image is not at its preferred base",
                                          .preferred_base = in.preferred_base,
                                          .actual_base = in.actual_base,
                                          .delta = (int64_t)(in.actual_base - in.preferred_base),
                                          .fixups_total = in.total,
                                          .pages_dirtied = in.pages};
    memcpy(section->fixups.fixups, in.fixups, sizeof(in.fixups));
    return !r->short_of;
}

bool mm_note_read(struct mm_section *section, const uint8_t *note, uint32_t size,
                  enum pe_windows windows, bool *settled)
{
    struct reader r = {note, size, false};
    struct note_head head = {0};

    get(&r, &head, sizeof(head));
    if (r.short_of || head.extent_count == 0 ||
        head.extent_count > MM_CACHE_NOTE / sizeof(struct note_extent) ||
        head.image_size % MM_PAGE != 0 || head.image_size == 0)
        return false;
    section->size = head.image_size;
    section->shared_size = head.shared_size;
    section->extent_count = head.extent_count;
    *settled = head.settled != 0;
    return get_headers(&r, &head, section, windows) && get_extents(&r, section) &&
           (head.moved == 0 || get_fixups(&r, section)) && r.left == 0;
}
