/*
 * Waitable timers. One service thread, started by the first timer that is set or shared, sleeps
 * until the earliest is due. A completion routine is a procedure call queued to the thread that set
 * the timer.
 *
 * When a timer is due is part of its state, which may be shared with other processes
 * (ob/sync_object.h): each of them has a service that looks at it, and one of them expires it.
 */
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "loader/ke/apc.h"
#include "loader/ke/futex.h"
#include "loader/ob/bell.h"
#include "loader/ob/sync_object.h"
#include "loader/win32/errors.h"
#include "loader/win32/hosttime.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"
#include "loader/win32/waitable.h"

enum { CREATE_WAITABLE_TIMER_MANUAL_RESET = 1 };
enum { TIMER_ALL_ACCESS = 0x1F0003, MODIFY_STATE = 2 };

/* What is not in the state is this process's, under the wait lock. */
struct timer {
    struct ob_sync sync;
    struct timer *next; /* in the list of those that the service looks at */
    bool tracked;
    /* The routine that a thread of this process has set. */
    struct ob_object *thread; /* that it is for; a reference, NULL = no routine */
    struct ke_apc apc;        /* arguments[0] is the program's, the others the time of expiry */
    uint64_t apc_due, apc_period;
    uint32_t apc_generation; /* it belongs to this setting of the timer */
};

static struct timer *tracked;
static uint32_t generation; /* futex word: the list has changed */
static bool on_bell;        /* the service sleeps on the bell */

static uint64_t now_milliseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* ---- the list -----------------------------------------------------------------------------------
 */

static void track(struct timer *timer)
{
    if (timer->tracked)
        return;
    timer->tracked = true;
    timer->next = tracked;
    tracked = timer;
}

static void untrack(struct timer *timer)
{
    if (!timer->tracked)
        return;
    struct timer **link = &tracked;
    while (*link != timer)
        link = &(*link)->next;
    *link = timer->next;
    timer->tracked = false;
}

/* Takes the routine away; the caller drops the reference, which is not done under the lock. */
static struct ob_object *take_routine(struct timer *timer)
{
    struct ob_object *thread = timer->thread;
    if (thread)
        ke_apc_remove_locked(thread, &timer->apc);
    timer->thread = NULL;
    timer->apc_due = OB_TIMER_NEVER;
    return thread;
}

static void drop(struct ob_object *thread)
{
    if (thread)
        ob_object_unref(thread);
}

/* ---- the service --------------------------------------------------------------------------------
 */

static uint64_t due_of(const struct timer *timer)
{
    return __atomic_load_n(&timer->sync.state->due, __ATOMIC_SEQ_CST);
}

static uint64_t next_due(uint64_t now, uint64_t period)
{
    return period && period <= INT32_MAX ? now + period : OB_TIMER_NEVER;
}

/* A shared timer is expired by the first of its processes that gets to it. True when this did. */
static bool expire(struct timer *timer, uint64_t now)
{
    struct ob_sync_state *state = timer->sync.state;
    uint64_t due = due_of(timer);
    uint64_t period = __atomic_load_n(&state->period, __ATOMIC_SEQ_CST);
    if (due > now || !__atomic_compare_exchange_n(&state->due, &due, next_due(now, period), false,
                                                  __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
        return false;
    __atomic_or_fetch(&state->word, OB_EVENT_SET, __ATOMIC_SEQ_CST);
    return true;
}

/* A routine that has not run since the last expiry is not queued twice. */
static void run_routine(struct timer *timer, uint64_t now)
{
    if (timer->apc_generation !=
        __atomic_load_n(&timer->sync.state->generation, __ATOMIC_SEQ_CST)) {
        if (timer->thread) /* another process has set the timer since */
            ke_apc_remove_locked(timer->thread, &timer->apc);
        timer->apc_due = OB_TIMER_NEVER;
    }
    if (!timer->thread || timer->apc_due > now)
        return;
    timer->apc_due = next_due(now, timer->apc_period);
    if (timer->apc.queued)
        return;
    int64_t time = win32_now();
    timer->apc.arguments[1] = (DWORD)time;
    timer->apc.arguments[2] = (DWORD)((uint64_t)time >> 32);
    ke_apc_queue_locked(timer->thread, &timer->apc);
}

struct round {
    uint64_t next; /* when the service has to look again */
    bool fired, fired_shared, shared;
};

/* Signals what is due. Wait lock held. */
static struct round run_due_timers(void)
{
    struct round round = {.next = OB_TIMER_NEVER};
    uint64_t now = now_milliseconds();
    for (struct timer *timer = tracked, *following; timer; timer = following) {
        following = timer->next;
        bool shared = timer->sync.record != NULL, fired = expire(timer, now);
        run_routine(timer, now);
        round.fired = round.fired || fired;
        round.fired_shared = round.fired_shared || (fired && shared);
        round.shared = round.shared || shared;
        uint64_t due = due_of(timer);
        due = timer->apc_due < due ? timer->apc_due : due;
        round.next = due < round.next ? due : round.next;
        if (due >= OB_TIMER_NEVER && !shared)
            untrack(timer);
    }
    if (round.fired)
        ob_wait_wake();
    return round;
}

/* Milliseconds; the bell is looked at once a second at least (ob/wait.c). */
static DWORD pause_until(const struct round *round)
{
    uint64_t now = now_milliseconds();
    uint64_t left = round->next > now ? round->next - now : 0;
    if (round->shared && left > 1000)
        return 1000;
    return round->next == OB_TIMER_NEVER ? OB_INFINITE
           : left < OB_INFINITE          ? (DWORD)left
                                         : OB_INFINITE - 1;
}

static void *serve(void *unused)
{
    (void)unused;
    for (;;) {
        struct ke_deadline storage;
        uint32_t rung = ob_bell_read();
        ob_wait_lock();
        uint32_t seen = __atomic_load_n(&generation, __ATOMIC_ACQUIRE);
        struct round round = run_due_timers();
        on_bell = round.shared;
        ob_wait_unlock();
        if (round.fired_shared)
            ob_bell_ring();
        DWORD pause = pause_until(&round);
        if (round.shared)
            ob_bell_sleep(rung, (int64_t)pause * 1000000);
        else
            ke_futex_wait(&generation, seen, KE_FUTEX_ANYONE, ke_deadline_after(pause, &storage));
    }
    return NULL;
}

/* After a change: the service looks again. Wait lock held. */
static void poke(void)
{
    __atomic_add_fetch(&generation, 1, __ATOMIC_RELEASE);
    ke_futex_wake(&generation, 1, KE_FUTEX_ANYONE);
    if (on_bell)
        ob_bell_ring();
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

static bool need_service(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, start_service);
    return service_runs;
}

/* ---- the type -----------------------------------------------------------------------------------
 */

static void destroy(struct ob_object *object)
{
    struct timer *timer = (struct timer *)object;
    ob_wait_lock();
    untrack(timer);
    struct ob_object *thread = take_routine(timer);
    ob_wait_unlock();
    drop(thread);
    ob_sync_destroy(object);
}

static const struct ob_type timer_type = {
    .name = "Timer",
    .destroy = destroy,
    .signaled = ob_flag_signaled,
    .take = ob_flag_take,
    .give_back = ob_flag_give_back,
    .shared = ob_sync_is_shared,
};

/* Others may set it at any time: as long as this process has it, it is looked at. */
static void begin_sharing(struct timer *timer)
{
    need_service();
    ob_wait_lock();
    track(timer);
    poke();
    ob_wait_unlock();
}

static nt_status attach(struct ob_record *record, struct ob_object **out, struct pe_error *err)
{
    nt_status status = ob_sync_attach(&timer_type, sizeof(struct timer), record, out, err);
    if (!nt_ok(status))
        return status;
    ((struct timer *)*out)->apc_due = OB_TIMER_NEVER;
    begin_sharing((struct timer *)*out);
    return status;
}

static const struct ob_record_type timer_record = {&timer_type, OB_TYPE_TIMER, attach,
                                                   ob_sync_record};

static nt_status pack(struct ob_object *object, struct ob_parcel *parcel, struct pe_error *err)
{
    nt_status status = ob_sync_pack(object, &timer_record, parcel, err);
    if (nt_ok(status))
        begin_sharing((struct timer *)object);
    return status;
}

static nt_status unpack(const struct ob_parcel *parcel, struct ob_object **out,
                        struct pe_error *err)
{
    ob_bell_open(NULL);
    return ob_record_unpack(parcel, &timer_record, out, err);
}

void win32_timer_register(void)
{
    static const struct ob_courier courier = {pack, unpack};
    ob_courier_register(OB_TYPE_TIMER, &timer_type, &courier);
}

/* ---- functions ----------------------------------------------------------------------------------
 */

static HANDLE WINAPI_DEF k32_CreateWaitableTimerExW(const SECURITY_ATTRIBUTES *attributes,
                                                    const WCHAR *name, DWORD flags, DWORD access)
{
    const struct ob_sync_state state = {
        .word = flags & CREATE_WAITABLE_TIMER_MANUAL_RESET ? OB_EVENT_MANUAL : 0,
        .due = OB_TIMER_NEVER,
    };
    struct ob_name wanted;
    struct ob_object *timer = NULL;
    bool global;
    nt_status status = ob_name_parse(name, &wanted, &global);
    if (nt_ok(status))
        status = ob_sync_create_named(&wanted, global, &timer_record, &state, sizeof(struct timer),
                                      &timer, NULL);
    if (status == STATUS_SUCCESS)
        ((struct timer *)timer)->apc_due = OB_TIMER_NEVER;
    return win32_created(status, timer, access, attributes);
}

static HANDLE WINAPI_DEF k32_CreateWaitableTimerExA(const SECURITY_ATTRIBUTES *attributes,
                                                    const char *name, DWORD flags, DWORD access)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_CreateWaitableTimerExW(attributes, wide, flags, access);
    free(wide);
    return handle;
}

static HANDLE WINAPI_DEF k32_CreateWaitableTimerW(const SECURITY_ATTRIBUTES *attributes,
                                                  BOOL manual_reset, const WCHAR *name)
{
    return k32_CreateWaitableTimerExW(attributes, name, manual_reset != 0, TIMER_ALL_ACCESS);
}

static HANDLE WINAPI_DEF k32_CreateWaitableTimerA(const SECURITY_ATTRIBUTES *attributes,
                                                  BOOL manual_reset, const char *name)
{
    return k32_CreateWaitableTimerExA(attributes, name, manual_reset != 0, TIMER_ALL_ACCESS);
}

static HANDLE WINAPI_DEF k32_OpenWaitableTimerW(DWORD access, BOOL inherit, const WCHAR *name)
{
    return win32_open_handle(&timer_record, name, access, inherit);
}

static HANDLE WINAPI_DEF k32_OpenWaitableTimerA(DWORD access, BOOL inherit, const char *name)
{
    return win32_open_handle_a(&timer_record, name, access, inherit);
}

/* What others see of a setting: a new one, not signaled. Returns its number. Wait lock held. */
static uint32_t set_state(struct ob_sync_state *state, uint64_t due, uint64_t period)
{
    uint32_t number = __atomic_add_fetch(&state->generation, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&state->period, period, __ATOMIC_SEQ_CST);
    __atomic_and_fetch(&state->word, ~OB_EVENT_SET, __ATOMIC_SEQ_CST);
    __atomic_store_n(&state->due, due, __ATOMIC_SEQ_CST);
    return number;
}

static void activate(struct timer *timer, const int64_t *due, LONG period, const void *routine,
                     void *argument)
{
    struct ob_object *thread = routine ? ke_thread_current() : NULL;
    uint64_t at = now_milliseconds() + win32_timeout(due);
    ob_wait_lock();
    struct ob_object *before = take_routine(timer);
    timer->thread = thread;
    timer->apc =
        (struct ke_apc){.function = routine, .count = 3, .arguments = {(uintptr_t)argument, 0, 0}};
    timer->apc_due = thread ? at : OB_TIMER_NEVER;
    timer->apc_period = (uint64_t)period;
    timer->apc_generation = set_state(timer->sync.state, at, (uint64_t)period);
    bool shared = timer->sync.record != NULL;
    track(timer);
    poke();
    ob_wait_unlock();
    if (shared)
        ob_bell_ring();
    drop(before);
}

static BOOL WINAPI_DEF k32_SetWaitableTimer(HANDLE handle, const int64_t *due, LONG period,
                                            void *routine, void *argument, BOOL resume)
{
    struct ob_object *timer;
    if (period < 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    nt_status status = win32_typed(handle, &timer_type, MODIFY_STATE, &timer);
    if (!nt_ok(status))
        return win32_result(status);
    bool served = need_service();
    if (served)
        activate((struct timer *)timer, due, period, routine, argument);
    ob_object_unref(timer);
    return served || win32_fail(ERROR_NO_SYSTEM_RESOURCES);
}

static BOOL WINAPI_DEF k32_SetWaitableTimerEx(HANDLE handle, const int64_t *due, LONG period,
                                              void *routine, void *argument, void *wake_context,
                                              ULONG tolerable_delay)
{
    return k32_SetWaitableTimer(handle, due, period, routine, argument, FALSE);
}

/* A timer that is signaled stays so. */
static BOOL WINAPI_DEF k32_CancelWaitableTimer(HANDLE handle)
{
    struct ob_object *object;
    nt_status status = win32_typed(handle, &timer_type, MODIFY_STATE, &object);
    if (!nt_ok(status))
        return win32_result(status);
    struct timer *timer = (struct timer *)object;
    ob_wait_lock();
    __atomic_add_fetch(&timer->sync.state->generation, 1, __ATOMIC_SEQ_CST);
    __atomic_store_n(&timer->sync.state->due, OB_TIMER_NEVER, __ATOMIC_SEQ_CST);
    struct ob_object *thread = take_routine(timer);
    bool shared = timer->sync.record != NULL;
    ob_wait_unlock();
    if (shared)
        ob_bell_ring(); /* a routine of another process is not called any more */
    drop(thread);
    ob_object_unref(object);
    return TRUE;
}

const struct ldr_builtin_export kernel32_timer_exports[] = {
    LDR_FN(k32_, CreateWaitableTimerExW), LDR_FN(k32_, CreateWaitableTimerExA),
    LDR_FN(k32_, CreateWaitableTimerW),   LDR_FN(k32_, OpenWaitableTimerA),
    LDR_FN(k32_, CreateWaitableTimerA),   LDR_FN(k32_, OpenWaitableTimerW),
    LDR_FN(k32_, SetWaitableTimer),       LDR_FN(k32_, SetWaitableTimerEx),
    LDR_FN(k32_, CancelWaitableTimer),
};
const size_t kernel32_timer_count =
    sizeof(kernel32_timer_exports) / sizeof(*kernel32_timer_exports);
