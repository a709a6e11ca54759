/*
 * The threads of a snapshot, and the block of the one that takes it.
 *
 * A snapshot is taken and put back by one thread, while no thread of an image lives. Other threads
 * of the host may be attached as long as they run no image code in between: the same ones both
 * times.
 */
#ifndef KE_SNAPSHOT_H
#define KE_SNAPSHOT_H

#include "pe/status.h"

struct ke_snapshot;

/* On failure `*out` is NULL. */
nt_status ke_snapshot_take(struct ke_snapshot **out, struct pe_error *err);
/* STATUS_NOT_SUPPORTED when another thread takes it than took the snapshot, or threads have been
 * attached or have ended since. */
nt_status ke_snapshot_check(const struct ke_snapshot *snapshot, struct pe_error *err);
void ke_snapshot_reset(const struct ke_snapshot *snapshot);
void ke_snapshot_drop(struct ke_snapshot *snapshot); /* NULL is allowed */

#endif
