/*
 * Sleeping on a 32-bit word: what the synchronisation functions of images are made of.
 *
 * Deadlines are absolute and monotonic, so an interrupted sleep can simply be repeated.
 */
#ifndef KE_FUTEX_H
#define KE_FUTEX_H

#include <stdbool.h>
#include <stdint.h>

#define KE_FUTEX_ANYONE 0xFFFFFFFFu

/* The kernel's own layout for SYS_futex: two longs, whatever width time_t has. */
struct ke_deadline {
    long seconds, nanoseconds;
};

/* `milliseconds` from now; returns NULL (= for ever) for 0xFFFFFFFF, else `storage`. */
const struct ke_deadline *ke_deadline_after(uint32_t milliseconds, struct ke_deadline *storage);
/*
 * Sleeps while *word == expected, woken by wakers whose mask meets `mask`. False when the deadline
 * has passed; true otherwise, spurious wake-ups included.
 */
bool ke_futex_wait(const volatile void *word, uint32_t expected, uint32_t mask,
                   const struct ke_deadline *deadline);
/*
 * The same without an eye on the calling thread's end, for waits that leave a record somewhere;
 * ke_futex_wait() does not return to a thread that has been terminated (ke/suspend.h), but wakes up
 * here.
 */
bool ke_futex_wait_raw(const volatile void *word, uint32_t expected, uint32_t mask,
                       const struct ke_deadline *deadline);
/* Wakes up to `count` sleepers and returns how many there were. */
int ke_futex_wake(const volatile void *word, int count, uint32_t mask);

#endif
