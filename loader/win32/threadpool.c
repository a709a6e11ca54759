/*
 * The objects of the thread pool: what makes them due, who waits for them, when they go (see
 * threadpool.h).
 */
#include "loader/win32/threadpool.h"

#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/win32/threadpool_inside.h"

pthread_mutex_t tp_mutex = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t idle = PTHREAD_COND_INITIALIZER;
static uint32_t waiters;

void tp_lock(void)
{
    pthread_mutex_lock(&tp_mutex);
}

void tp_unlock(void)
{
    pthread_mutex_unlock(&tp_mutex);
}

/* For what concerns the object that is waited for as well. */
static void lock_waits(void)
{
    ob_wait_lock();
    tp_lock();
}

static void unlock_waits(void)
{
    tp_unlock();
    ob_wait_unlock();
}

void tp_wake_waiters(void)
{
    if (waiters)
        pthread_cond_broadcast(&idle);
}

/* ---- the queue ---------------------------------------------------------------------------------
 */

static void queue(struct tp_object *object)
{
    struct tp_pool *pool = object->environment.Pool;
    DWORD priority = object->environment.CallbackPriority;
    object->next = NULL;
    object->prev = pool->last[priority];
    if (object->prev)
        object->prev->next = object;
    else
        pool->first[priority] = object;
    pool->last[priority] = object;
}

static void unqueue(struct tp_object *object)
{
    struct tp_pool *pool = object->environment.Pool;
    DWORD priority = object->environment.CallbackPriority;
    if (object->next)
        object->next->prev = object->prev;
    else
        pool->last[priority] = object->prev;
    if (object->prev)
        object->prev->next = object->next;
    else
        pool->first[priority] = object->next;
}

void tp_make_due(struct tp_object *object)
{
    struct tp_pool *pool = object->environment.Pool;
    ke_live_hold();
    if (object->due++ == 0) {
        object->references++;
        queue(object);
    }
    pool->due++;
    if (pool->idle)
        pthread_cond_signal(&pool->work);
    if (pool->due > pool->idle)
        tp_clock_kick();
}

static void take_io(struct tp_object *object, struct tp_io *out)
{
    struct tp_io *io = object->first_io;
    if (!io)
        return;
    object->first_io = io->next;
    if (!object->first_io)
        object->last_io = &object->first_io;
    *out = *io;
    free(io);
}

void tp_begin(struct tp_instance *instance)
{
    enum { WAIT_OBJECT_0 = 0, WAIT_TIMEOUT = 258 };
    struct tp_object *object = instance->object;
    struct tp_pool *pool = object->environment.Pool;
    unqueue(object);
    if (--object->due)
        queue(object); /* behind the others; else its reference is the callback's from here on */
    else
        object->references--;
    object->references++;
    object->busy++;
    pool->due--;
    pool->runs++;
    instance->wait_result = object->signaled ? WAIT_OBJECT_0 : WAIT_TIMEOUT;
    object->signaled -= object->signaled != 0;
    take_io(object, &instance->io);
    if (object->environment.Flags & 1) {
        instance->long_running = true;
        pool->long_running++;
    }
}

/* What has not begun will not. Locked, the caller has a reference. */
static void cancel_due(struct tp_object *object)
{
    struct tp_io io;
    if (!object->due)
        return;
    unqueue(object);
    object->environment.Pool->due -= object->due;
    for (; object->due; object->due--) {
        take_io(object, &io);
        ke_live_release();
    }
    object->signaled = 0;
    object->references--;
    tp_wake_waiters();
}

/* After something was made due: a worker that the pool may need. The pool is still referenced. */
static void start_worker(struct tp_pool *pool)
{
    tp_lock();
    bool wanted = tp_pool_wants_worker(pool);
    pool->references += wanted;
    tp_unlock();
    if (!wanted)
        return;
    tp_worker_start(pool, false);
    tp_pool_close(pool);
}

void tp_post(struct tp_object *object)
{
    struct tp_pool *pool = object->environment.Pool;
    tp_lock();
    pool->references++; /* the object may be gone as soon as it is due */
    tp_make_due(object);
    tp_unlock();
    start_worker(pool);
    tp_pool_close(pool);
}

nt_status tp_post_io(struct tp_object *object, void *overlapped, nt_status status, uintptr_t bytes)
{
    struct tp_io *io = malloc(sizeof(*io));
    if (!io)
        return STATUS_NO_MEMORY;
    *io = (struct tp_io){NULL, overlapped, status, bytes};
    tp_lock();
    *object->last_io = io;
    object->last_io = &io->next;
    tp_unlock();
    tp_post(object);
    return STATUS_SUCCESS;
}

/* ---- objects -----------------------------------------------------------------------------------
 */

/* The defaults, overridden by what the caller's version has. */
static nt_status environment_of(const TP_CALLBACK_ENVIRON *from, TP_CALLBACK_ENVIRON *to)
{
    size_t known = sizeof(*from);
    *to = (TP_CALLBACK_ENVIRON){.CallbackPriority = TP_PRIORITY_NORMAL};
    if (from && from->Version != 1 && from->Version != 3)
        return STATUS_INVALID_PARAMETER;
    if (from && from->Version == 1)
        known = offsetof(TP_CALLBACK_ENVIRON, CallbackPriority);
    for (size_t i = 0; from && i < known; i++)
        ((char *)to)[i] = ((const char *)from)[i];
    if (to->CallbackPriority >= TP_PRIORITIES)
        return STATUS_INVALID_PARAMETER;
    if (!to->Pool)
        to->Pool = tp_pool_default();
    return to->Pool ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

static bool wait_fired(struct ob_async *async)
{
    struct tp_object *object =
        (struct tp_object *)((char *)async - offsetof(struct tp_object, async));
    tp_lock();
    object->waits = false;
    tp_clock_set(object, TP_NEVER);
    object->signaled++;
    tp_make_due(object);
    tp_unlock();
    return true;
}

static void join_group(struct tp_object *object)
{
    struct tp_group *group = object->environment.CleanupGroup;
    if (!group)
        return;
    object->group_next = &group->members;
    object->group_prev = group->members.group_prev;
    object->group_prev->group_next = group->members.group_prev = object;
}

static void leave_group(struct tp_object *object)
{
    if (!object->group_next)
        return;
    object->group_next->group_prev = object->group_prev;
    object->group_prev->group_next = object->group_next;
    object->group_next = NULL;
}

nt_status tp_create(enum tp_kind kind, const void *callback, void *context,
                    const TP_CALLBACK_ENVIRON *environment, struct tp_object **out)
{
    struct tp_object *object = calloc(1, sizeof(*object));
    if (!object)
        return STATUS_NO_MEMORY;
    nt_status status = environment_of(environment, &object->environment);
    if (nt_ok(status) && !tp_clock_start())
        status = (nt_status)STATUS_INSUFFICIENT_RESOURCES;
    if (!nt_ok(status)) {
        free(object);
        return status;
    }
    object->kind = kind;
    object->callback = callback;
    object->context = context;
    object->references = 1;
    object->last_io = &object->first_io;
    object->at = TP_NEVER;
    object->async.fired = wait_fired;
    tp_lock();
    object->environment.Pool->references++;
    join_group(object);
    tp_unlock();
    *out = object;
    return STATUS_SUCCESS;
}

bool tp_put(struct tp_object *object)
{
    if (--object->references)
        return false;
    leave_group(object);
    return true;
}

void tp_destroy(struct tp_object *object)
{
    tp_pool_close(object->environment.Pool);
    if (object->async.object)
        ob_object_unref(object->async.object);
    if (object->completion) {
        ob_event_set(object->completion, true);
        ob_object_unref(object->completion);
    }
    if (object->gone)
        object->gone(object->owner);
    free(object);
}

void *tp_context(const struct tp_object *object)
{
    return object->context;
}

void tp_on_gone(struct tp_object *object, void (*gone)(void *owner), void *owner)
{
    object->gone = gone;
    object->owner = owner;
}

bool tp_close(struct tp_object *object, bool cancel, struct ob_object *completion)
{
    lock_waits();
    object->closed = true;
    object->waits = false;
    object->completion = completion;
    tp_clock_set(object, TP_NEVER);
    ob_async_disarm(&object->async);
    if (cancel)
        cancel_due(object);
    bool gone = tp_put(object);
    unlock_waits();
    if (gone)
        tp_destroy(object);
    return !gone;
}

/* Locked, the caller has a reference. */
static void wait_idle(struct tp_object *object)
{
    waiters++;
    while (object->due || object->busy)
        pthread_cond_wait(&idle, &tp_mutex);
    waiters--;
}

void tp_wait_idle(struct tp_object *object, bool cancel)
{
    tp_lock();
    object->references++;
    if (cancel)
        cancel_due(object);
    wait_idle(object);
    bool gone = tp_put(object);
    tp_unlock();
    if (gone)
        tp_destroy(object);
}

/* ---- times and waits ---------------------------------------------------------------------------
 */

/* A time or a signal that has come already makes the object due before there is a worker. */
bool tp_timer_set(struct tp_object *object, const int64_t *due, DWORD period)
{
    int64_t at = tp_time(due);
    tp_lock();
    bool was_set = object->at != TP_NEVER;
    if (!object->closed) {
        object->period = (int64_t)period * 1000000;
        tp_clock_set(object, at);
    }
    tp_unlock();
    return was_set;
}

bool tp_timer_is_set(struct tp_object *object)
{
    tp_lock();
    bool is_set = object->at != TP_NEVER;
    tp_unlock();
    return is_set;
}

bool tp_wait_set(struct tp_object *object, struct ob_object *target, const int64_t *timeout)
{
    int64_t at = target ? tp_time(timeout) : TP_NEVER;
    uint32_t thread_id = ke_thread_id();
    lock_waits();
    bool was_set = object->waits;
    struct ob_object *old = object->closed ? target : object->async.object;
    ob_async_disarm(&object->async);
    if (!object->closed) {
        object->waits = target != NULL;
        object->async.object = target;
        object->async.thread_id = thread_id;
        tp_clock_set(object, at);
    }
    bool waits = object->waits;
    tp_unlock();
    if (waits)
        ob_async_arm(&object->async);
    ob_wait_unlock();
    if (old)
        ob_object_unref(old);
    return was_set;
}

void tp_wait_repeats(struct tp_object *object, DWORD milliseconds)
{
    object->repeats = true;
    object->repeat_timeout = milliseconds;
}

void tp_repeat(struct tp_object *object)
{
    int64_t timeout = -(int64_t)object->repeat_timeout * 10000;
    if (!object->repeats)
        return;
    ob_wait_lock();
    struct ob_object *target = object->closed ? NULL : object->async.object;
    if (target)
        ob_object_ref(target);
    ob_wait_unlock();
    if (target)
        tp_wait_set(object, target, object->repeat_timeout == UINT32_MAX ? NULL : &timeout);
}

/* ---- cleanup groups ----------------------------------------------------------------------------
 */

nt_status tp_group_create(struct tp_group **out)
{
    struct tp_group *group = calloc(1, sizeof(*group));
    if (!group)
        return STATUS_NO_MEMORY;
    group->members.group_next = group->members.group_prev = &group->members;
    *out = group;
    return STATUS_SUCCESS;
}

void tp_group_close(struct tp_group *group)
{
    free(group);
}

/* Stops a member, which leaves the group with a reference for the caller. Locked with the waits. */
static void retire(struct tp_object *object, bool cancel)
{
    leave_group(object);
    object->references++;
    object->owned = !object->closed;
    object->cancelled = cancel && (object->owned || object->due);
    object->closed = true;
    object->waits = false;
    tp_clock_set(object, TP_NEVER);
    ob_async_disarm(&object->async);
    if (cancel)
        cancel_due(object);
}

/* All members, linked by `later`: they have no time any more. */
static struct tp_object *retire_all(struct tp_group *group, bool cancel)
{
    struct tp_object *first = NULL, **link = &first;
    lock_waits();
    while (group->members.group_next != &group->members) {
        *link = group->members.group_next;
        retire(*link, cancel);
        link = &(*link)->later;
        *link = NULL;
    }
    unlock_waits();
    return first;
}

/* Gives back the caller's reference and the owner's, unless the owner has done that. */
static void release(struct tp_object *object)
{
    tp_lock();
    if (object->owned)
        object->references--;
    bool gone = tp_put(object);
    tp_unlock();
    if (gone)
        tp_destroy(object);
}

/* Callbacks that still run may have brought in new members: again until there is none. */
WIN_BUILTIN void tp_group_close_members(struct tp_group *group, bool cancel, void *context)
{
    struct tp_object *object, *next;
    while ((object = retire_all(group, cancel)) != NULL) {
        for (; object; object = next) {
            next = object->later;
            tp_wait_idle(object, cancel);
            if (object->cancelled && object->environment.CleanupGroupCancelCallback)
                object->environment.CleanupGroupCancelCallback(object->context, context);
            release(object);
        }
    }
}

void tp_group_abandon_members(struct tp_group *group)
{
    struct tp_object *next, *object = retire_all(group, true);
    for (; object; object = next) {
        next = object->later;
        release(object);
    }
}
