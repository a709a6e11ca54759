/*
 * What moving an image to another base would take (facts 2.3): decided and counted without writing.
 */
#include "reloc/walk.h"

/* HIGHLOW fields and every pointer of a PE32 image hold 32 bits. */
static bool fits_pointer_size(const struct pe_image *image, uint64_t base)
{
    const uint64_t four_gib = 0x100000000u;
    uint32_t size = pe_mapped_size(image);
    return image->h.pe32_plus || (base < four_gib && size <= four_gib - base);
}

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
    if (!fits_pointer_size(image, actual_base))
        return reloc_refuse(image, plan, "reloc.address_space", "a PE32 image must lie below 4 GiB",
                            err);
    return reloc_walk(&walk, plan, err);
}
