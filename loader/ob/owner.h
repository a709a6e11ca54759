/*
 * Who owns a mutex that processes share, in 64 bits: thread id, process id, and when the process
 * started, since ids are used again.
 */
#ifndef OB_OWNER_H
#define OB_OWNER_H

#include <stdbool.h>
#include <stdint.h>

/* Never 0 or 1: no process has id 0. */
uint64_t ob_owner(uint32_t thread_id);
/* Whether it is a thread of this process. */
bool ob_owner_is_here(uint64_t owner);
/* Whether its process has ended, however that came. */
bool ob_owner_is_dead(uint64_t owner);
/*
 * Has the bell rung when the owner's process ends. False when that is not possible: the caller
 * looks again after a short while. Wait lock not held.
 */
bool ob_owner_watch(uint64_t owner);

#endif
