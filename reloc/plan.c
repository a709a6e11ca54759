/*
 * What moving an image to another base would take (facts 2.3): decided and counted without writing.
 */
#include "reloc/walk.h"

nt_status reloc_plan(const struct pe_image *image, uint64_t actual_base, uint32_t *page_counts,
                     uint32_t page_count, struct reloc_plan *plan, struct pe_error *err)
{
    const struct reloc_walk walk = {
        .image = image,
        .page_counts = page_counts,
        .page_count = page_count,
    };
    int64_t delta = (int64_t)(actual_base - image->h.image_base);
    nt_status status = reloc_decide(image, delta, plan, err);
    if (!nt_ok(status) || plan->outcome != RELOC_APPLIED)
        return status;
    return reloc_walk(&walk, plan, err);
}
