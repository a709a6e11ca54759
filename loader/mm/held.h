/*
 * Addresses that a snapshot goes back to and that an image has freed meanwhile (internal to mm/).
 *
 * To images they are free: VirtualQuery says so, touching them faults, an address in them can be
 * asked for. For the kernel they stay reserved, without memory, so that neither the host nor a
 * library of its gets them before they are needed again. A *home* is the range of an allocation
 * that the snapshot has and the process has not; what is *held* of it is what nothing else of peldr
 * lies in now. Until something does, the allocation is *asleep*: still mapped as the snapshot has
 * it, but closed, so that going back has nothing to map.
 *
 * The region lock guards it; the caller has it where nothing else is said.
 */
#ifndef MM_HELD_H
#define MM_HELD_H

#include "loader/mm/pages.h"

struct mm_kept;

struct mm_span {
    uint64_t base, end;
};

/* Whether there are homes at all; without the lock. */
bool mm_held_any(void);

/* The six that follow: lock held for writing. */

/* The allocation leaves the list; its addresses are held once they are given. Without memory for
 * the record they are not. */
void mm_held_promise(struct mm_kept *kept);
/* Its addresses are reserved for it again. Errors as with the next one. */
nt_status mm_held_take_home(struct mm_kept *kept);
/* It is in the list again. */
void mm_held_keep_promise(const struct mm_kept *kept);
/*
 * Reserves [base, base+size), of which some is held and the rest is unused: it is reserved without
 * access, and nobody's. STATUS_CONFLICTING_ADDRESSES, STATUS_NO_MEMORY.
 */
nt_status mm_held_take(uint64_t base, uint64_t size);
/* Gives back a range and whatever is mapped there: to the homes what is theirs. */
void mm_held_give(uint64_t base, uint64_t size);
/* Gives everything that is held to the kernel; there are no homes any more. */
void mm_held_drop(void);

/* What is held above `address`, `address` itself included: the first such span. None: it begins and
 * ends at UINT64_MAX. */
struct mm_span mm_held_from(uint64_t address);
/* Where the last held span below `address` ends; 0 = there is none. */
uint64_t mm_held_end_before(uint64_t address);

#endif
