/*
 * The thread pool (Microsoft's "Thread Pool API", threadpoolapiset.h, and the older functions of
 * timer queues and registered waits, which are made of the same things).
 *
 *   object   a callback with its context, and what makes it due: being posted, a time, a signal
 *   pool     the queue of callbacks that are due, and the workers that run them
 *   group    a cleanup group: objects that are closed together
 *
 * Workers are threads as images make them. They keep no process alive; callbacks that are due do.
 */
#ifndef WIN32_THREADPOOL_H
#define WIN32_THREADPOOL_H

#include "loader/ob/object.h"
#include "loader/win32/locks.h"
#include "loader/win32/types.h"

struct tp_pool;
struct tp_group;
struct tp_object;
struct tp_instance; /* one callback that runs: TP_CALLBACK_INSTANCE */

/* What the callback's parameters are. */
enum tp_kind {
    TP_SIMPLE,   /* instance, context; closes itself */
    TP_WORK,     /* instance, context, object */
    TP_TIMER,    /* instance, context, object */
    TP_WAIT,     /* instance, context, object, WAIT_OBJECT_0 or WAIT_TIMEOUT */
    TP_IO,       /* instance, context, OVERLAPPED, Win32 error, bytes, object */
    TP_USER,     /* context (QueueUserWorkItem); closes itself */
    TP_TICK,     /* context, TRUE (timer queues) */
    TP_SIGNAL,   /* context, whether the time was over (registered waits) */
    TP_BOUND_IO, /* Win32 error or NTSTATUS, bytes, OVERLAPPED (BindIoCompletionCallback) */
};

/* TP_CALLBACK_ENVIRON: version 1 ends before CallbackPriority. */
typedef struct {
    DWORD Version;
    struct tp_pool *Pool;
    struct tp_group *CleanupGroup;
    void(WINAPI *CleanupGroupCancelCallback)(void *object_context, void *cleanup_context);
    void *RaceDll;
    void *ActivationContext;
    void(WINAPI *FinalizationCallback)(struct tp_instance *instance, void *context);
    DWORD Flags; /* 1 = long function, 2 = persistent */
    DWORD CallbackPriority, Size;
} TP_CALLBACK_ENVIRON;
enum { TP_PRIORITY_HIGH, TP_PRIORITY_NORMAL, TP_PRIORITY_LOW, TP_PRIORITIES };

/* ---- pools -------------------------------------------------------------------------------------
 */
nt_status tp_pool_create(struct tp_pool **out);
/* The pool goes when its objects have gone. */
void tp_pool_close(struct tp_pool *pool);
void tp_pool_set_maximum(struct tp_pool *pool, DWORD threads);
/* Starts that many at once. */
nt_status tp_pool_set_minimum(struct tp_pool *pool, DWORD threads);
/* One worker, for callbacks that must not overlap (WT_EXECUTEINTIMERTHREAD). NULL = no memory. */
struct tp_pool *tp_pool_serial(void);
/* How long a worker stays without work. */
extern uint32_t tp_idle_milliseconds;

/* ---- objects -----------------------------------------------------------------------------------
 */
/* `environment` NULL = the defaults. STATUS_INVALID_PARAMETER for one of an unknown version. */
nt_status tp_create(enum tp_kind kind, const void *callback, void *context,
                    const TP_CALLBACK_ENVIRON *environment, struct tp_object **out);
/* The callback is due once more. */
void tp_post(struct tp_object *object);
/* An asynchronous operation ended: an I/O callback is due with these. */
nt_status tp_post_io(struct tp_object *object, void *overlapped, nt_status status, uintptr_t bytes);
/*
 * `due` as an NT timeout, NULL = never; `period` in milliseconds, 0 = once. Returns whether it was
 * set before.
 */
bool tp_timer_set(struct tp_object *object, const int64_t *due, DWORD period);
bool tp_timer_is_set(struct tp_object *object);
/* Once: takes over the reference to `target` (NULL = stop waiting). Returns as tp_timer_set(). */
bool tp_wait_set(struct tp_object *object, struct ob_object *target, const int64_t *timeout);
/* Waits until no callback is due or runs; `cancel`: those that have not started will not. */
void tp_wait_idle(struct tp_object *object, bool cancel);
/*
 * Stops what makes it due and gives it back; it goes when its last callback has ended. `cancel` as
 * above; `completion` (NULL = none) is an event that is set when it has gone, whose reference is
 * taken over. Returns whether callbacks are still to end.
 */
bool tp_close(struct tp_object *object, bool cancel, struct ob_object *completion);
void *tp_context(const struct tp_object *object);
/* Called when the object has gone, after its last callback. Before it is first due. */
void tp_on_gone(struct tp_object *object, void (*gone)(void *owner), void *owner);
/* A wait that goes on after each of its callbacks. */
void tp_wait_repeats(struct tp_object *object, DWORD milliseconds);

/* ---- cleanup groups ----------------------------------------------------------------------------
 */
nt_status tp_group_create(struct tp_group **out);
void tp_group_close(struct tp_group *group);
/* Waits for all callbacks; `cancel` also calls the objects' cancel callbacks with `context`. */
void tp_group_close_members(struct tp_group *group, bool cancel, void *context);
/* The same with `cancel`, without waiting. */
void tp_group_abandon_members(struct tp_group *group);

/* ---- a callback about itself -------------------------------------------------------------------
 */
void tp_disassociate(struct tp_instance *instance);
/* STATUS_TOO_MANY_THREADS when no other worker can be had. */
nt_status tp_may_run_long(struct tp_instance *instance);
/* What is done when it returns. */
struct tp_after {
    CRITICAL_SECTION *section;
    HANDLE mutex, semaphore, event;
    DWORD semaphore_count;
    HMODULE library;
};
struct tp_after *tp_after(struct tp_instance *instance);

#endif
