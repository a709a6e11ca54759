/*
 * Pools and their workers.
 *
 * As many workers as there are processors run without more ado; the next ones come when those do
 * not get on (tpclock.c), up to the pool's maximum, because what blocks them may be waiting for a
 * callback that is still queued.
 */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/modhandle.h"
#include "loader/win32/threadpool_inside.h"
#include "loader/win32/waitable.h"

/* Windows's default maximum; more than zero even on one processor. */
enum { DEFAULT_MAXIMUM = 500, LEAST_CONCURRENCY = 4, STACK = 2 << 20 };

uint32_t tp_idle_milliseconds = 10000;
struct tp_pool *tp_pools;
static pthread_key_t worker_key;
static pthread_once_t key_once = PTHREAD_ONCE_INIT;

/* ---- pools -------------------------------------------------------------------------------------
 */

struct tp_pool *tp_pool_new(void)
{
    pthread_condattr_t attributes;
    struct tp_pool *pool = calloc(1, sizeof(*pool));
    if (!pool)
        return NULL;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(&pool->work, &attributes);
    pthread_condattr_destroy(&attributes);
    pool->references = 1;
    pool->maximum = DEFAULT_MAXIMUM;
    tp_lock();
    pool->next = tp_pools;
    tp_pools = pool;
    tp_unlock();
    return pool;
}

/* Locked. Nobody has a reference and nobody works for it. */
static void free_pool(struct tp_pool *pool)
{
    struct tp_pool **link = &tp_pools;
    while (*link != pool)
        link = &(*link)->next;
    *link = pool->next;
    pthread_cond_destroy(&pool->work);
    free(pool);
}

nt_status tp_pool_create(struct tp_pool **out)
{
    *out = tp_pool_new();
    return *out ? STATUS_SUCCESS : STATUS_NO_MEMORY;
}

void tp_pool_close(struct tp_pool *pool)
{
    tp_lock();
    if (--pool->references == 0) {
        pthread_cond_broadcast(&pool->work);
        if (!pool->threads)
            free_pool(pool);
    }
    tp_unlock();
}

/* The pools that are made once: the default one and the one of one worker. */
static struct tp_pool *made_once(struct tp_pool **pool, DWORD maximum)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&mutex);
    if (!*pool) {
        *pool = tp_pool_new();
        if (*pool)
            (*pool)->maximum = maximum;
    }
    pthread_mutex_unlock(&mutex);
    return *pool;
}

struct tp_pool *tp_pool_default(void)
{
    static struct tp_pool *pool;
    return made_once(&pool, DEFAULT_MAXIMUM);
}

struct tp_pool *tp_pool_serial(void)
{
    static struct tp_pool *pool;
    return made_once(&pool, 1);
}

void tp_pool_set_maximum(struct tp_pool *pool, DWORD threads)
{
    tp_lock();
    pool->maximum = threads ? threads : 1;
    if (pool->minimum > pool->maximum)
        pool->minimum = pool->maximum;
    tp_clock_kick();
    tp_unlock();
}

nt_status tp_pool_set_minimum(struct tp_pool *pool, DWORD threads)
{
    bool more = true;
    tp_lock();
    pool->minimum = threads;
    if (pool->maximum < threads)
        pool->maximum = threads;
    tp_unlock();
    while (more) {
        tp_lock();
        more = pool->threads < pool->minimum;
        tp_unlock();
        if (more && !tp_worker_start(pool, true))
            return STATUS_NO_MEMORY;
    }
    return STATUS_SUCCESS;
}

static uint32_t concurrency(void)
{
    static uint32_t known;
    uint32_t count = __atomic_load_n(&known, __ATOMIC_RELAXED);
    if (!count) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        count = processors < LEAST_CONCURRENCY ? LEAST_CONCURRENCY : (uint32_t)processors;
        __atomic_store_n(&known, count, __ATOMIC_RELAXED);
    }
    return count;
}

bool tp_pool_wants_worker(const struct tp_pool *pool)
{
    return pool->due > pool->idle && pool->threads < pool->maximum &&
           pool->threads < concurrency() + pool->long_running;
}

/* ---- callbacks ---------------------------------------------------------------------------------
 */

typedef struct tp_instance *instance_t;
typedef struct tp_object *object_t;

/* The call itself, in a frame that exceptions may cross on their way to the worker's gate. */
static void WINAPI_DEF call(struct tp_instance *instance, object_t object)
{
    void *context = object->context, *overlapped = instance->io.overlapped;
    DWORD result = instance->wait_result;
    nt_status status = instance->io.status;
    uintptr_t bytes = instance->io.bytes, function = (uintptr_t)object->callback;
    switch (object->kind) {
    case TP_SIMPLE:
        ((void(WINAPI *)(instance_t, void *))function)(instance, context);
        break;
    case TP_WORK:
    case TP_TIMER:
        ((void(WINAPI *)(instance_t, void *, object_t))function)(instance, context, object);
        break;
    case TP_WAIT:
        ((void(WINAPI *)(instance_t, void *, object_t, DWORD))function)(instance, context, object,
                                                                        result);
        break;
    case TP_IO:
        ((void(WINAPI *)(instance_t, void *, void *, ULONG, ULONG_PTR, object_t))function)(
            instance, context, overlapped, win32_error_of_status(status), bytes, object);
        break;
    case TP_USER:
        ((DWORD(WINAPI *)(void *))function)(context);
        break;
    case TP_TICK:
        ((void(WINAPI *)(void *, BOOLEAN))function)(context, TRUE);
        break;
    case TP_SIGNAL:
        ((void(WINAPI *)(void *, BOOLEAN))function)(context, result != 0);
        break;
    case TP_BOUND_IO:
        ((void(WINAPI *)(DWORD, DWORD, void *))function)(status, (DWORD)bytes, overlapped);
        break;
    }
    if (object->environment.FinalizationCallback)
        object->environment.FinalizationCallback(instance, context);
}

struct tp_after *tp_after(struct tp_instance *instance)
{
    return &instance->after;
}

static void release(HANDLE handle, const struct ob_type *type, LONG count)
{
    struct ob_object *object;
    if (!handle || !nt_ok(win32_typed(handle, type, 0, &object)))
        return;
    if (type == &ob_mutex_type)
        ob_mutex_release(object, ke_thread_id());
    else if (type == &ob_semaphore_type)
        ob_semaphore_release(object, count, NULL);
    else
        ob_event_set(object, true);
    ob_object_unref(object);
}

static void do_after(const struct tp_after *after)
{
    if (after->section)
        win32_critsec_leave(after->section);
    release(after->mutex, &ob_mutex_type, 1);
    release(after->semaphore, &ob_semaphore_type, (LONG)after->semaphore_count);
    release(after->event, &ob_event_type, 1);
    if (after->library)
        win32_library_free(after->library);
}

/* The module that the environment names stays as long as the callback runs. */
static struct ldr_module *hold_module(const TP_CALLBACK_ENVIRON *environment)
{
    struct ldr_module *module = NULL;
    if (!environment->RaceDll)
        return NULL;
    ldr_lock();
    module = win32_module_of(environment->RaceDll);
    if (module)
        ldr_module_addref(module);
    ldr_unlock();
    return module;
}

/* ---- workers -----------------------------------------------------------------------------------
 */

/* Takes what is due next, or returns false: the worker is not needed any more. Locked. */
static bool next_callback(struct tp_worker *worker)
{
    struct tp_pool *pool = worker->pool;
    struct tp_instance *instance = &worker->instance;
    int64_t until = tp_now() + (int64_t)tp_idle_milliseconds * 1000000;
    struct timespec deadline = {.tv_sec = (time_t)(until / 1000000000),
                                .tv_nsec = (long)(until % 1000000000)};
    int error = 0;
    while (!pool->due) {
        if (!pool->references || (error && pool->threads > pool->minimum))
            return false;
        pool->idle++;
        if (error) /* it stays, as one of the minimum */
            pthread_cond_wait(&pool->work, &tp_mutex);
        else
            error = pthread_cond_timedwait(&pool->work, &tp_mutex, &deadline);
        pool->idle--;
    }
    int priority = 0;
    while (!pool->first[priority])
        priority++;
    *instance = (struct tp_instance){.object = pool->first[priority], .associated = true};
    tp_begin(instance);
    return true;
}

static void stop_running(struct tp_worker *worker)
{
    struct tp_instance *instance = &worker->instance;
    struct tp_object *object = instance->object;
    tp_lock();
    instance->object = NULL;
    if (instance->long_running)
        worker->pool->long_running--;
    if (instance->associated)
        object->busy--;
    tp_wake_waiters();
    bool last = tp_put(object);
    tp_unlock();
    if (last)
        tp_destroy(object);
    ke_live_release();
}

static void run(struct tp_worker *worker)
{
    struct tp_instance *instance = &worker->instance;
    struct ldr_module *module = hold_module(&instance->object->environment);
    call(instance, instance->object);
    do_after(&instance->after);
    tp_repeat(instance->object);
    stop_running(worker);
    if (module)
        ldr_unload(module, NULL);
}

/* Runs at the end of its thread in any case: a callback may have ended it (ExitThread). */
static void worker_gone(void *parameter)
{
    struct tp_worker *worker = parameter;
    struct tp_pool *pool = worker->pool;
    if (worker->instance.object)
        stop_running(worker);
    tp_lock();
    pool->threads--;
    if (!pool->references && !pool->threads)
        free_pool(pool);
    tp_clock_kick(); /* it may have been the last one, with work left */
    tp_unlock();
    free(worker);
}

static uint32_t WINAPI_DEF worker_main(void *parameter)
{
    struct tp_worker *worker = parameter;
    ke_thread_background();
    pthread_setspecific(worker_key, worker);
    tp_lock();
    while (next_callback(worker)) {
        tp_unlock();
        run(worker);
        tp_lock();
    }
    tp_unlock();
    return 0;
}

static void make_key(void)
{
    pthread_key_create(&worker_key, worker_gone);
}

bool tp_worker_start(struct tp_pool *pool, bool beyond)
{
    struct ob_object *thread;
    pthread_once(&key_once, make_key);
    tp_lock();
    bool wanted = beyond ? pool->threads < pool->maximum : tp_pool_wants_worker(pool);
    pool->threads += wanted;
    tp_unlock();
    if (!wanted)
        return true;
    struct tp_worker *worker = calloc(1, sizeof(*worker));
    if (worker)
        worker->pool = pool;
    /* With a size: the default would have to ask the loader, which a DllMain may hold that waits
     * for this thread. */
    if (worker && nt_ok(ke_thread_create(worker_main, worker, STACK, false, &thread, NULL, NULL))) {
        ob_object_unref(thread);
        return true;
    }
    free(worker);
    tp_lock();
    pool->threads--;
    tp_unlock();
    return false;
}

/* ---- a callback about itself -------------------------------------------------------------------
 */

void tp_disassociate(struct tp_instance *instance)
{
    tp_lock();
    if (instance->associated)
        instance->object->busy--;
    instance->associated = false;
    tp_wake_waiters();
    tp_unlock();
}

nt_status tp_may_run_long(struct tp_instance *instance)
{
    struct tp_pool *pool = instance->object->environment.Pool;
    tp_lock();
    if (!instance->long_running)
        pool->long_running++;
    instance->long_running = true;
    bool available = pool->idle || pool->threads < pool->maximum;
    tp_unlock();
    if (available)
        tp_worker_start(pool, false);
    return available ? STATUS_SUCCESS : (nt_status)STATUS_TOO_MANY_THREADS;
}
