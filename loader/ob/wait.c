/*
 * Waiting for objects (Microsoft's documentation of WaitForSingleObject and
 * WaitForMultipleObjects).
 *
 * One lock guards the state of all waitable objects. A thread that cannot go on puts a record on
 * the list of waiters; whoever changes a state walks the list, oldest first, and completes each
 * wait that has become true on the waiter's behalf, taking the objects for it under the same hold
 * of the lock. So a wait for all takes all or nothing, nobody can steal a signal from a woken
 * thread, and waiters are served in order.
 *
 * Objects that other processes know change without that lock. Who waits for one sleeps on the bell
 * (bell.h) instead, and looks for itself whenever that rings; a thread of this process that
 * completes its wait rings it, too. Such waits are not served in order.
 */
#include <errno.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader/ob/async.h"
#include "loader/ob/bell.h"
#include "loader/ob/object.h"
#include "loader/ob/owner.h"

#define MAXIMUM_WAIT_OBJECTS 64
#define ABANDONED            0x80u

struct waiter {
    struct waiter *next, *prev;
    uint32_t woken; /* futex word */
    struct ob_object *const *objects;
    uint32_t count;
    bool all, alertable;
    bool shared; /* an object is known to other processes: sleeps on the bell */
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

enum ob_taken ob_take(struct ob_object *object, uint32_t thread_id)
{
    const struct ob_type *type = object->type;
    if (type->take)
        return type->take(object, thread_id);
    if (!type->signaled(object, thread_id))
        return OB_NOT_TAKEN;
    return type->acquired && type->acquired(object, thread_id) ? OB_TAKEN_ABANDONED : OB_TAKEN;
}

bool ob_is_shared(const struct ob_object *object)
{
    return object->type->shared && object->type->shared(object);
}

static bool complete_any(struct waiter *waiter)
{
    for (uint32_t i = 0; i < waiter->count; i++) {
        enum ob_taken taken = ob_take(waiter->objects[i], waiter->thread->id);
        if (taken == OB_NOT_TAKEN)
            continue;
        waiter->index = taken == OB_TAKEN_ABANDONED ? ABANDONED + i : i;
        return true;
    }
    return false;
}

/* Gives back the first `count` of the shared objects. */
static void give_back(const struct waiter *waiter, const enum ob_taken *taken, uint32_t count)
{
    bool any = false;
    for (uint32_t i = 0; i < count; i++) {
        if (taken[i] == OB_NOT_TAKEN)
            continue;
        waiter->objects[i]->type->give_back(waiter->objects[i], waiter->thread->id, taken[i]);
        any = true;
    }
    if (any)
        ob_bell_ring(); /* somebody may have missed them meanwhile */
}

/* The shared ones first, which may be gone by now; what only this process knows stays signaled. */
static bool complete_all(struct waiter *waiter)
{
    enum ob_taken taken[MAXIMUM_WAIT_OBJECTS] = {OB_NOT_TAKEN};
    for (uint32_t i = 0; i < waiter->count; i++)
        if (!is_signaled(waiter, i))
            return false;
    for (uint32_t i = 0; i < waiter->count; i++) {
        if (!ob_is_shared(waiter->objects[i]))
            continue;
        taken[i] = ob_take(waiter->objects[i], waiter->thread->id);
        if (taken[i] == OB_NOT_TAKEN) {
            give_back(waiter, taken, i);
            return false;
        }
    }
    waiter->index = 0;
    for (uint32_t i = 0; i < waiter->count; i++) {
        if (taken[i] == OB_NOT_TAKEN)
            taken[i] = ob_take(waiter->objects[i], waiter->thread->id);
        if (taken[i] == OB_TAKEN_ABANDONED)
            waiter->index = ABANDONED;
    }
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
    if (waiter->shared)
        ob_bell_ring();
    else
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

void ob_wait_became_shared(const struct ob_object *object)
{
    ob_async_became_shared(object);
    for (struct waiter *waiter = waiters.next; waiter != &waiters; waiter = waiter->next)
        for (uint32_t i = 0; i < waiter->count && !waiter->shared; i++) {
            if (waiter->objects[i] != object)
                continue;
            waiter->shared = true; /* it goes to sleep again, on the bell */
            __atomic_store_n(&waiter->woken, 1, __ATOMIC_RELEASE);
            syscall(SYS_futex, &waiter->woken, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
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

static int64_t nanoseconds_until(const struct deadline *at)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    int64_t left =
        ((int64_t)at->seconds - now.tv_sec) * 1000000000 + (at->nanoseconds - now.tv_nsec);
    return left > 0 ? left : 0;
}

/* For somebody who sleeps on a futex of its own. Whether the time is up. */
static bool sleep_alone(struct waiter *waiter, const struct deadline *deadline)
{
    return syscall(SYS_futex, &waiter->woken, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, deadline,
                   NULL, FUTEX_BITSET_MATCH_ANY) != 0 &&
           errno == ETIMEDOUT;
}

/*
 * How long to sleep on the bell at most: a process can be killed between changing a state and
 * ringing, so everybody looks again once a second; often where something cannot be told by ringing.
 */
#define LOOK_AGAIN INT64_C(1000000000)
#define LOOK_OFTEN INT64_C(20000000)

/* The same on the bell, which was read when the objects were last looked at. */
static bool sleep_on_bell(uint32_t seen, const struct deadline *deadline, const uint64_t *owners,
                          uint32_t owner_count)
{
    int64_t limit = ob_bell_is_open() ? LOOK_AGAIN : LOOK_OFTEN;
    for (uint32_t i = 0; i < owner_count; i++)
        if (!ob_owner_watch(owners[i]))
            limit = LOOK_OFTEN;
    int64_t left = deadline ? nanoseconds_until(deadline) : INT64_MAX;
    return !ob_bell_sleep(seen, left < limit ? left : limit) && left <= limit;
}

/* The owners in other processes of what is waited for: their end is no change of state. */
static uint32_t find_owners(const struct waiter *waiter, uint64_t *owners)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < waiter->count; i++) {
        struct ob_object *object = waiter->objects[i];
        uint64_t owner = object->type->owner ? object->type->owner(object) : 0;
        if (owner)
            owners[count++] = owner;
    }
    return count;
}

/* Wait lock held; it is released meanwhile. Whether the time is up. */
static bool sleep_once(struct waiter *waiter, uint32_t seen, const struct deadline *deadline)
{
    uint64_t owners[MAXIMUM_WAIT_OBJECTS];
    bool shared = waiter->shared;
    uint32_t owner_count = shared ? find_owners(waiter, owners) : 0;
    ob_wait_unlock();
    ob_asleep = true;
    bool late =
        shared ? sleep_on_bell(seen, deadline, owners, owner_count) : sleep_alone(waiter, deadline);
    ob_asleep = false;
    ob_wait_lock();
    return late;
}

static bool involves_shared(const struct waiter *waiter)
{
    for (uint32_t i = 0; i < waiter->count; i++)
        if (ob_is_shared(waiter->objects[i]))
            return true;
    return false;
}

/*
 * Sleeps until somebody completes the wait or its time is up. Wait lock held; `seen` is the bell
 * when the objects were looked at.
 */
static void sleep_until_done(struct waiter *waiter, uint32_t milliseconds, uint32_t seen)
{
    const struct deadline at = deadline_after(milliseconds);
    const struct deadline *deadline = milliseconds == OB_INFINITE ? NULL : &at;
    bool late = false;
    int saved = errno; /* images see the host's errno through the builtin CRT */

    waiter->shared = involves_shared(waiter);
    waiter->next = &waiters;
    waiter->prev = waiters.prev;
    waiter->prev->next = waiters.prev = waiter;
    while (!waiter->done && !late) {
        late = sleep_once(waiter, seen, deadline);
        if (waiter->done || !waiter->shared)
            continue;
        seen = ob_bell_read();
        if (complete(waiter)) {
            unlink_waiter(waiter);
            break;
        }
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

    uint32_t seen = ob_bell_read();
    ob_wait_lock();
    if (!complete(&waiter) && milliseconds != 0)
        sleep_until_done(&waiter, milliseconds, seen);
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
