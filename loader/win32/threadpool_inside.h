/*
 * The records of the thread pool (threadpool.c, tpworker.c, tpclock.c).
 *
 * One lock guards them all; it is taken inside ob's wait lock and nothing of ob/ is called under
 * it.
 */
#ifndef WIN32_THREADPOOL_INSIDE_H
#define WIN32_THREADPOOL_INSIDE_H

#include <pthread.h>

#include "loader/ob/async.h"
#include "loader/win32/threadpool.h"

#define TP_NEVER INT64_MAX

struct tp_io {
    struct tp_io *next;
    void *overlapped;
    nt_status status;
    uintptr_t bytes;
};

struct tp_object {
    enum tp_kind kind;
    const void *callback;
    void *context;
    TP_CALLBACK_ENVIRON environment; /* Pool: a reference */
    uint32_t references; /* the owner's, one while due > 0, one a callback that runs, a waiter */
    bool closed;
    bool owned, cancelled;         /* while its group is closed: the owner has not; tell it */
    uint32_t due;                  /* callbacks that have not started */
    uint32_t signaled;             /* how many of them a signal caused, not the time (waits) */
    uint32_t busy;                 /* callbacks that run and have not disassociated themselves */
    struct tp_object *next, *prev; /* in the pool's queue while due > 0 */
    struct tp_object *group_next, *group_prev; /* in the group, group_next NULL = in none */
    struct tp_io *first_io, **last_io;         /* one for each due */
    int64_t at;                                /* monotonic nanoseconds; TP_NEVER = not set */
    int64_t period;                            /* nanoseconds */
    struct tp_object *later; /* in the list of those that have a time, soonest first */
    struct ob_async async;   /* .object: a reference, until it is replaced */
    bool waits;
    bool repeats;
    DWORD repeat_timeout;
    struct ob_object *completion;
    void (*gone)(void *owner);
    void *owner;
};

struct tp_instance {
    struct tp_object *object;
    bool associated, long_running;
    DWORD wait_result;
    struct tp_io io;
    struct tp_after after;
};

struct tp_worker {
    struct tp_pool *pool;
    struct tp_instance instance; /* .object NULL = it runs nothing */
};

struct tp_pool {
    struct tp_pool *next; /* of all */
    uint32_t references;  /* the owner's and its objects' */
    DWORD maximum, minimum;
    uint32_t threads, idle, long_running;
    uint32_t due;       /* callbacks in the queue */
    uint32_t runs;      /* callbacks begun, to see whether it goes on */
    uint32_t runs_seen; /* when the clock looked last, */
    int64_t checked;    /* which was then */
    pthread_cond_t work;
    struct tp_object *first[TP_PRIORITIES], *last[TP_PRIORITIES];
};

struct tp_group {
    struct tp_object members; /* head of the list */
};

extern pthread_mutex_t tp_mutex;
void tp_lock(void);
void tp_unlock(void);

/* threadpool.c; locked. */
void tp_make_due(struct tp_object *object);
void tp_begin(struct tp_instance *instance); /* its object's next callback is not due any more */
void tp_repeat(struct tp_object *object);    /* not locked: a callback has ended */
/* True when that was the last reference: tp_destroy() it after unlocking. */
bool tp_put(struct tp_object *object);
void tp_destroy(struct tp_object *object);
void tp_wake_waiters(void); /* an object may have become idle */

/* tpworker.c */
extern struct tp_pool *tp_pools;                       /* locked */
struct tp_pool *tp_pool_new(void);                     /* NULL = no memory */
struct tp_pool *tp_pool_default(void);                 /* the same */
bool tp_pool_wants_worker(const struct tp_pool *pool); /* locked */
/*
 * Starts one when the pool wants it, or (`beyond`) whenever its maximum allows. Not locked; the
 * caller has a reference. False when there is no thread to be had.
 */
bool tp_worker_start(struct tp_pool *pool, bool beyond);

/* tpclock.c: the thread that watches times, and pools that do not go on. */
int64_t tp_now(void);
/* When an NT timeout ends; TP_NEVER for NULL. */
int64_t tp_time(const int64_t *timeout);
void tp_clock_set(struct tp_object *object, int64_t at); /* locked; TP_NEVER = not */
bool tp_clock_start(void); /* not locked; cheap when it runs; false: no thread to be had */
void tp_clock_kick(void);  /* locked: look at everything again */

#endif
