/*
 * One module's imports while they are resolved: what snap.c and bound.c share.
 */
#ifndef LDR_SNAP_H
#define LDR_SNAP_H

#include "loader/ldr/load.h"
#include "pe/imports.h"

struct ldr_snapping {
    struct ldr_load *load;
    struct ldr_module *module; /* whose imports they are */
    const struct pe_image *image;
    uint32_t budget;           /* work that is left to it (snap.c) */
    uint32_t own_from, own_to; /* RVAs: pages of it that nobody else sees; begins as 0, 0 */
};

/* What a search for a module that does not exist costs (snap.c), in bytes of names. */
#define LDR_MISSING_COST 0x10000u

/* Takes what an entry with a name of `length` bytes costs; false when nothing is left. */
bool ldr_snap_spend(struct ldr_snapping *snap, uint32_t length);
/* What to return then. */
nt_status ldr_snap_never_ends(const struct ldr_snapping *snap, struct pe_error *err);
/* Loads the module that a descriptor names; NULL when it is missing, which is in the report then.
 * STATUS_SUCCESS in both cases. */
nt_status ldr_snap_exporter(struct ldr_snapping *snap, struct pe_str name, struct ldr_module **out,
                            struct pe_error *err);
/* Fills the address table of one descriptor from `exporter`. */
nt_status ldr_snap_table(struct ldr_snapping *snap, struct ldr_module *exporter,
                         const struct pe_import_module *descriptor, struct pe_error *err);

/*
 * bound.c: may the addresses that the table of `descriptor` holds be used as they stand? They were
 * computed from `exporter`, and from whatever it forwards to, in the very files that are loaded
 * now, and these are at the bases that they prefer. Modules that it forwards to are loaded to find
 * out.
 */
bool ldr_is_bound(struct ldr_snapping *snap, const struct pe_import_module *descriptor,
                  const struct ldr_module *exporter);
/*
 * bound.c: Windows XP's way, in which the directory of bound imports leads: what it names is
 * loaded, and the descriptor of that name is read only when the directory is out of date.
 */
nt_status ldr_snap_bound_xp(struct ldr_snapping *snap, struct pe_bound_import_iter *it,
                            struct pe_error *err);

#endif
