/*
 * Putting a range back (snapshot.h): protections, then content.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "loader/mm/data_object.h"
#include "loader/mm/reserve.h"
#include "loader/mm/scan.h"
#include "loader/mm/snapshot_object.h"

static nt_status fail(const struct mm_kept *kept, int error, struct pe_error *err)
{
    return pe_fail(err, mm_status_of_errno(error), "0x%llx-0x%llx cannot be put back: %s",
                   (unsigned long long)kept->base,
                   (unsigned long long)(kept->base + kept->size - 1), strerror(error));
}

/* Pages [first, end) had these attributes and have others now. */
static bool put_back_attr(struct mm_kept *kept, uint64_t first, uint64_t end)
{
    struct mm_range *range = kept->range;
    uint8_t attr = kept->attr[first];
    uint64_t at = range->base + first * MM_PAGE;

    if (kept->kind != MM_RANGE_DATA)
        return mprotect(mm_ptr(at), (size_t)((end - first) * MM_PAGE),
                        mm_kept_prot(range, first)) == 0;
    /* What was committed since is committed for every process that has the section. */
    return !(attr & MM_ATTR_COMMITTED) ||
           nt_ok(mm_data_view_protect(range->data, first, end, mm_attr_protect(attr)));
}

static nt_status put_back_attrs(struct mm_kept *kept, struct pe_error *err)
{
    uint8_t *now = kept->range->attr;
    uint64_t pages = kept->size / MM_PAGE, end;

    if (memcmp(now, kept->attr, (size_t)pages) == 0)
        return STATUS_SUCCESS;
    for (uint64_t page = 0; page < pages; page = end) {
        uint8_t was = kept->attr[page], is = now[page];

        for (end = page + 1; end < pages && kept->attr[end] == was && now[end] == is;)
            end++;
        if (was == is)
            continue;
        if (kept->kind != MM_RANGE_DATA)
            memset(now + page, was, (size_t)(end - page));
        if (!put_back_attr(kept, page, end))
            return fail(kept, errno, err);
    }
    return STATUS_SUCCESS;
}

/* VirtualLock keeps pages from being dropped; what it locked was not locked at the snapshot, or is
 * not any more. */
static bool drop_copies(void *user, uint64_t at, uint64_t size)
{
    if (madvise(mm_ptr(at), (size_t)size, MADV_DONTNEED) == 0)
        return true;
    return errno == EINVAL && munlock(mm_ptr(at), (size_t)size) == 0 &&
           madvise(mm_ptr(at), (size_t)size, MADV_DONTNEED) == 0;
}

/* Maps an allocation as it was: reserved memory, with the stored pages over it. */
static bool map_anew(const struct mm_kept *kept)
{
    uint64_t pages = kept->size / MM_PAGE, end;

    if (mmap(mm_ptr(kept->base), (size_t)kept->size, PROT_NONE,
             MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) == MAP_FAILED)
        return false;
    madvise(mm_ptr(kept->base), (size_t)kept->size, MADV_NOHUGEPAGE);
    for (uint64_t page = 0; page < pages; page = end) {
        bool stored = mm_kept_stored(kept, page);

        for (end = page + 1; end < pages && mm_kept_stored(kept, end) == stored;)
            end++;
        if (stored && mmap(mm_ptr(kept->base + page * MM_PAGE), (size_t)((end - page) * MM_PAGE),
                           PROT_NONE, MAP_FIXED | MAP_PRIVATE | MAP_NORESERVE, kept->store->fd,
                           (off_t)(kept->offset + page * MM_PAGE)) == MAP_FAILED)
            return false;
    }
    return true;
}

/* Drops [from, to) and remembers which of it may be written again. */
static bool drop_and_note(struct mm_kept *kept, uint64_t from, uint64_t to)
{
    if (to == from)
        return true;
    if (!drop_copies(NULL, from, to - from))
        return false;
    for (uint64_t page = (from - kept->base) / MM_PAGE; from < to; from += MM_PAGE, page++)
        if ((mm_kept_prot(kept->range, page) & (PROT_READ | PROT_WRITE)) ==
            (PROT_READ | PROT_WRITE))
            mm_heat_note(kept, page);
    return true;
}

static bool put_back_run(void *user, uint64_t at, uint64_t size)
{
    struct mm_kept *kept = user;
    uint64_t end = at + size, first = at;

    for (; at < end; at += MM_PAGE) {
        if (!mm_heat_restore(kept, (at - kept->base) / MM_PAGE))
            continue;
        if (!drop_and_note(kept, first, at))
            return false;
        first = at + MM_PAGE;
    }
    return drop_and_note(kept, first, end);
}

/* Where the kernel is asked for copies. */
static bool put_back_content(struct mm_kept *kept, bool everywhere)
{
    bool done = true;

    if (kept->kind == MM_RANGE_DATA)
        return mm_scan_private(kept->base, kept->base + kept->size, drop_copies, NULL);
    if (everywhere)
        return mm_scan_private(kept->base, kept->base + kept->size, put_back_run, kept);
    for (uint32_t i = 0; done && i < kept->span_count; i++)
        done = mm_scan_private(kept->spans[i].base, kept->spans[i].end, put_back_run, kept);
    return done;
}

nt_status mm_kept_restore(struct mm_kept *kept, struct pe_error *err)
{
    bool is_data = kept->kind == MM_RANGE_DATA, everywhere = kept->touched || kept->spans == NULL;
    nt_status status = STATUS_SUCCESS;

    if (kept->replaced) {
        if (!map_anew(kept))
            return fail(kept, errno, err);
        memset(kept->range->attr, 0, (size_t)(kept->size / MM_PAGE));
        kept->touched = true;
    }
    /* A data view's page returns to the section only when it has no copy. */
    if (is_data && !put_back_content(kept, true))
        return fail(kept, errno, err);
    if (is_data || kept->touched)
        status = put_back_attrs(kept, err);
    if (nt_ok(status) && !is_data && !kept->replaced && !put_back_content(kept, everywhere))
        status = fail(kept, errno, err);
    if (nt_ok(status))
        kept->replaced = kept->touched = false;
    return status;
}

nt_status mm_kept_revive(struct mm_kept *kept, struct pe_error *err)
{
    struct mm_range *range = malloc(sizeof(*range));
    nt_status status;

    if (range == NULL)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for an allocation's record");
    *range = (struct mm_range){0};
    status = mm_held_take_home(kept);
    if (!nt_ok(status)) {
        free(range);
        return pe_fail(
            err, status, "0x%llx-0x%llx was freed after the snapshot and belongs to the host now",
            (unsigned long long)kept->base, (unsigned long long)(kept->base + kept->size - 1));
    }
    status = STATUS_NO_MEMORY;
    if (mm_range_init(range, kept->kind, kept->base, kept->size, kept->allocation_protect))
        status = mm_ranges_insert(range);
    if (!nt_ok(status)) {
        mm_held_give(kept->base, kept->size);
        free(range->attr);
        free(range);
        return pe_fail(err, status, "no memory for an allocation's record");
    }
    mm_held_keep_promise(kept);
    range->kept = kept;
    kept->range = range;
    kept->touched = true;
    return STATUS_SUCCESS;
}
