/*
 * The extents of an image, computed from its headers (internal to mm/; no system call).
 */
#ifndef MM_SECTION_PLAN_H
#define MM_SECTION_PLAN_H

#include "loader/mm/section.h"

struct mm_plan_piece {
    struct mm_extent extent;
    /* File bytes that are written to the object at the extent's RVA; the rest of it is zero. */
    uint64_t data_offset;
    uint32_t data_size;
    bool apart; /* section_later.c */
};

struct mm_plan {
    struct mm_plan_piece *pieces;
    uint32_t count;
    uint32_t image_size;
    uint64_t shared_size;
    bool uses_file; /* some extent is MM_SOURCE_FILE */
};

/*
 * Plans an image (PE_LAYOUT_FILE). `map_file`: page-aligned raw data may be mapped from the file
 * itself. Extents come out ascending, disjoint, page-aligned and inside the image, or the image is
 * refused with STATUS_INVALID_IMAGE_FORMAT; STATUS_COMMITMENT_LIMIT where PE sections share raw
 * data beyond all measure.
 */
nt_status mm_plan_make(const struct pe_image *image, bool map_file, struct mm_plan *out,
                       struct pe_error *err);
void mm_plan_free(struct mm_plan *plan);

#endif
