/*
 * Waiting for objects (Microsoft's documentation of WaitForSingleObject and
 * WaitForMultipleObjects).
 *
 * One lock guards the state of all waitable objects. A thread that cannot go on puts a record on
 * the list of waiters; whoever changes a state walks the list, oldest first, and completes each
 * wait that has become true on the waiter's behalf, taking the objects for it under the same hold
 * of the lock. So a wait for all takes all or nothing, nobody can steal a signal from a woken
 * thread, and waiters are served in order.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/async.h"
#include "loader/ob/object.h"

#define MAXIMUM_WAIT_OBJECTS 64
#define ABANDONED            0x80u

struct waiter {
    struct waiter *next, *prev;
    uint32_t woken; /* futex word */
    struct ob_object *const *objects;
    uint32_t count;
    bool all, alertable;
    struct ob_thread *thread;
    bool done;
    nt_status status; /* the result, once done */
    uint32_t index;
};

static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;
__thread volatile bool ob_asleep __attribute__((tls_model("initial-exec")));
static struct waiter waiters = {.next = &waiters, .prev = &waiters};

void ob_wait_lock(void)
{
    pthread_mutex_lock(&wait_lock);
}

void ob_wait_unlock(void)
{
    pthread_mutex_unlock(&wait_lock);
}

static bool is_signaled(const struct waiter *waiter, uint32_t i)
{
    return waiter->objects[i]->type->signaled(waiter->objects[i], waiter->thread->id);
}

/* True when object `i` was an abandoned mutex. */
static bool acquire(const struct waiter *waiter, uint32_t i)
{
    const struct ob_type *type = waiter->objects[i]->type;
    return type->acquired && type->acquired(waiter->objects[i], waiter->thread->id);
}

static bool complete_any(struct waiter *waiter)
{
    for (uint32_t i = 0; i < waiter->count; i++) {
        if (!is_signaled(waiter, i))
            continue;
        waiter->index = acquire(waiter, i) ? ABANDONED + i : i;
        return true;
    }
    return false;
}

static bool complete_all(struct waiter *waiter)
{
    for (uint32_t i = 0; i < waiter->count; i++)
        if (!is_signaled(waiter, i))
            return false;
    waiter->index = 0;
    for (uint32_t i = 0; i < waiter->count; i++)
        if (acquire(waiter, i))
            waiter->index = ABANDONED;
    return true;
}

/* What the thread is called away for. */
static bool interrupted(struct waiter *waiter)
{
    struct ob_thread *thread = waiter->thread;
    if (thread->ending)
        waiter->status = OB_STATUS_ENDING;
    else if (waiter->alertable && thread->alerted)
        waiter->status = OB_STATUS_ALERTED;
    else if (waiter->alertable && thread->apc)
        waiter->status = OB_STATUS_USER_APC;
    if (waiter->status == OB_STATUS_ALERTED)
        thread->alerted = false;
    return waiter->status != STATUS_SUCCESS;
}

/* Takes the objects if the wait is true now, or ends it without them. Wait lock held. */
static bool complete(struct waiter *waiter)
{
    if (waiter->count)
        waiter->done = waiter->all ? complete_all(waiter) : complete_any(waiter);
    if (!waiter->done)
        waiter->done = interrupted(waiter);
    return waiter->done;
}

static void unlink_waiter(struct waiter *waiter)
{
    waiter->next->prev = waiter->prev;
    waiter->prev->next = waiter->next;
}

static void wake(struct waiter *waiter)
{
    unlink_waiter(waiter);
    __atomic_store_n(&waiter->woken, 1, __ATOMIC_RELEASE);
    syscall(SYS_futex, &waiter->woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

void ob_wait_wake(void)
{
    struct waiter *next;
    ob_async_wake();
    for (struct waiter *waiter = waiters.next; waiter != &waiters; waiter = next) {
        next = waiter->next;
        if (complete(waiter))
            wake(waiter);
    }
}

void ob_wait_interrupt(const struct ob_thread *thread)
{
    struct waiter *next;
    for (struct waiter *waiter = waiters.next; waiter != &waiters; waiter = next) {
        next = waiter->next;
        if (waiter->thread == thread && complete(waiter))
            wake(waiter);
    }
}

/* The kernel's own layout for SYS_futex: two longs, whatever width time_t has. */
struct deadline {
    long seconds, nanoseconds;
};

static struct deadline deadline_after(uint32_t milliseconds)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    struct deadline at = {(long)now.tv_sec + (long)(milliseconds / 1000),
                          now.tv_nsec + (long)(milliseconds % 1000) * 1000000};
    if (at.nanoseconds >= 1000000000) {
        at.nanoseconds -= 1000000000;
        at.seconds++;
    }
    return at;
}

/* Sleeps until somebody completes the wait or its time is up. Wait lock held. */
static void sleep_until_done(struct waiter *waiter, uint32_t milliseconds)
{
    const struct deadline deadline = deadline_after(milliseconds);
    bool late = false;
    int saved = errno; /* images see the host's errno through the builtin CRT */

    waiter->next = &waiters;
    waiter->prev = waiters.prev;
    waiter->prev->next = waiters.prev = waiter;
    while (!waiter->done && !late) {
        ob_wait_unlock();
        ob_asleep = true;
        late = syscall(SYS_futex, &waiter->woken, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0,
                       milliseconds == OB_INFINITE ? NULL : &deadline, NULL,
                       FUTEX_BITSET_MATCH_ANY) != 0 &&
               errno == ETIMEDOUT;
        ob_asleep = false;
        ob_wait_lock();
    }
    if (!waiter->done)
        unlink_waiter(waiter);
    errno = saved;
}

/* What WaitForMultipleObjects refuses: too many, not waitable, one object twice in a wait for all.
 */
static nt_status check_objects(struct ob_object *const *objects, uint32_t count, bool all)
{
    if (count == 0 || count > MAXIMUM_WAIT_OBJECTS)
        return STATUS_INVALID_PARAMETER;
    for (uint32_t i = 0; i < count; i++) {
        if (!objects[i]->type->signaled)
            return STATUS_OBJECT_TYPE_MISMATCH;
        for (uint32_t j = 0; all && j < i; j++)
            if (objects[i] == objects[j])
                return STATUS_INVALID_PARAMETER;
    }
    return STATUS_SUCCESS;
}

nt_status ob_wait_as(struct ob_object *const *objects, uint32_t count, bool all,
                     uint32_t milliseconds, struct ob_thread *thread, bool alertable,
                     uint32_t *index)
{
    struct waiter waiter = {
        .objects = objects,
        .count = count,
        .all = all,
        .alertable = alertable,
        .thread = thread,
    };
    nt_status status = count ? check_objects(objects, count, all) : STATUS_SUCCESS;
    if (!nt_ok(status))
        return status;

    ob_wait_lock();
    if (!complete(&waiter) && milliseconds != 0)
        sleep_until_done(&waiter, milliseconds);
    ob_wait_unlock();
    if (!waiter.done)
        return STATUS_TIMEOUT;
    if (index)
        *index = waiter.index;
    return waiter.status;
}

nt_status ob_wait(struct ob_object *const *objects, uint32_t count, bool all, uint32_t milliseconds,
                  uint32_t thread_id, uint32_t *index)
{
    struct ob_thread thread = {.id = thread_id};
    if (count == 0)
        return STATUS_INVALID_PARAMETER;
    return ob_wait_as(objects, count, all, milliseconds, &thread, false, index);
}
