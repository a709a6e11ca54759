/*
 * Timer queues and registered waits (see timerqueue.h).
 */
#include "loader/win32/timerqueue.h"

#include <pthread.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/threadpool.h"
#include "loader/win32/waitable.h"

enum {
    WT_EXECUTEONLYONCE = 0x08,
    WT_EXECUTELONGFUNCTION = 0x10,
    WT_EXECUTEINTIMERTHREAD = 0x20,
    WT_EXECUTEINPERSISTENTTHREAD = 0x80,
    EVENT_MODIFY_STATE = 2,
    NEVER = -1,
};

struct timer_queue {
    uint32_t references; /* the owner's and its timers' */
    struct tp_group *group;
    struct ob_object *completion;
};

struct queue_timer {
    struct tp_object *object;
    struct timer_queue *queue;
    bool spent; /* one shot, and set */
};

/* ---- completions -------------------------------------------------------------------------------
 */

/* The event that stands for a completion, with a reference; NULL for none. */
static nt_status completion_event(HANDLE completion, struct ob_object **out)
{
    *out = NULL;
    if (!completion)
        return STATUS_SUCCESS;
    if (completion != INVALID_HANDLE_VALUE)
        return win32_typed(completion, &ob_event_type, EVENT_MODIFY_STATE, out);
    *out = ob_event_create(true, false);
    return *out ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

/* What the caller is told, after a wait when it wants one. Its own reference is consumed. */
static nt_status conclude(HANDLE completion, struct ob_object *event, bool pending)
{
    nt_status status = pending ? STATUS_PENDING : STATUS_SUCCESS;
    if (completion == INVALID_HANDLE_VALUE) {
        ob_wait(&event, 1, false, OB_INFINITE, ke_thread_id(), NULL);
        status = STATUS_SUCCESS;
    }
    if (event)
        ob_object_unref(event);
    return status;
}

static nt_status close_object(struct tp_object *object, HANDLE completion)
{
    struct ob_object *event;
    nt_status status = completion_event(completion, &event);
    if (!nt_ok(status))
        return status;
    if (event)
        ob_object_ref(event);
    bool pending = tp_close(object, true, event);
    return conclude(completion, event, pending);
}

/* ---- queues ------------------------------------------------------------------------------------
 */

nt_status tq_create(struct timer_queue **out)
{
    struct timer_queue *queue = calloc(1, sizeof(*queue));
    if (!queue)
        return STATUS_NO_MEMORY;
    queue->references = 1;
    nt_status status = tp_group_create(&queue->group);
    if (nt_ok(status))
        *out = queue;
    else
        free(queue);
    return status;
}

/* True when that was the last reference. */
static bool put_queue(struct timer_queue *queue)
{
    if (__atomic_sub_fetch(&queue->references, 1, __ATOMIC_ACQ_REL))
        return false;
    tp_group_close(queue->group);
    if (queue->completion) {
        ob_event_set(queue->completion, true);
        ob_object_unref(queue->completion);
    }
    free(queue);
    return true;
}

nt_status tq_delete(struct timer_queue *queue, HANDLE completion)
{
    struct ob_object *event;
    nt_status status = completion_event(completion, &event);
    if (!nt_ok(status))
        return status;
    if (event)
        ob_object_ref(event);
    queue->completion = event;
    tp_group_abandon_members(queue->group);
    bool pending = !put_queue(queue);
    return conclude(completion, event, pending);
}

static struct timer_queue *default_queue(void)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    static struct timer_queue *queue;
    pthread_mutex_lock(&mutex);
    if (!queue)
        tq_create(&queue);
    pthread_mutex_unlock(&mutex);
    return queue;
}

/* ---- timers ------------------------------------------------------------------------------------
 */

static void timer_gone(void *owner)
{
    struct queue_timer *timer = owner;
    put_queue(timer->queue);
    free(timer);
}

static void set_timer(struct queue_timer *timer, DWORD due, DWORD period)
{
    int64_t timeout = -(int64_t)due * 10000;
    timer->spent = !period && due != (DWORD)NEVER;
    tp_timer_set(timer->object, due == (DWORD)NEVER ? NULL : &timeout, period);
}

static void choose_pool(TP_CALLBACK_ENVIRON *environment, ULONG flags)
{
    if (flags & (WT_EXECUTEINTIMERTHREAD | WT_EXECUTEINPERSISTENTTHREAD))
        environment->Pool = tp_pool_serial();
    environment->Flags = (flags & WT_EXECUTELONGFUNCTION) != 0;
}

nt_status tq_timer_create(struct timer_queue *queue, const void *callback, void *context, DWORD due,
                          DWORD period, ULONG flags, HANDLE *out)
{
    TP_CALLBACK_ENVIRON environment = {.Version = 1};
    if (!queue)
        queue = default_queue();
    struct queue_timer *timer = calloc(1, sizeof(*timer));
    if (!queue || !timer) {
        free(timer);
        return STATUS_NO_MEMORY;
    }
    choose_pool(&environment, flags);
    environment.CleanupGroup = queue->group;
    nt_status status = tp_create(TP_TICK, callback, context, &environment, &timer->object);
    if (!nt_ok(status)) {
        free(timer);
        return status;
    }
    timer->queue = queue;
    __atomic_add_fetch(&queue->references, 1, __ATOMIC_ACQ_REL);
    tp_on_gone(timer->object, timer_gone, timer);
    *out = timer; /* before the callback can run, which may want it */
    set_timer(timer, due, flags & WT_EXECUTEONLYONCE ? 0 : period);
    return STATUS_SUCCESS;
}

nt_status tq_timer_change(struct queue_timer *timer, DWORD due, DWORD period)
{
    if (!timer->spent || tp_timer_is_set(timer->object))
        set_timer(timer, due, period);
    return STATUS_SUCCESS;
}

nt_status tq_timer_delete(struct queue_timer *timer, HANDLE completion)
{
    return close_object(timer->object, completion);
}

/* ---- waits -------------------------------------------------------------------------------------
 */

nt_status tq_wait_register(HANDLE handle, const void *callback, void *context, DWORD milliseconds,
                           ULONG flags, HANDLE *out)
{
    TP_CALLBACK_ENVIRON environment = {.Version = 1};
    struct tp_object *object;
    struct ob_object *target;
    int64_t timeout = -(int64_t)milliseconds * 10000;
    nt_status status = win32_waitable(handle, &target);
    if (!nt_ok(status))
        return status;
    choose_pool(&environment, flags);
    status = tp_create(TP_SIGNAL, callback, context, &environment, &object);
    if (!nt_ok(status)) {
        ob_object_unref(target);
        return status;
    }
    if (!(flags & WT_EXECUTEONLYONCE))
        tp_wait_repeats(object, milliseconds);
    *out = object;
    tp_wait_set(object, target, milliseconds == (DWORD)NEVER ? NULL : &timeout);
    return STATUS_SUCCESS;
}

nt_status tq_wait_unregister(HANDLE wait, HANDLE completion)
{
    return close_object(wait, completion);
}
