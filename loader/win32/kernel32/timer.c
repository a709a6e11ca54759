/*
 * Waitable timers. One service thread, started by the first timer that is set, sleeps until the
 * earliest is due. A completion routine is a procedure call queued to the thread that set the
 * timer.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "loader/ke/apc.h"
#include "loader/ke/futex.h"
#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"

enum { CREATE_WAITABLE_TIMER_MANUAL_RESET = 1 };
enum { TIMER_ALL_ACCESS = 0x1F0003, MODIFY_STATE = 2 };
#define NEVER INT64_MAX

/* All under the wait lock. */
struct timer {
    struct ob_object header;
    struct timer *next; /* in the list of active ones */
    int64_t due;        /* monotonic milliseconds, NEVER = inactive */
    int64_t period;     /* milliseconds, 0 = once */
    bool manual_reset, is_signaled;
    struct ob_object *thread; /* that the routine is for; a reference, NULL = no routine */
    struct ke_apc apc;        /* arguments[0] is the program's, the others the time of expiry */
};

static struct timer *active;
static uint32_t generation; /* futex word: the list has changed */

static int64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void deactivate(struct timer *timer)
{
    for (struct timer **link = &active; *link; link = &(*link)->next) {
        if (*link == timer) {
            *link = timer->next;
            break;
        }
    }
    timer->due = NEVER;
}

/* Takes the routine away; the caller drops the reference, which is not done under the lock. */
static struct ob_object *take_routine(struct timer *timer)
{
    struct ob_object *thread = timer->thread;
    if (thread)
        ke_apc_remove_locked(thread, &timer->apc);
    timer->thread = NULL;
    return thread;
}

static void drop(struct ob_object *thread)
{
    if (thread)
        ob_object_unref(thread);
}

static void destroy(struct ob_object *object)
{
    ob_wait_lock();
    deactivate((struct timer *)object);
    struct ob_object *thread = take_routine((struct timer *)object);
    ob_wait_unlock();
    drop(thread);
}

static bool signaled(struct ob_object *object, uint32_t thread_id)
{
    return ((struct timer *)object)->is_signaled;
}

static bool acquired(struct ob_object *object, uint32_t thread_id)
{
    struct timer *timer = (struct timer *)object;
    timer->is_signaled = timer->manual_reset;
    return false;
}

static const struct ob_type timer_type = {
    .name = "Timer",
    .destroy = destroy,
    .signaled = signaled,
    .acquired = acquired,
};

/* A routine that has not run since the last expiry is not queued twice. */
static void expire(struct timer *timer)
{
    int64_t time = win32_now();
    timer->is_signaled = true;
    if (!timer->thread || timer->apc.queued)
        return;
    timer->apc.arguments[1] = (DWORD)time;
    timer->apc.arguments[2] = (DWORD)((uint64_t)time >> 32);
    ke_apc_queue_locked(timer->thread, &timer->apc);
}

/* Signals what is due; returns the milliseconds until the next one, 0xFFFFFFFF when there is none.
 */
static DWORD run_due_timers(void)
{
    int64_t now = now_milliseconds(), next = NEVER;
    bool fired = false;
    for (struct timer *timer = active, *following; timer; timer = following) {
        following = timer->next;
        if (timer->due <= now) {
            expire(timer);
            fired = true;
            if (timer->period)
                timer->due = now + timer->period;
            else
                deactivate(timer);
        }
        if (timer->due < next)
            next = timer->due;
    }
    if (fired)
        ob_wait_wake();
    if (next == NEVER)
        return OB_INFINITE;
    return next - now < OB_INFINITE ? (DWORD)(next - now) : OB_INFINITE - 1;
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        struct ke_deadline storage;
        ob_wait_lock();
        uint32_t seen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
        DWORD pause = run_due_timers();
        ob_wait_unlock();
        ke_futex_wait(&generation, seen, KE_FUTEX_ANYONE, ke_deadline_after(pause, &storage));
    }
    return NULL;
}

static bool service_runs;

static void start_service(void)
{
    pthread_t thread;
    sigset_t all, before;
    sigfillset(&all); /* the host's signals are none of its business */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    service_runs = pthread_create(&thread, NULL, serve, NULL) == 0;
    if (service_runs)
        pthread_detach(thread);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

static HANDLE WINAPI_DEF k32_CreateWaitableTimerExW(const SECURITY_ATTRIBUTES *attributes,
                                                    const WCHAR *name, DWORD flags, DWORD access)
{
    struct timer *timer = ob_object_create(&timer_type, sizeof(*timer));
    if (timer) {
        timer->manual_reset = flags & CREATE_WAITABLE_TIMER_MANUAL_RESET;
        timer->due = NEVER;
    }
    return win32_create_handle(timer ? &timer->header : NULL, name, access, attributes);
}

static HANDLE WINAPI_DEF k32_CreateWaitableTimerW(const SECURITY_ATTRIBUTES *attributes,
                                                  BOOL manual_reset, const WCHAR *name)
{
    return k32_CreateWaitableTimerExW(attributes, name, manual_reset != 0, TIMER_ALL_ACCESS);
}

static HANDLE WINAPI_DEF k32_CreateWaitableTimerA(const SECURITY_ATTRIBUTES *attributes,
                                                  BOOL manual_reset, const char *name)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_CreateWaitableTimerW(attributes, manual_reset, wide);
    free(wide);
    return handle;
}

static HANDLE WINAPI_DEF k32_OpenWaitableTimerW(DWORD access, BOOL inherit, const WCHAR *name)
{
    return win32_open_handle(&timer_type, name, access, inherit);
}

static void activate(struct timer *timer, const int64_t *due, LONG period, const void *routine,
                     void *argument)
{
    struct ob_object *thread = routine ? ke_thread_current() : NULL;
    ob_wait_lock();
    deactivate(timer);
    struct ob_object *before = take_routine(timer);
    timer->thread = thread;
    timer->apc =
        (struct ke_apc){.function = routine, .count = 3, .arguments = {(uintptr_t)argument, 0, 0}};
    timer->is_signaled = false;
    timer->due = now_milliseconds() + win32_timeout(due);
    timer->period = period;
    timer->next = active;
    active = timer;
    __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
    ob_wait_unlock();
    ke_futex_wake(&generation, 1, KE_FUTEX_ANYONE);
    drop(before);
}

static BOOL WINAPI_DEF k32_SetWaitableTimer(HANDLE handle, const int64_t *due, LONG period,
                                            void *routine, void *argument, BOOL resume)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct ob_object *timer;
    if (period < 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    nt_status status = win32_typed(handle, &timer_type, MODIFY_STATE, &timer);
    if (!nt_ok(status))
        return win32_result(status);
    pthread_once(&once, start_service);
    if (service_runs)
        activate((struct timer *)timer, due, period, routine, argument);
    ob_object_unref(timer);
    return service_runs || win32_fail(ERROR_NO_SYSTEM_RESOURCES);
}

static BOOL WINAPI_DEF k32_SetWaitableTimerEx(HANDLE handle, const int64_t *due, LONG period,
                                              void *routine, void *argument, void *wake_context,
                                              ULONG tolerable_delay)
{
    return k32_SetWaitableTimer(handle, due, period, routine, argument, FALSE);
}

static BOOL WINAPI_DEF k32_CancelWaitableTimer(HANDLE handle)
{
    struct ob_object *timer;
    nt_status status = win32_typed(handle, &timer_type, MODIFY_STATE, &timer);
    if (!nt_ok(status))
        return win32_result(status);
    ob_wait_lock();
    deactivate((struct timer *)timer);
    struct ob_object *thread = take_routine((struct timer *)timer);
    ob_wait_unlock();
    drop(thread);
    ob_object_unref(timer);
    return TRUE;
}

const struct ldr_builtin_export kernel32_timer_exports[] = {
    LDR_FN(k32_, CreateWaitableTimerExW), LDR_FN(k32_, CreateWaitableTimerW),
    LDR_FN(k32_, CreateWaitableTimerA),   LDR_FN(k32_, OpenWaitableTimerW),
    LDR_FN(k32_, SetWaitableTimer),       LDR_FN(k32_, SetWaitableTimerEx),
    LDR_FN(k32_, CancelWaitableTimer),
};
const size_t kernel32_timer_count =
    sizeof(kernel32_timer_exports) / sizeof(*kernel32_timer_exports);
