/*
 * The handles of a snapshot.
 *
 * Going back closes what was opened since and opens again, with the same value, what was closed.
 * The state of the objects themselves (a file's position, a mutex's owner) is left as it is.
 */
#ifndef OB_SNAPSHOT_H
#define OB_SNAPSHOT_H

#include "pe/status.h"

struct ob_snapshot;

/* On failure `*out` is NULL. */
nt_status ob_snapshot_take(struct ob_snapshot **out, struct pe_error *err);

void ob_snapshot_reset(const struct ob_snapshot *snapshot);
void ob_snapshot_drop(struct ob_snapshot *snapshot); /* NULL is allowed */

#endif
