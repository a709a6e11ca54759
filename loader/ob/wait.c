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
#include <pthread.h>
#include <time.h>

#include "loader/ob/object.h"

#define MAXIMUM_WAIT_OBJECTS 64
#define ABANDONED            0x80u

struct waiter {
    struct waiter *next, *prev;
    pthread_cond_t woken;
    struct ob_object *const *objects;
    uint32_t count;
    bool all;
    uint32_t thread_id;
    bool done;
    uint32_t index; /* the result, once done */
};

static pthread_mutex_t wait_lock = PTHREAD_MUTEX_INITIALIZER;
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
    return waiter->objects[i]->type->signaled(waiter->objects[i], waiter->thread_id);
}

/* True when object `i` was an abandoned mutex. */
static bool acquire(const struct waiter *waiter, uint32_t i)
{
    const struct ob_type *type = waiter->objects[i]->type;
    return type->acquired && type->acquired(waiter->objects[i], waiter->thread_id);
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

/* Takes the objects if the wait is true now. Wait lock held. */
static bool complete(struct waiter *waiter)
{
    waiter->done = waiter->all ? complete_all(waiter) : complete_any(waiter);
    return waiter->done;
}

static void unlink_waiter(struct waiter *waiter)
{
    waiter->next->prev = waiter->prev;
    waiter->prev->next = waiter->next;
}

void ob_wait_wake(void)
{
    struct waiter *next;
    for (struct waiter *waiter = waiters.next; waiter != &waiters; waiter = next) {
        next = waiter->next;
        if (!complete(waiter))
            continue;
        unlink_waiter(waiter);
        pthread_cond_signal(&waiter->woken);
    }
}

static struct timespec deadline_after(uint32_t milliseconds)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += milliseconds / 1000;
    at.tv_nsec += (long)(milliseconds % 1000) * 1000000;
    if (at.tv_nsec >= 1000000000) {
        at.tv_nsec -= 1000000000;
        at.tv_sec++;
    }
    return at;
}

/* Sleeps until somebody completes the wait or its time is up. Wait lock held. */
static void sleep_until_done(struct waiter *waiter, uint32_t milliseconds)
{
    const struct timespec deadline = deadline_after(milliseconds);
    pthread_condattr_t attributes;
    int error = 0;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&waiter->woken, &attributes);
    waiter->next = &waiters;
    waiter->prev = waiters.prev;
    waiter->prev->next = waiters.prev = waiter;

    while (!waiter->done && error != ETIMEDOUT) {
        if (milliseconds == OB_INFINITE)
            pthread_cond_wait(&waiter->woken, &wait_lock);
        else
            error = pthread_cond_timedwait(&waiter->woken, &wait_lock, &deadline);
    }
    if (!waiter->done)
        unlink_waiter(waiter);
    pthread_cond_destroy(&waiter->woken);
    pthread_condattr_destroy(&attributes);
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

nt_status ob_wait(struct ob_object *const *objects, uint32_t count, bool all, uint32_t milliseconds,
                  uint32_t thread_id, uint32_t *index)
{
    struct waiter waiter = {
        .objects = objects,
        .count = count,
        .all = all,
        .thread_id = thread_id,
    };
    nt_status status = check_objects(objects, count, all);
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
    return STATUS_SUCCESS;
}
