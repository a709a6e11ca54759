/*
 * The inside of a snapshot (internal to mm/).
 */
#ifndef MM_SNAPSHOT_OBJECT_H
#define MM_SNAPSHOT_OBJECT_H

#include "loader/mm/held.h"
#include "loader/mm/region.h"
#include "loader/mm/snapshot.h"

/*
 * Where the content of pages is kept: a memfd. Pages are mapped from it privately and written to it
 * only until the next fork(): from then on both processes have them mapped.
 */
struct mm_store {
    int fd;
    unsigned forks; /* before it was made */
    unsigned references;
    uint64_t used; /* bytes */
};

struct mm_heat;

/* A range as it was. Guarded by the region lock. */
struct mm_kept {
    struct mm_kept *next;
    struct mm_range *range; /* NULL: unmapped since */
    uint64_t base, size;
    enum mm_range_kind kind;
    uint32_t allocation_protect;
    uint8_t *attr;          /* as range->attr was */
    struct mm_store *store; /* NULL: nothing of it is kept */
    uint64_t offset;        /* of the range's first page in the store */
    uint8_t *stored;        /* a bit a page: its content is in the store */
    struct mm_span *spans;  /* what could be written; NULL: all of it */
    uint32_t span_count;
    struct mm_heat *heat; /* NULL: nothing was written yet */
    bool asleep;          /* freed since, and mapped as it was (held.h) */
    bool replaced;        /* pages of an allocation were mapped anew since */
    bool touched;         /* pages have got another state or protection since */
};

static inline bool mm_kept_stored(const struct mm_kept *kept, uint64_t page)
{
    return kept->stored != NULL && (kept->stored[page / 8] >> page % 8 & 1) != 0;
}

/* The host protection that a page of a range has. */
int mm_kept_prot(const struct mm_range *range, uint64_t page);
/* snapshot_store.c: `kept` takes the range's present state. Lock held for writing. */
nt_status mm_kept_fill(struct mm_kept *kept, struct mm_range *range, struct pe_error *err);
void mm_kept_free(struct mm_kept *kept);
/* snapshot_reset.c: puts one range back, which is mapped. Lock held for writing. */
nt_status mm_kept_restore(struct mm_kept *kept, struct pe_error *err);
/* Puts back a page that is written again and again; false: it is none, and to be dropped. */
bool mm_heat_restore(struct mm_kept *kept, uint64_t page);
/* A page, which can be written, was dropped: it holds what it is to hold. */
void mm_heat_note(struct mm_kept *kept, uint64_t page);
void mm_heat_free(struct mm_kept *kept);
/* The same for one that was unmapped: its addresses and its record first. */
nt_status mm_kept_revive(struct mm_kept *kept, struct pe_error *err);

#endif
