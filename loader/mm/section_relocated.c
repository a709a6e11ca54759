/*
 * The relocated form of an image section: where it lies when its preferred base is taken, and the
 * entry of the cache that holds its pages with the fixups for that base applied.
 *
 * Windows relocates an image once, for all processes (Windows Internals, ASLR: one base per image
 * and boot). Here every process that has to move a file's image tries the same places, which
 * follow from the file's identity, and finds there what the first one has made.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "loader/mm/pagemap.h"
#include "loader/mm/pages.h"
#include "loader/mm/scan.h"
#include "loader/mm/view_object.h"
#include "pe/rules.h"

/* Where moved images go: above the shadow memory of AddressSanitizer, far below Linux's own
 * mappings; or, when an image has to stay low, above what programs prefer. */
#define HIGH_BEGIN 0x200000000000u
#define HIGH_END   0x240000000000u
#define LOW_BEGIN  0x10000000u
#define LOW_END    0x70000000u
#define HUGE_PAGE  0x200000u

/* ---- where ----------------------------------------------------------------------------------- */

/* splitmix64: neighbours become strangers. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
    x = (x ^ x >> 27) * 0x94d049bb133111ebu;
    return x ^ x >> 31;
}

uint64_t mm_section_stable_base(const struct mm_section *section, uint64_t limit, uint32_t attempt)
{
    const struct mm_cache_key *key = &section->cache_key;
    bool low = limit != 0 || sizeof(void *) == 4;
    uint64_t begin = low ? LOW_BEGIN : HIGH_BEGIN, end = low ? LOW_END : HIGH_END;
    uint64_t seed = mix(key->dev ^ mix(key->ino ^ mix(key->size ^ mix((uint64_t)key->mtime_sec))));
    /* Whole huge pages, where the image has some: fixups over all of one are cheaper there. */
    uint64_t unit = section->size >= HUGE_PAGE ? HUGE_PAGE : MM_GRANULARITY, places;

    if (limit != 0 && limit < end)
        end = limit;
    if ((!section->cached && section->later == NULL) || end < begin || section->size > end - begin)
        return 0;
    places = (end - begin - section->size) / unit + 1;
    return begin + mix(seed + attempt) % places * unit;
}

/* ---- finding --------------------------------------------------------------------------------- */

struct mm_section *mm_section_relocated(const struct mm_section *section, uint64_t base)
{
    struct mm_cache_key key = section->cache_key;
    bool absent;

    key.base = base;
    if (base == 0 || (!section->cached && section->later == NULL))
        return NULL;
    return mm_cached_open(&key, -1, section->name, &absent);
}

const struct reloc_plan *mm_section_fixups(const struct mm_section *section)
{
    return section->moved ? &section->fixups : NULL;
}

/* ---- keeping --------------------------------------------------------------------------------- */

/* The rest of what an image shows is made for one process, or by several. Without fixups only the
 * base in the header differs, which is not worth a copy. */
static bool can_be_kept(const struct mm_view *view, const struct reloc_plan *plan)
{
    const struct mm_section *section = view->section;
    uint32_t e_lfanew;

    return (section->cached || section->later != NULL) && !section->moved &&
           plan->fixups_total != 0 && section->shared_size == 0 && view->stable &&
           !pe_is_flat(&view->image) && !pe_must_move(&view->image) &&
           pe_rva_u32(&view->image, 0x3c, &e_lfanew) && e_lfanew == view->image.h.e_lfanew;
}

static bool write_run(int fd, const struct mm_view *view, uint64_t from, uint64_t end)
{
    mm_section_reserve(fd, from, end - from);
    while (from < end) {
        ssize_t put =
            pwrite(fd, mm_ptr(view->range.base + from), (size_t)(end - from), (off_t)from);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        from += (uint64_t)put;
    }
    return true;
}

/* The next pages at or behind `from` that the object or the file has content for; both are `end`
 * when there are none. */
static void next_data(const struct mm_view *view, const struct mm_extent *extent, uint64_t from,
                      uint64_t end, uint64_t *data, uint64_t *data_end)
{
    int object = view->section->object_fd;
    off_t found = (off_t)from, hole = (off_t)end;

    if (extent->source == MM_SOURCE_OBJECT) {
        found = lseek(object, (off_t)from, SEEK_DATA);
        hole = found < 0 ? -1 : lseek(object, found, SEEK_HOLE);
    }
    *data = found < 0 || (uint64_t)found > end ? end : mm_round_down((uint64_t)found, MM_PAGE);
    *data_end = hole < 0 || (uint64_t)hole > end ? end : mm_round_up((uint64_t)hole, MM_PAGE);
}

/* What has content, and what fixups have written of the zero fill; the rest stays a hole. */
static bool write_extent(int fd, const struct mm_view *view, const struct mm_extent *extent,
                         struct mm_pagemap *pagemap)
{
    uint64_t at = extent->rva, end = at + extent->size, data, data_end;
    bool done = true;

    while (done && at < end) {
        next_data(view, extent, at, end, &data, &data_end);
        for (; done && at < data; at += MM_PAGE)
            if (mm_pagemap_private(pagemap, view->range.base + at))
                done = write_run(fd, view, at, at + MM_PAGE);
        done = done && write_run(fd, view, data, data_end);
        at = data_end;
    }
    return done;
}

static bool write_image(int fd, const struct mm_view *view)
{
    const struct mm_section *section = view->section;
    struct mm_pagemap pagemap;
    bool done = true;

    mm_pagemap_init(&pagemap);
    for (uint32_t i = 0; done && i < section->extent_count; i++)
        done = write_extent(fd, view, &section->extents[i], &pagemap);
    mm_pagemap_close(&pagemap);
    return done;
}

/* The section as its relocated form says it: all pages come from the object. */
static uint32_t write_note(const struct mm_section *section, const struct reloc_plan *plan,
                           uint8_t note[MM_CACHE_NOTE])
{
    struct mm_section moved = *section;
    struct mm_extent extents[MM_CACHE_NOTE / sizeof(struct mm_extent)];

    if (section->extent_count > sizeof(extents) / sizeof(*extents))
        return 0;
    for (uint32_t i = 0; i < section->extent_count; i++) {
        extents[i] = section->extents[i];
        extents[i].source = MM_SOURCE_OBJECT;
        extents[i].offset = extents[i].rva;
    }
    moved.extents = extents;
    moved.moved = true;
    moved.fixups = *plan;
    return mm_note_write(&moved, true, note);
}

/* ---- sharing what was kept ------------------------------------------------------------------- */

static bool has_content(int fd, const struct mm_view *view)
{
    _Alignas(64) uint8_t theirs[PE_PAGE_SIZE * 4];
    uint64_t at = 0, end = view->range.size;

    while (at < end) {
        size_t size = end - at < sizeof(theirs) ? (size_t)(end - at) : sizeof(theirs);

        if (pread(fd, theirs, size, (off_t)at) != (ssize_t)size ||
            memcmp(theirs, mm_ptr(view->range.base + at), size) != 0)
            return false;
        at += size;
    }
    return true;
}

/* An entry that says and holds what was found out here. It is closed if it does not. */
static bool is_same(const struct mm_cache_key *key, struct mm_cache_entry *entry,
                    const struct mm_view *view, const uint8_t *note, const uint8_t *theirs,
                    uint32_t size)
{
    if (entry->image_size != view->range.size || memcmp(theirs, note, size) != 0 ||
        (!entry->trusted && !has_content(entry->fd, view))) {
        mm_cache_reject(key, entry);
        return false;
    }
    if (!entry->trusted)
        mm_cache_trust(key, entry);
    if (!entry->trusted) /* somebody writes to it */
        mm_cache_reject(key, entry);
    return entry->trusted;
}

/* The view becomes one of the relocated form: its pages are everyone's again. Takes the entry. */
static void switch_over(struct mm_view *view, const struct mm_cache_key *key,
                        struct mm_cache_entry *entry, const uint8_t *note, uint32_t size)
{
    struct mm_section *old = view->section;
    struct mm_section *moved = mm_cached_take(key, entry, note, size, -1, old->name);

    if (moved == NULL)
        return;
    mm_ranges_write_lock();
    if (mmap(mm_ptr(view->range.base), (size_t)view->range.size, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, moved->object_fd, 0) != MAP_FAILED) {
        mm_later_served(old);
        view->section = moved;
        view->image.file_headers = moved->image.file_headers;
        moved = old;
    }
    mm_ranges_unlock();
    mm_section_unref(moved);
}

static bool build(const struct mm_cache_key *key, const struct mm_view *view,
                  struct mm_cache_build *build, const uint8_t *note, uint32_t size,
                  struct mm_cache_entry *entry)
{
    if (!write_image(build->fd, view)) {
        mm_cache_abandon(build);
        return false;
    }
    return mm_cache_commit(key, build, note, size, view->section->name, entry);
}

struct written {
    int fd;
    const struct mm_view *view;
};

static bool write_private(void *user, uint64_t address, uint64_t size)
{
    const struct written *written = user;
    uint64_t from = address - written->view->range.base;

    return write_run(written->fd, written->view, from, from + size);
}

/* What was laid out for this view becomes the entry: only what fixups have written is missing. */
static bool complete(const struct mm_cache_key *key, const struct mm_view *view,
                     struct mm_cache_build *build, const uint8_t *note, uint32_t size,
                     struct mm_cache_entry *entry)
{
    struct written written = {.fd = build->fd, .view = view};
    uint64_t base = view->range.base;

    if (!mm_scan_private(base, base + view->range.size, write_private, &written)) {
        mm_cache_abandon(build);
        return false;
    }
    return mm_cache_commit(key, build, note, size, view->section->name, entry);
}

/* Of two processes that begin at the same time one waits, and finds what the other has made. */
#define MAX_ROUNDS 3

void mm_view_keep_relocated(struct mm_view *view, const struct reloc_plan *plan)
{
    struct mm_cache_key key = view->section->cache_key;
    uint8_t note[MM_CACHE_NOTE] = {0}, theirs[MM_CACHE_NOTE] = {0};
    enum mm_cache_begun begun = MM_CACHE_LOOK_AGAIN;
    struct mm_cache_build work;
    struct mm_cache_entry entry;
    uint32_t their_size, size = 0;
    bool found = false;

    if (view->open && can_be_kept(view, plan))
        size = write_note(view->section, plan, note);
    key.base = view->range.base;
    for (int round = 0; size != 0 && !found && round < MAX_ROUNDS; round++) {
        found = mm_cache_find(&key, &entry, theirs, &their_size) &&
                is_same(&key, &entry, view, note, theirs, their_size > size ? their_size : size);
        if (found)
            break;
        if (view->section->later != NULL) {
            if (!mm_later_take_pending(view->section, &work))
                return;
            found = complete(&key, view, &work, note, size, &entry);
            /* Without it the view is one of a section as any other. */
            if (!found && (!nt_ok(mm_later_build(view->section, NULL)) || !view->section->cached))
                return;
            continue;
        }
        begun = mm_cache_begin(&key, view->range.size, &work);
        if (begun == MM_CACHE_UNUSABLE)
            return;
        found = begun == MM_CACHE_BEGUN && build(&key, view, &work, note, size, &entry);
    }
    if (found)
        switch_over(view, &key, &entry, note, size);
}
