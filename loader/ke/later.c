/*
 * A call that is put off by a timer, whose signal is the one that stops threads (later.h): both
 * want the same places.
 */
#include "loader/ke/later.h"

#include <stdatomic.h>
#include <stddef.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/suspend.h"

/* linux/sigevent: glibc shows the field under this name only since 2.41. */
#ifndef sigev_notify_thread_id
#define sigev_notify_thread_id _sigev_un._tid
#endif

static void (*_Atomic put_off)(void);
static timer_t timer; /* valid while something is put off */

bool ke_later(void (*function)(void))
{
    const struct timespec period = {0, KE_LATER * 1000000};
    const struct itimerspec times = {.it_interval = period, .it_value = period};
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = ke_suspend_signal()};
    event.sigev_notify_thread_id = (pid_t)syscall(SYS_gettid);
    if (event.sigev_signo == 0 || ke_later_waits() ||
        timer_create(CLOCK_MONOTONIC, &event, &timer) != 0)
        return false;
    atomic_store(&put_off, function);
    if (timer_settime(timer, 0, &times, NULL) == 0)
        return true;
    atomic_store(&put_off, NULL);
    timer_delete(timer);
    return false;
}

bool ke_later_waits(void)
{
    return atomic_load_explicit(&put_off, memory_order_relaxed) != NULL;
}

static void nothing(void)
{
}

/* What was put off, for one caller. */
static void (*take(void))(void)
{
    timer_t mine = timer;
    void (*function)(void) = atomic_exchange(&put_off, NULL);
    if (function == NULL)
        return nothing;
    timer_delete(mine);
    return function;
}

void ke_later_now(void)
{
    take()();
}

void ke_later_never(void)
{
    take();
}

void ke_later_forget(void)
{
    atomic_store(&put_off, NULL);
}
