/*
 * Choosing and reserving addresses (internal to mm/).
 *
 * Everything that mm/ maps goes into a range that was reserved here first, at a 64 KiB boundary.
 */
#ifndef MM_RESERVE_H
#define MM_RESERVE_H

#include <stddef.h>

#include "loader/mm/pages.h"

/* Reserves exactly [base, base+size). STATUS_CONFLICTING_ADDRESSES when it is taken or unusable. */
nt_status mm_reserve_at(uint64_t base, uint64_t size);
/* The same by a private mapping of `size` bytes of `fd` from `offset` on with PROT_*. */
nt_status mm_reserve_with(uint64_t base, uint64_t size, int fd, uint64_t offset, int prot);
/* Reserves `size` bytes that end at or below `limit` (0 = anywhere), as anonymous memory with
 * PROT_*. */
nt_status mm_reserve_anywhere(uint64_t size, uint64_t limit, int prot, uint64_t *base);
/*
 * One of the two: `*base` 0 = anywhere, otherwise exactly there; the range ends at or below `limit`
 * (0 = none). A failure says what holds the range.
 */
nt_status mm_reserve(uint64_t limit, uint64_t *base, uint64_t size, int prot, struct pe_error *err);
/* Only where the kernel has nothing at all: not what is held for a snapshot either (held.h). */
nt_status mm_reserve_unused(uint64_t base, uint64_t size, int fd, uint64_t offset, int prot);
/*
 * Gives a range back, with whatever was mapped over it. What a snapshot goes back to stays reserved
 * meanwhile (held.h). Not with the region lock held.
 */
void mm_unreserve(uint64_t base, uint64_t size);
/* A clause that says what holds [base, base+size): "0x400000-0x41ffff is taken by /usr/bin/host".
 */
void mm_describe_conflict(uint64_t base, uint64_t size, char *out, size_t out_size);
/* What peldr knows of that by itself; false: it takes /proc/self/maps to find out (view.h). */
bool mm_describe_own_conflict(uint64_t base, uint64_t size, char *out, size_t out_size);

#endif
