/*
 * The memory of images, put back to what it was.
 *
 * A snapshot covers the private pages of image views, of views of data sections and of allocations
 * (VirtualAlloc, the heaps of images): what a page holds, its state and its protection. Pages that
 * are private at the snapshot are copied into a memfd, which is mapped privately in their place.
 * From then on whatever is a private copy has been written since, and the kernel gives back what
 * was there when the copy is dropped. So going back costs what was written, not what there is.
 *
 * Addresses that are freed while there is a snapshot stay reserved for it (held.h).
 *
 * Passed by: SHARED PE sections and other memory that processes share, memory that the loader or
 * the host keeps at image addresses (mm_exempt), the host's own memory.
 *
 * Nobody else may use that memory while a snapshot is taken or put back.
 */
#ifndef MM_SNAPSHOT_H
#define MM_SNAPSHOT_H

#include "loader/mm/view.h"

/*
 * The allocation or view that begins at `base` is the loader's own (thread blocks, stacks, builtin
 * modules) or the host's: snapshots leave it alone, also when it came or went since.
 */
void mm_exempt(uint64_t base);

/*
 * Keeps the present state, in place of the one that was kept before. On failure none is kept:
 * STATUS_NO_MEMORY, STATUS_COMMITMENT_LIMIT.
 */
nt_status mm_snapshot_take(struct pe_error *err);
/*
 * Whether mm_snapshot_reset() can go back: STATUS_NOT_MAPPED_VIEW when a view has been unmapped
 * since, STATUS_INVALID_PARAMETER when there is no snapshot. Changes nothing.
 */
nt_status mm_snapshot_check(struct pe_error *err);
/*
 * Goes back, as often as wanted. Allocations and views that came since are gone, allocations that
 * went are there again. After a failure the memory is partly put back; it can be tried again.
 */
nt_status mm_snapshot_reset(struct pe_error *err);
/* Forgets the snapshot; the memory stays as it is. Harmless without one. */
void mm_snapshot_drop(void);

#endif
