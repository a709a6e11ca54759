/*
 * What a builtin's image will hold: its exports in order, with ordinals (builtin_plan.c), before
 * any byte of it is written (builtin_image.c).
 */
#ifndef LDR_BUILTIN_PLAN_H
#define LDR_BUILTIN_PLAN_H

#include "loader/ldr/builtin.h"

struct ldr_planned_export {
    const char *name;                        /* NULL = by ordinal only */
    const struct ldr_builtin_export *export; /* NULL = a trap */
    uint16_t ordinal;
};

struct ldr_builtin_plan {
    struct ldr_planned_export *exports; /* the named ones sorted by strcmp, then the others */
    uint32_t count, named;
    uint32_t functions, traps;
    uint32_t ordinal_base, ordinal_count; /* of the address table, holes included */
    uint64_t data_size;                   /* of all DATA exports */
    uint64_t string_size;                 /* export names and forwarders with their NULs */
};

/* Bytes that a DATA export takes in the image. */
uint32_t ldr_builtin_data_size(const struct ldr_builtin_export *export);

nt_status ldr_builtin_plan(const struct ldr_builtin *builtin, struct ldr_builtin_plan *out,
                           struct pe_error *err);
void ldr_builtin_plan_free(struct ldr_builtin_plan *plan);

#endif
