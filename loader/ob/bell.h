/*
 * Waking waiters in other processes, and what makes a synchronisation object a shared one.
 *
 * Events, semaphores and mutexes keep their state in one 64-bit word and change it by atomic
 * operations, whether it lies in this process's memory or in a record (ob/record.h): there is no
 * lock between processes that one of them could die holding, and an uncontended operation makes no
 * system call. Who has to wait for a shared object sleeps on the bell: one futex word for all
 * processes of a user, in a backing of the runtime directory, that is rung when a shared object's
 * state has changed and somebody is counted as asleep.
 *
 * A wait for all that involves shared objects takes them one by one and gives back what it has when
 * one is missing; others may see that for a moment.
 */
#ifndef OB_BELL_H
#define OB_BELL_H

#include <stdbool.h>
#include <stdint.h>

#include "pe/status.h"

/* Opens the bell; idempotent, thread-safe. Before the first shared object is used. */
nt_status ob_bell_open(struct pe_error *err);
/* False where there is no usable runtime directory: then it rings in this process only, and who
 * waits for objects of others looks again from time to time. */
bool ob_bell_is_open(void);
/* What to compare with: taken before the state is looked at. */
uint32_t ob_bell_read(void);
/* Sleeps until the bell is rung after `seen` was read; false when `nanoseconds` (< 0: for ever)
 * have passed. */
bool ob_bell_sleep(uint32_t seen, int64_t nanoseconds);
/* Wakes everybody who sleeps; cheap when nobody does. Async-signal-safe. */
void ob_bell_ring(void);

#endif
