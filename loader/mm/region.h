/*
 * The process's record of its ranges: views and allocations, sorted by address (internal to mm/).
 *
 * One rwlock guards the list and the page attributes of every range in it. It is a leaf: no other
 * lock is taken while it is held.
 */
#ifndef MM_REGION_H
#define MM_REGION_H

#include "loader/mm/attr.h"
#include "loader/mm/pages.h"

struct mm_view;
struct mm_data_view;
struct mm_kept;

enum mm_range_kind {
    MM_RANGE_IMAGE,   /* a view of an image section object */
    MM_RANGE_DATA,    /* a view of a data file or of the paging file */
    MM_RANGE_PRIVATE, /* VirtualAlloc */
    MM_RANGE_MIRROR,  /* the fixed, read-only end of a mirror (mirror.c) */
};

struct mm_range {
    uint64_t base, size; /* pages */
    enum mm_range_kind kind;
    uint32_t allocation_protect;
    uint8_t *attr;             /* size / MM_PAGE bytes */
    struct mm_view *view;      /* MM_RANGE_IMAGE */
    struct mm_data_view *data; /* MM_RANGE_DATA */
    struct mm_kept *kept;      /* what a snapshot knows of it; NULL = it came since */
    bool exempt;               /* snapshots pass it by */
};

void mm_ranges_read_lock(void);
void mm_ranges_write_lock(void);
bool mm_ranges_try_read_lock(void);
bool mm_ranges_try_write_lock(void);
/*
 * For a fault handler: waits for whoever has the lock, and is false when that is this very thread,
 * which was interrupted with it.
 */
bool mm_ranges_write_lock_in_fault(void);
void mm_ranges_unlock(void);

/* A range leaves the list: a snapshot keeps what it knows (snapshot.c). Lock held for writing. */
void mm_snapshot_gone(struct mm_kept *kept);
/* Pages of a range change their state or protection. The same. */
void mm_snapshot_touch(const struct mm_range *range);
/* Whether a page that is a private copy holds what it held at the snapshot: it is kept for the
 * next time that it is written. Lock held. `kept` may be NULL. */
bool mm_kept_unchanged(const struct mm_kept *kept, uint64_t page);

/* The caller holds the lock for the following five; insert and remove need it for writing. */
nt_status mm_ranges_insert(struct mm_range *range);
void mm_ranges_remove(const struct mm_range *range);
/* The range that holds `address`, or NULL. */
struct mm_range *mm_ranges_find(uint64_t address);
/* The first range that ends above `address`, or NULL. */
struct mm_range *mm_ranges_from(uint64_t address);
/* Where the last range below `address` ends; 0 = there is none. */
uint64_t mm_ranges_end_before(uint64_t address);

/* Fills a record and gives it zeroed attributes; false = no memory. It is not in the list yet. */
bool mm_range_init(struct mm_range *range, enum mm_range_kind kind, uint64_t base, uint64_t size,
                   uint32_t allocation_protect);

/* Name of the file or object behind a range; "" = it has none. Lock held (name.c). */
const char *mm_range_name(const struct mm_range *range);

struct mm_region;
/* mm_query() that looks no further than `limit`, a page boundary above `address` (query.c). */
nt_status mm_query_pages(uint64_t address, uint64_t limit, struct mm_region *out);

static inline uint64_t mm_range_end(const struct mm_range *range)
{
    return range->base + range->size;
}

static inline uint64_t mm_range_page(const struct mm_range *range, uint64_t address)
{
    return (address - range->base) / MM_PAGE;
}

#endif
