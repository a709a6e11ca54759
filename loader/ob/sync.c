/*
 * Events, semaphores and mutexes (Microsoft's documentation of the synchronisation objects).
 *
 * Their state is read and changed under the wait lock only. The mutexes that somebody owns are on
 * one list, so that a thread's end can abandon its own.
 */
#include <stddef.h>

#include "loader/ob/object.h"

/* ---- events -----------------------------------------------------------------------------------
 */

struct event {
    struct ob_object object;
    bool manual_reset, is_set;
};

static bool event_signaled(struct ob_object *object, uint32_t thread_id)
{
    return ((struct event *)object)->is_set;
}

static bool event_acquired(struct ob_object *object, uint32_t thread_id)
{
    struct event *event = (struct event *)object;
    if (!event->manual_reset)
        event->is_set = false;
    return false;
}

const struct ob_type ob_event_type = {
    .name = "Event",
    .signaled = event_signaled,
    .acquired = event_acquired,
};

struct ob_object *ob_event_create(bool manual_reset, bool initial)
{
    struct event *event = ob_object_create(&ob_event_type, sizeof *event);
    if (!event)
        return NULL;
    event->manual_reset = manual_reset;
    event->is_set = initial;
    return &event->object;
}

void ob_event_set(struct ob_object *event, bool state)
{
    ob_wait_lock();
    ((struct event *)event)->is_set = state;
    if (state)
        ob_wait_wake();
    ob_wait_unlock();
}

/* ---- semaphores -------------------------------------------------------------------------------
 */

struct semaphore {
    struct ob_object object;
    int32_t count, maximum;
};

static bool semaphore_signaled(struct ob_object *object, uint32_t thread_id)
{
    return ((struct semaphore *)object)->count > 0;
}

static bool semaphore_acquired(struct ob_object *object, uint32_t thread_id)
{
    ((struct semaphore *)object)->count--;
    return false;
}

const struct ob_type ob_semaphore_type = {
    .name = "Semaphore",
    .signaled = semaphore_signaled,
    .acquired = semaphore_acquired,
};

struct ob_object *ob_semaphore_create(int32_t initial, int32_t maximum)
{
    if (initial < 0 || maximum <= 0 || initial > maximum)
        return NULL;
    struct semaphore *semaphore = ob_object_create(&ob_semaphore_type, sizeof *semaphore);
    if (!semaphore)
        return NULL;
    semaphore->count = initial;
    semaphore->maximum = maximum;
    return &semaphore->object;
}

nt_status ob_semaphore_release(struct ob_object *object, int32_t count, int32_t *previous)
{
    struct semaphore *semaphore = (struct semaphore *)object;
    nt_status status = STATUS_SUCCESS;

    if (count <= 0)
        return STATUS_INVALID_PARAMETER;
    ob_wait_lock();
    if (count > semaphore->maximum - semaphore->count) {
        status = STATUS_SEMAPHORE_LIMIT_EXCEEDED;
    } else {
        if (previous)
            *previous = semaphore->count;
        semaphore->count += count;
        ob_wait_wake();
    }
    ob_wait_unlock();
    return status;
}

/* ---- mutexes ----------------------------------------------------------------------------------
 */

struct mutex {
    struct ob_object object;
    struct mutex *next, *prev; /* in the list of owned mutexes while owner != 0 */
    uint32_t owner;            /* thread id, 0 = nobody */
    uint32_t recursion;
    bool abandoned;
};

static struct mutex owned = {.next = &owned, .prev = &owned};

static void mutex_own(struct mutex *mutex, uint32_t thread_id)
{
    mutex->owner = thread_id;
    mutex->next = owned.next;
    mutex->prev = &owned;
    owned.next->prev = mutex;
    owned.next = mutex;
}

static void mutex_disown(struct mutex *mutex)
{
    mutex->owner = 0;
    mutex->recursion = 0;
    mutex->next->prev = mutex->prev;
    mutex->prev->next = mutex->next;
}

static bool mutex_signaled(struct ob_object *object, uint32_t thread_id)
{
    const struct mutex *mutex = (struct mutex *)object;
    return mutex->owner == 0 || mutex->owner == thread_id;
}

static bool mutex_acquired(struct ob_object *object, uint32_t thread_id)
{
    struct mutex *mutex = (struct mutex *)object;
    bool abandoned = mutex->abandoned;
    if (mutex->owner == 0)
        mutex_own(mutex, thread_id);
    mutex->recursion++;
    mutex->abandoned = false;
    return abandoned;
}

static void mutex_destroy(struct ob_object *object)
{
    struct mutex *mutex = (struct mutex *)object;
    ob_wait_lock();
    if (mutex->owner != 0)
        mutex_disown(mutex);
    ob_wait_unlock();
}

const struct ob_type ob_mutex_type = {
    .name = "Mutant",
    .destroy = mutex_destroy,
    .signaled = mutex_signaled,
    .acquired = mutex_acquired,
};

struct ob_object *ob_mutex_create(uint32_t owner_thread)
{
    struct mutex *mutex = ob_object_create(&ob_mutex_type, sizeof *mutex);
    if (!mutex)
        return NULL;
    if (owner_thread != 0) {
        ob_wait_lock();
        mutex_acquired(&mutex->object, owner_thread);
        ob_wait_unlock();
    }
    return &mutex->object;
}

nt_status ob_mutex_release(struct ob_object *object, uint32_t thread_id)
{
    struct mutex *mutex = (struct mutex *)object;
    nt_status status = STATUS_SUCCESS;

    ob_wait_lock();
    if (mutex->owner != thread_id || thread_id == 0) {
        status = STATUS_MUTANT_NOT_OWNED;
    } else if (--mutex->recursion == 0) {
        mutex_disown(mutex);
        ob_wait_wake();
    }
    ob_wait_unlock();
    return status;
}

void ob_mutex_abandon_all(uint32_t thread_id)
{
    struct mutex *next;
    ob_wait_lock();
    for (struct mutex *mutex = owned.next; mutex != &owned; mutex = next) {
        next = mutex->next;
        if (mutex->owner != thread_id)
            continue;
        mutex_disown(mutex);
        mutex->abandoned = true;
    }
    ob_wait_wake();
    ob_wait_unlock();
}
