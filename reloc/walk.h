/*
 * The walk over an image's fixups that planning and applying have in common (walk.c, decide.c).
 */
#ifndef RELOC_WALK_H
#define RELOC_WALK_H

#include "reloc/types.h"

struct reloc_walk {
    const struct pe_image *image;
    bool write; /* apply plan->delta, or only count */
    struct reloc_memory memory;
    uint32_t *page_counts; /* NULL, or one counter a page */
    uint32_t page_count;
};

/*
 * Is there anything to do, and is it allowed? Starts `plan` from zero for moving the image by
 * `delta` and sets its outcome; RELOC_APPLIED means that the fixups are to be walked (there may be
 * none).
 */
nt_status reloc_decide(const struct pe_image *image, int64_t delta, struct reloc_plan *plan,
                       struct pe_error *err);

/* Checks every fixup, counts it in `plan`, and applies it where the walk says so. */
nt_status reloc_walk(const struct reloc_walk *walk, struct reloc_plan *plan, struct pe_error *err);

/* Makes `plan` a refusal by the rule and tells `err`. Returns the status. */
nt_status reloc_refuse(const struct pe_image *image, struct reloc_plan *plan, const char *rule,
                       const char *reason, struct pe_error *err);

#endif
