/*
 * The futex system call (futex(2)), private to this process.
 */
#include "loader/ke/futex.h"

#include <errno.h>
#include <linux/futex.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/suspend.h"

const struct ke_deadline *ke_deadline_after(uint32_t milliseconds, struct ke_deadline *storage)
{
    if (milliseconds == 0xFFFFFFFFu)
        return NULL;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    storage->seconds = (long)now.tv_sec + (long)(milliseconds / 1000);
    storage->nanoseconds = now.tv_nsec + (long)(milliseconds % 1000) * 1000000;
    if (storage->nanoseconds >= 1000000000) {
        storage->seconds++;
        storage->nanoseconds -= 1000000000;
    }
    return storage;
}

bool ke_futex_wait_raw(const volatile void *word, uint32_t expected, uint32_t mask,
                       const struct ke_deadline *deadline)
{
    /* With a deadline a signal always ends the wait; without one it may be restarted. */
    static const struct ke_deadline never = {INT32_MAX, 0};
    int saved = errno; /* images see the host's errno through the builtin CRT */
    bool before = ob_asleep;
    ob_asleep = true;
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                          deadline ? deadline : &never, NULL, mask);
    ob_asleep = before;
    bool timed_out = deadline && result < 0 && errno == ETIMEDOUT;
    errno = saved;
    return !timed_out;
}

bool ke_futex_wait(const volatile void *word, uint32_t expected, uint32_t mask,
                   const struct ke_deadline *deadline)
{
    bool in_time = ke_futex_wait_raw(word, expected, mask, deadline);
    ke_thread_end_if_told();
    return in_time;
}

int ke_futex_wake(const volatile void *word, int count, uint32_t mask)
{
    long woken =
        syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, count, NULL, NULL, mask);
    return woken > 0 ? (int)woken : 0;
}
