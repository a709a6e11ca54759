/*
 * The modules of a snapshot.
 *
 * Going back unloads what was loaded since, without calling its entry points, and restores the
 * reference counts. Builtin modules that came since stay: they have no state of an image.
 */
#ifndef LDR_SNAPSHOT_H
#define LDR_SNAPSHOT_H

#include "pe/status.h"

struct ldr_snapshot;

/* On failure `*out` is NULL. */
nt_status ldr_snapshot_take(struct ldr_snapshot **out, struct pe_error *err);
/* STATUS_DLL_NOT_FOUND when a module has been freed since. */
nt_status ldr_snapshot_check(const struct ldr_snapshot *snapshot, struct pe_error *err);
void ldr_snapshot_reset(const struct ldr_snapshot *snapshot);
void ldr_snapshot_drop(struct ldr_snapshot *snapshot); /* NULL is allowed */

#endif
