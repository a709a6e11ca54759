/*
 * Stopping threads (see suspend.h).
 *
 * The signal: counted down from SIGRTMAX, because programs and runtimes count up from SIGRTMIN;
 * the first one that has the default action. Nobody but this file and the timer of later.c sends
 * it; one that comes from elsewhere finds nothing to do.
 */
#include "loader/ke/suspend.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/futex.h"
#include "loader/ke/later.h"
#include "loader/ke/probe.h"
#include "loader/ke/ucontext.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/imagemap.h"
#include "loader/stack.h"

/* ke_thread_object.stopped */
enum { RUNS, STOPPED, LOOKED_AT };
/* ke_thread_object.end */
enum { LIVES, TOLD_TO_END, ENDS };

static int stop_signal;

#ifdef __x86_64__
#define REGISTER_IP REG_RIP
#define REGISTER_SP REG_RSP
#define RED_ZONE    128
#else
#define REGISTER_IP REG_EIP
#define REGISTER_SP REG_ESP
#define RED_ZONE    0
#endif

static uint32_t load(const uint32_t *word)
{
    return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static bool is_suspended(const struct ke_thread_object *object)
{
    return __atomic_load_n(&object->suspend_count, __ATOMIC_ACQUIRE) > 0 &&
           load(&object->end) == LIVES;
}

static bool has_finished(const struct ke_thread_object *object)
{
    return __atomic_load_n(&object->finished, __ATOMIC_ACQUIRE);
}

/* ---- on the thread that stops ------------------------------------------------------------------
 */

/* Stays as long as the thread is suspended; `host` is what others see and change meanwhile. */
static void stay(struct ke_thread_object *object, ucontext_t *host)
{
    uint32_t state = STOPPED;
    object->context = host;
    __atomic_store_n(&object->force, false, __ATOMIC_RELAXED);
    __atomic_store_n(&object->stopped, STOPPED, __ATOMIC_RELEASE);
    ke_futex_wake(&object->stopped, INT_MAX, KE_FUTEX_ANYONE);
    while (is_suspended(object)) {
        int32_t count = __atomic_load_n(&object->suspend_count, __ATOMIC_ACQUIRE);
        if (count > 0 && load(&object->end) == LIVES)
            ke_futex_wait_raw(&object->suspend_count, (uint32_t)count, KE_FUTEX_ANYONE, NULL);
    }
    while (!__atomic_compare_exchange_n(&object->stopped, &state, RUNS, false, __ATOMIC_ACQ_REL,
                                        __ATOMIC_ACQUIRE)) {
        ke_futex_wait_raw(&object->stopped, state, KE_FUTEX_ANYONE, NULL);
        state = STOPPED;
    }
}

/* The rest of a terminated thread: everything below its gate is abandoned. */
STACK_JUMPER static void end(void)
{
    struct ke_thread_object *object = ke_current->object;
    struct ldr_gate *gate = ldr_gate_of_kind(LDR_GATE_THREAD);
    __atomic_store_n(&object->end, ENDS, __ATOMIC_RELEASE);
    ob_asleep = false;
    if (!gate) /* its way out has begun already */
        return;
    ke_unwind_chain(gate->low);
    ldr_gate_leave(gate, object->end_code);
}

STACK_JUMPER static void end_here(void)
{
    end();
    __builtin_unreachable();
}

/* Makes the interrupted code call end(), on its own stack where that is the thread's. */
static void divert(ucontext_t *host)
{
    enum { ROOM = 16384 };
    greg_t *registers = host->uc_mcontext.gregs;
    const struct ke_teb *teb = ke_current->teb;
    const struct ldr_gate *gate = ldr_gate_of_kind(LDR_GATE_THREAD);
    uintptr_t sp = (uintptr_t)registers[REGISTER_SP] - RED_ZONE;
    uintptr_t low = (uintptr_t)teb->DeallocationStack + ROOM, high = (uintptr_t)teb->StackBase;
    if (!gate) {
        __atomic_store_n(&ke_current->object->end, ENDS, __ATOMIC_RELEASE);
        return;
    }
    if (sp < low || sp > high)
        sp = gate->saved[0] - 256;
    registers[REGISTER_SP] = (greg_t)((sp & ~(uintptr_t)15) - sizeof(void *));
    registers[REGISTER_IP] = (greg_t)(uintptr_t)end_here;
    registers[REG_EFL] &= ~(greg_t)0x400; /* the direction flag */
}

/*
 * The interrupted system call begins anew when the handler returns: the thread was blocked in it.
 * In those that do no lock of malloc() or of the dynamic linker is held; a futex may be a lock.
 */
static bool is_blocked(const ucontext_t *host)
{
#ifdef __x86_64__
    static const uint8_t instruction[] = {0x0F, 0x05}; /* syscall */
    const greg_t number = host->uc_mcontext.gregs[REG_RAX];
#else
    static const uint8_t instruction[] = {0xCD, 0x80}; /* int 0x80, of the vDSO too */
    const greg_t number = host->uc_mcontext.gregs[REG_EAX];
#endif
    uint8_t
        at[sizeof instruction]; /* a jump may have led nowhere, and the fault be still to come */
    return ke_probe(at, (uintptr_t)host->uc_mcontext.gregs[REGISTER_IP], sizeof at) &&
           memcmp(at, instruction, sizeof instruction) == 0 && number != SYS_futex;
}

static void on_signal(int number, siginfo_t *info, void *opaque)
{
    ucontext_t *host = opaque;
    if (!ke_current)
        return;
    struct ke_thread_object *object = ke_current->object;
    int saved = errno;
    bool asleep = ob_asleep;
    bool in_image = ldr_image_at((uintptr_t)host->uc_mcontext.gregs[REGISTER_IP], NULL);
    if (ke_later_waits() && (asleep || in_image || is_blocked(host)))
        ke_later_now();
    if (asleep || in_image || __atomic_load_n(&object->force, __ATOMIC_RELAXED)) {
        while (is_suspended(object))
            stay(object, host);
        /* A wait ends by itself, because its record has to be taken back. */
        if (!asleep && load(&object->end) == TOLD_TO_END)
            divert(host);
    }
    errno = saved;
}

void ke_suspend_init(void)
{
    /* On the alternate stack: runtimes run image code on stacks too small for a signal frame. */
    struct sigaction action = {.sa_sigaction = on_signal,
                               .sa_flags = SA_SIGINFO | SA_RESTART | SA_ONSTACK};
    struct sigaction before;
    for (int number = SIGRTMAX - 3; number > SIGRTMIN && !stop_signal; number--)
        if (sigaction(number, NULL, &before) == 0 && !(before.sa_flags & SA_SIGINFO) &&
            before.sa_handler == SIG_DFL && sigaction(number, &action, NULL) == 0)
            stop_signal = number;
}

int ke_suspend_signal(void)
{
    return stop_signal;
}

void ke_suspend_unblock(void)
{
    sigset_t set;
    sigemptyset(&set);
    if (stop_signal) {
        sigaddset(&set, stop_signal);
        pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    }
}

/* This thread at a place that it has chosen itself. */
static void stop_self(struct ke_thread_object *object)
{
    bool before = ob_asleep;
    ob_asleep = true;
    syscall(SYS_tgkill, getpid(), (pid_t)object->id, stop_signal);
    ob_asleep = before;
    ke_thread_end_if_told();
}

void ke_suspend_begin(void)
{
    __atomic_store_n(&ke_current->object->suspend_count, 1, __ATOMIC_RELEASE);
}

bool ke_suspend_at_start(struct ke_thread_object *object, struct ke_context *initial)
{
    object->initial = initial;
    while (is_suspended(object))
        stay(object, NULL);
    object->initial = NULL;
    return load(&object->end) == LIVES;
}

bool ke_suspend_has_ended(const struct ke_thread_object *object)
{
    return load(&object->end) != LIVES;
}

void ke_suspend_end_forgotten(struct ke_thread_object *object)
{
    __atomic_store_n(&object->may_end, false, __ATOMIC_RELEASE);
    ob_wait_lock();
    object->wait.ending = false;
    __atomic_store_n(&object->end, LIVES, __ATOMIC_RELEASE);
    ob_wait_unlock();
}

bool ke_thread_told_to_end(void)
{
    return ke_current && load(&ke_current->object->end) == TOLD_TO_END;
}

void ke_thread_end_if_told(void)
{
    if (ke_thread_told_to_end())
        end();
}

/* ---- on the thread that asks -------------------------------------------------------------------
 */

/* The record is on the list as long as its thread can get signals. */
static void send_signal(const struct ke_thread_object *object)
{
    ke_threads_lock();
    for (struct ke_thread *t = ke_threads_next(NULL); t; t = ke_threads_next(t))
        if (t->object == object)
            syscall(SYS_tgkill, getpid(), (pid_t)object->id, stop_signal);
    ke_threads_unlock();
}

struct patience {
    int64_t until, pause; /* ns */
};

static int64_t now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

/* Asks the thread once more and sleeps on `word`, longer each time. */
static void ask(struct ke_thread_object *object, struct patience *patience, const uint32_t *word,
                uint32_t expected)
{
    int64_t time = now();
    if (!patience->until)
        *patience = (struct patience){time + KE_STOP_PATIENCE * INT64_C(1000000), 50000};
    if (time > patience->until)
        __atomic_store_n(&object->force, true, __ATOMIC_RELAXED);
    send_signal(object);
    time += patience->pause;
    patience->pause += patience->pause < 5000000 ? patience->pause : 0;
    const struct ke_deadline deadline = {(long)(time / 1000000000), (long)(time % 1000000000)};
    ke_futex_wait(word, expected, KE_FUTEX_ANYONE, &deadline);
}

static void wait_until_stopped(struct ke_thread_object *object)
{
    struct patience patience = {0, 0};
    if (ke_current && ke_current->object == object) {
        stop_self(object);
        return;
    }
    while (is_suspended(object) && !has_finished(object) && load(&object->stopped) == RUNS)
        ask(object, &patience, &object->stopped, RUNS);
}

/* Changes the count unless it is at `limit`, and returns what it was. */
static int32_t change_count(struct ke_thread_object *object, int32_t limit, int32_t by)
{
    int32_t count = __atomic_load_n(&object->suspend_count, __ATOMIC_ACQUIRE);
    while (count != limit &&
           !__atomic_compare_exchange_n(&object->suspend_count, &count, count + by, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE))
        ;
    return count;
}

nt_status ke_thread_suspend(struct ob_object *thread, uint32_t *previous_count)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    if (has_finished(object))
        return KE_STATUS_THREAD_IS_TERMINATING;
    int32_t count = change_count(object, KE_SUSPEND_MAXIMUM, 1);
    if (count == KE_SUSPEND_MAXIMUM)
        return KE_STATUS_SUSPEND_COUNT_EXCEEDED;
    if (previous_count)
        *previous_count = (uint32_t)count;
    wait_until_stopped(object);
    return STATUS_SUCCESS;
}

nt_status ke_thread_resume(struct ob_object *thread, uint32_t *previous_count)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    int32_t count = change_count(object, 0, -1);
    ke_futex_wake(&object->suspend_count, INT_MAX, KE_FUTEX_ANYONE);
    if (previous_count)
        *previous_count = (uint32_t)count;
    return STATUS_SUCCESS;
}

/* ---- contexts ----------------------------------------------------------------------------------
 */

/* Stops the thread, once more if need be, and keeps it from going on. */
static bool take(struct ke_thread_object *object)
{
    change_count(object, INT32_MAX, 1);
    wait_until_stopped(object);
    uint32_t state = STOPPED;
    while (!__atomic_compare_exchange_n(&object->stopped, &state, LOOKED_AT, false,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
        if (state == RUNS) {
            if (!is_suspended(object) || has_finished(object))
                return false;
            wait_until_stopped(object);
        } else {
            ke_futex_wait(&object->stopped, state, KE_FUTEX_ANYONE, NULL);
        }
        state = STOPPED;
    }
    return true;
}

static void let_go(struct ke_thread_object *object, bool taken)
{
    if (taken) {
        __atomic_store_n(&object->stopped, STOPPED, __ATOMIC_RELEASE);
        ke_futex_wake(&object->stopped, INT_MAX, KE_FUTEX_ANYONE);
    }
    ke_thread_resume(&object->header, NULL);
}

static bool is_self(const struct ke_thread_object *object)
{
    return ke_current && ke_current->object == object;
}

static void put_debug_registers(const struct ke_thread_object *object, struct ke_context *context)
{
    if ((context->ContextFlags & KE_CONTEXT_DEBUG_REGISTERS) == KE_CONTEXT_DEBUG_REGISTERS)
        memcpy(context->Dr, object->debug_registers, sizeof(context->Dr));
}

/* A thread's look at itself: what the call of this function leaves of its registers. */
static void get_own(struct ke_context *context)
{
    static const size_t header = offsetof(struct ke_context, ContextFlags);
    uint32_t flags = context->ContextFlags;
    ke_capture_context(context);
    memcpy((char *)context + header, &flags, sizeof(flags));
}

nt_status ke_thread_get_context(struct ob_object *thread, struct ke_context *context)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    uint32_t flags = context->ContextFlags;
    if (is_self(object)) {
        get_own(context);
        put_debug_registers(object, context);
        return STATUS_SUCCESS;
    }
    if (has_finished(object))
        return STATUS_UNSUCCESSFUL;
    bool taken = take(object);
    if (taken && object->initial) {
        *context = *object->initial;
        context->ContextFlags = flags;
    } else if (taken) {
        ke_context_from_ucontext(context, object->context, flags);
    }
    if (taken)
        put_debug_registers(object, context);
    let_go(object, taken);
    return taken ? STATUS_SUCCESS : STATUS_UNSUCCESSFUL;
}

/* The parts of an initial context that count are few: see start_from() in thread.c. */
static nt_status set_initial(struct ke_context *initial, const struct ke_context *context)
{
    uint32_t flags = context->ContextFlags;
    if ((flags & KE_CONTEXT_CONTROL) == KE_CONTEXT_CONTROL)
        KE_CONTEXT_PC(initial) = KE_CONTEXT_PC(context);
    if ((flags & KE_CONTEXT_INTEGER) == KE_CONTEXT_INTEGER) {
#ifdef __x86_64__
        initial->Rcx = context->Rcx;
        initial->Rdx = context->Rdx;
#else
        initial->Eax = context->Eax;
        initial->Ebx = context->Ebx;
#endif
    }
    return STATUS_SUCCESS;
}

static nt_status set_stopped(ucontext_t *host, const struct ke_context *context)
{
    const greg_t *registers = host->uc_mcontext.gregs;
    uintptr_t pc = (uintptr_t)registers[REGISTER_IP], sp = (uintptr_t)registers[REGISTER_SP];
    if (ldr_image_at(pc, NULL)) {
        ke_context_to_ucontext(context, host);
        return STATUS_SUCCESS;
    }
    bool moves = (context->ContextFlags & KE_CONTEXT_CONTROL) == KE_CONTEXT_CONTROL &&
                 (KE_CONTEXT_PC(context) != pc || KE_CONTEXT_SP(context) != sp);
    return moves ? STATUS_UNSUCCESSFUL : STATUS_SUCCESS;
}

nt_status ke_thread_set_context(struct ob_object *thread, const struct ke_context *context)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    if ((context->ContextFlags & KE_CONTEXT_DEBUG_REGISTERS) == KE_CONTEXT_DEBUG_REGISTERS)
        memcpy(object->debug_registers, context->Dr, sizeof(context->Dr));
    if (is_self(object)) {
        if ((context->ContextFlags & KE_CONTEXT_CONTROL) == KE_CONTEXT_CONTROL)
            ke_continue(context);
        return STATUS_SUCCESS;
    }
    if (has_finished(object))
        return STATUS_UNSUCCESSFUL;
    nt_status status = STATUS_UNSUCCESSFUL;
    bool taken = take(object);
    if (taken)
        status = object->initial ? set_initial(object->initial, context)
                                 : set_stopped(object->context, context);
    let_go(object, taken);
    return status;
}

/* ---- termination -------------------------------------------------------------------------------
 */

static void end_self(struct ke_thread_object *object, uint32_t code)
{
    object->end_code = code;
    __atomic_store_n(&object->end, TOLD_TO_END, __ATOMIC_RELEASE);
    end();
    ke_thread_exit(code); /* a host's thread: it is its own to end */
}

nt_status ke_thread_terminate(struct ob_object *thread, uint32_t code)
{
    struct ke_thread_object *object = (struct ke_thread_object *)thread;
    struct patience patience = {0, 0};
    uint32_t lives = LIVES;
    if (has_finished(object))
        return STATUS_SUCCESS;
    if (is_self(object))
        end_self(object, code);
    if (!__atomic_load_n(&object->may_end, __ATOMIC_ACQUIRE))
        return STATUS_ACCESS_DENIED;
    ob_wait_lock(); /* for a wait that it is in */
    if (load(&object->end) == LIVES)
        object->end_code = code;
    object->wait.ending = true;
    bool first = __atomic_compare_exchange_n(&object->end, &lives, TOLD_TO_END, false,
                                             __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE);
    ob_wait_interrupt(&object->wait);
    ob_wait_unlock();
    ke_futex_wake(&object->suspend_count, INT_MAX, KE_FUTEX_ANYONE); /* it may be suspended */
    int64_t last = now() + 10 * KE_STOP_PATIENCE * INT64_C(1000000);
    while (first && load(&object->end) == TOLD_TO_END && !has_finished(object) && now() < last)
        ask(object, &patience, &object->end, TOLD_TO_END);
    return STATUS_SUCCESS;
}
