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

bool ke_futex_wait(const volatile void *word, uint32_t expected, uint32_t mask,
                   const struct ke_deadline *deadline)
{
    int saved = errno; /* images see the host's errno through the builtin CRT */
    long result = syscall(SYS_futex, word, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, expected,
                          deadline, NULL, mask);
    bool timed_out = result < 0 && errno == ETIMEDOUT;
    errno = saved;
    return !timed_out;
}

int ke_futex_wake(const volatile void *word, int count, uint32_t mask)
{
    long woken =
        syscall(SYS_futex, word, FUTEX_WAKE_BITSET | FUTEX_PRIVATE_FLAG, count, NULL, NULL, mask);
    return woken > 0 ? (int)woken : 0;
}
