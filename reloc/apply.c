/*
 * Applies the fixups of a mapped image (facts 2.3). What is allowed and what is counted is the
 * walk's business, so that a plan and its execution cannot disagree.
 */
#include "reloc/walk.h"

#include <assert.h>

nt_status reloc_apply_in(const struct pe_image *image, int64_t delta,
                         const struct reloc_memory *memory, struct reloc_plan *plan,
                         struct pe_error *err)
{
    const struct reloc_walk walk = {.image = image, .write = true, .memory = *memory};
    assert(image->layout == PE_LAYOUT_MAPPED);
    nt_status status = reloc_decide(image, delta, plan, err);
    if (!nt_ok(status) || plan->outcome != RELOC_APPLIED)
        return status;
    return reloc_walk(&walk, plan, err);
}

nt_status reloc_apply(const struct pe_image *image, int64_t delta, reloc_may_write may_write,
                      void *user, struct reloc_plan *plan, struct pe_error *err)
{
    const struct reloc_memory memory = {.user = user, .may_write = may_write};
    return reloc_apply_in(image, delta, &memory, plan, err);
}
