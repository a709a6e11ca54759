/*
 * The clock of the thread pool: one thread of the host that makes objects due when their time comes
 * and gives a pool another worker when all it has are blocked in callbacks.
 */
#include <signal.h>
#include <time.h>

#include "loader/win32/threadpool_inside.h"

#define MILLISECOND     INT64_C(1000000)
#define STUCK_AFTER     (10 * MILLISECOND)
#define UNIX_EPOCH_1601 INT64_C(116444736000000000) /* in 100 ns */
#define SECOND          INT64_C(1000000000)

static struct tp_object *soonest;
static pthread_cond_t changed;
static bool was_kicked, runs;
static sigset_t host_mask;

int64_t tp_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * SECOND + now.tv_nsec;
}

int64_t tp_time(const int64_t *timeout)
{
    if (!timeout)
        return TP_NEVER;
    int64_t now = tp_now(), units = *timeout == INT64_MIN ? INT64_MAX : -*timeout;
    if (*timeout > 0) {
        struct timespec real;
        clock_gettime(CLOCK_REALTIME, &real);
        units = *timeout - UNIX_EPOCH_1601 - (int64_t)real.tv_sec * 10000000 - real.tv_nsec / 100;
    }
    if (units <= 0)
        return now;
    return units < (TP_NEVER - 1 - now) / 100 ? now + units * 100 : TP_NEVER - 1;
}

void tp_clock_set(struct tp_object *object, int64_t at)
{
    struct tp_object **link = &soonest;
    if (object->at != TP_NEVER) {
        while (*link != object)
            link = &(*link)->later;
        *link = object->later;
    }
    object->at = at;
    if (at == TP_NEVER)
        return;
    for (link = &soonest; *link && (*link)->at <= at; link = &(*link)->later)
        ;
    object->later = *link;
    *link = object;
    if (soonest == object)
        tp_clock_kick();
}

void tp_clock_kick(void)
{
    was_kicked = true;
    pthread_cond_signal(&changed);
}

/* A time has come. Locked, and the wait lock as well. */
static void ring(struct tp_object *object, int64_t now)
{
    bool is_wait = object->kind == TP_WAIT || object->kind == TP_SIGNAL;
    int64_t next = TP_NEVER;
    if (!is_wait && object->period)
        next =
            object->at + object->period > now ? object->at + object->period : now + object->period;
    tp_clock_set(object, next);
    if (is_wait) {
        object->waits = false;
        ob_async_disarm(&object->async);
    }
    /* A timer that rings while its last callback has not even begun rings once. */
    if (is_wait || !object->due)
        tp_make_due(object);
}

/* Whether a pool's workers do not get on; asked again in intervals. Locked. */
static bool is_stuck(struct tp_pool *pool, int64_t now)
{
    if (!pool->due || now - pool->checked < STUCK_AFTER)
        return false;
    bool stuck = pool->runs == pool->runs_seen && !pool->idle && pool->threads < pool->maximum;
    pool->checked = now;
    pool->runs_seen = pool->runs;
    return stuck;
}

/* A pool that needs a worker, with a reference, or NULL. Locked. */
static struct tp_pool *pool_in_need(int64_t now)
{
    for (struct tp_pool *pool = tp_pools; pool; pool = pool->next) {
        if (pool->references && (tp_pool_wants_worker(pool) || is_stuck(pool, now))) {
            pool->references++;
            return pool;
        }
    }
    return NULL;
}

/* When there is something to look at next. Locked. */
static int64_t next_look(int64_t now)
{
    int64_t at = soonest ? soonest->at : TP_NEVER;
    for (struct tp_pool *pool = tp_pools; pool; pool = pool->next)
        if (pool->due && now + STUCK_AFTER < at)
            at = now + STUCK_AFTER;
    return at;
}

/* Locked. */
static void sleep_until(int64_t at)
{
    struct timespec deadline = {.tv_sec = (time_t)(at / SECOND), .tv_nsec = (long)(at % SECOND)};
    if (!was_kicked && at == TP_NEVER)
        pthread_cond_wait(&changed, &tp_mutex);
    else if (!was_kicked)
        pthread_cond_timedwait(&changed, &tp_mutex, &deadline);
    was_kicked = false;
}

/* A new thread begins with its creator's signal mask; image code must not run with this one's. */
static void help(struct tp_pool *pool)
{
    sigset_t mine;
    const struct timespec pause = {.tv_nsec = STUCK_AFTER};
    pthread_sigmask(SIG_SETMASK, &host_mask, &mine);
    bool started = tp_worker_start(pool, true);
    pthread_sigmask(SIG_SETMASK, &mine, NULL);
    tp_pool_close(pool);
    if (!started) /* another one may have ended by then */
        nanosleep(&pause, NULL);
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        ob_wait_lock(); /* for the waits whose time is over */
        tp_lock();
        int64_t now = tp_now();
        while (soonest && soonest->at <= now)
            ring(soonest, now);
        ob_wait_unlock();
        struct tp_pool *pool = pool_in_need(now);
        if (!pool)
            sleep_until(next_look(now));
        tp_unlock();
        if (pool)
            help(pool);
    }
    return NULL;
}

static void start(void)
{
    pthread_t thread;
    sigset_t all;
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&changed, &attributes);
    pthread_condattr_destroy(&attributes);
    sigfillset(&all); /* the host's signals are none of its business */
    pthread_sigmask(SIG_SETMASK, &all, &host_mask);
    runs = pthread_create(&thread, NULL, serve, NULL) == 0;
    if (runs)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &host_mask, NULL);
}

bool tp_clock_start(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start);
    return runs;
}
