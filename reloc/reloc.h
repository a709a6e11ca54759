/*
 * Base relocations: plan and act (PE specification, .reloc; facts 2.3 and 2.4).
 *
 * A plan is computed from the file's or the mapped image's bytes without writing: what would have
 * to be done, whether it can be done, what it costs. Applying works on a mapped, writable image.
 * Both use one table of types (types.c), so a plan never promises what applying refuses.
 */
#ifndef RELOC_RELOC_H
#define RELOC_RELOC_H

#include "pe/image.h"
#include "pe/relocs.h"

enum reloc_outcome {
    RELOC_NOT_NEEDED, /* delta 0, flat image, or nothing to fix up */
    RELOC_APPLIED,    /* for a plan: to be applied */
    RELOC_REFUSED,
};

#define RELOC_TYPE_COUNT 16

struct reloc_plan {
    enum reloc_outcome outcome;
    nt_status status;   /* STATUS_SUCCESS unless refused */
    const char *reason; /* static clause: "the image is at its preferred base", "relocations are
                           stripped" */
    uint64_t preferred_base, actual_base;
    int64_t delta;
    uint32_t fixups[RELOC_TYPE_COUNT]; /* entries per type, ABSOLUTE padding included */
    uint32_t fixups_total;             /* without ABSOLUTE */
    uint32_t pages_dirtied;            /* distinct pages that at least one fixup writes to, exact */
};

/*
 * Plans moving `image` (either layout) to `actual_base`. `page_counts` may be NULL; else it holds
 * one counter per page of the image (`page_count` of them), incremented once for each fixup that
 * writes to the page, so a fixup across a page end counts in two pages. Without it the plan counts
 * its pages all the same and needs no memory. After a refusal the plan's counters are 0,
 * `page_counts` undefined. Returns plan->status; a refusal is also told in `err`.
 */
nt_status reloc_plan(const struct pe_image *image, uint64_t actual_base, uint32_t *page_counts,
                     uint32_t page_count, struct reloc_plan *plan, struct pe_error *err);

/*
 * Applies the fixups of a mapped image (PE_LAYOUT_MAPPED) whose bytes are writable memory, adding
 * `delta`. Blocks are re-read from memory as they are reached. `may_write` decides per RVA range
 * whether a fixup is written or only counted (pages shared with other processes); NULL = all.
 * Fills the counters of `plan` with what was done: equal to those of a plan over the same bytes,
 * except that pages which `may_write` withholds are not dirtied. On failure the bytes are in an
 * undefined state: the caller drops the view.
 */
typedef bool (*reloc_may_write)(void *user, uint32_t rva, uint32_t len);
nt_status reloc_apply(const struct pe_image *image, int64_t delta, reloc_may_write may_write,
                      void *user, struct reloc_plan *plan, struct pe_error *err);

/* The same in memory that somebody looks after. */
struct reloc_memory {
    void *user;
    reloc_may_write may_write; /* NULL = all */
    /*
     * Every page of [rva, rva+len), whole pages, is going to be written, and no fixup has written
     * to any so far. Returns how many bytes, whole pages from the first on and at least one, are
     * not to be told of again. NULL = nobody wants to know.
     */
    uint32_t (*prepare)(void *user, uint32_t rva, uint32_t len);
};
nt_status reloc_apply_in(const struct pe_image *image, int64_t delta,
                         const struct reloc_memory *memory, struct reloc_plan *plan,
                         struct pe_error *err);

/* "DIR64", "HIGHLOW", "ARM_MOV32", ... by machine; "TYPE_12" for one without a name. */
const char *reloc_type_name(uint16_t machine, uint8_t type);
/* Bytes that a fixup of the type changes (0 for ABSOLUTE); 0xff when the type is refused on the
 * image's machine by its Windows version. */
uint8_t reloc_type_width(const struct pe_image *image, uint8_t type);

#endif
