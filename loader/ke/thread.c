/*
 * Threads that images create (CreateThread): host threads that run their start routine under a
 * gate.
 *
 * A suspended start holds the thread before any code of an image runs, so its DLL_THREAD_ATTACH
 * comes with the resume, as on Windows.
 */
#include "loader/ke/thread.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/apc.h"
#include "loader/ke/exception.h"
#include "loader/ke/futex.h"
#include "loader/ke/process.h"
#include "loader/ke/suspend.h"
#include "loader/ldr/gate.h"

/* Under the stack that the image sees: this file's frames, and what glibc keeps for a thread. */
#define HOST_STACK (256u * 1024)

struct start {
    ke_thread_start routine;
    void *parameter;
    struct ke_thread *thread;
    struct ke_stack stack;
    uint32_t id; /* futex word: 0 until the thread runs */
};

static uint32_t live_threads;       /* futex word */
static __thread bool is_background; /* no thread that the process lives for */

static bool thread_signaled(struct ob_object *object, uint32_t thread_id)
{
    return ((struct ke_thread_object *)object)->finished;
}

static void destroy(struct ob_object *object)
{
    ke_apc_drop_all((struct ke_thread_object *)object);
    free(((struct ke_thread_object *)object)->description);
}

const struct ob_type ke_thread_type = {
    .name = "Thread",
    .destroy = destroy,
    .signaled = thread_signaled,
};

static void set_exit_code(struct ke_thread *thread, uint32_t code)
{
    ob_wait_lock();
    thread->object->exit_code = code;
    ob_wait_unlock();
}

void ke_live_hold(void)
{
    __atomic_add_fetch(&live_threads, 1, __ATOMIC_ACQ_REL);
}

void ke_live_release(void)
{
    if (__atomic_sub_fetch(&live_threads, 1, __ATOMIC_ACQ_REL) == 0)
        ke_futex_wake(&live_threads, INT_MAX, KE_FUTEX_ANYONE);
}

void ke_thread_background(void)
{
    if (!is_background)
        ke_live_release();
    is_background = true;
}

void ke_live_threads_wait(void)
{
    uint32_t count;
    while ((count = __atomic_load_n(&live_threads, __ATOMIC_ACQUIRE)) > 0)
        ke_futex_wait(&live_threads, count, KE_FUTEX_ANYONE, NULL);
}

/* Windows starts its threads with x87 rounding to 53 bits; code compiled for it relies on that. */
static void set_x87_precision(void)
{
    const uint16_t control = 0x27F;
    __asm__ volatile("fldcw %0" : : "m"(control));
}

/* Where a new thread's context says it is, as on Windows in RtlUserThreadStart(routine, parameter).
 */
void WINAPI ke_user_thread_start(ke_thread_start routine, void *parameter)
{
    ke_thread_exit(routine(parameter));
}

static struct ke_context initial_context(const struct start *start)
{
    struct ke_context context = {.ContextFlags = KE_CONTEXT_FULL, .EFlags = 0x200};
    KE_CONTEXT_PC(&context) = (uintptr_t)ke_user_thread_start;
    KE_CONTEXT_SP(&context) = (uintptr_t)__builtin_frame_address(0);
#ifdef __x86_64__
    context.Rcx = (uintptr_t)start->routine;
    context.Rdx = (uintptr_t)start->parameter;
#else
    context.Eax = (uintptr_t)start->routine;
    context.Ebx = (uintptr_t)start->parameter;
#endif
    return context;
}

/* Takes over what SetThreadContext has made of it: another routine and parameter, or another place
 * to start at, which gets them. */
static void start_from(const struct ke_context *context, struct start *start)
{
#ifdef __x86_64__
    start->routine = (ke_thread_start)context->Rcx;
    start->parameter = (void *)context->Rdx;
#else
    start->routine = (ke_thread_start)context->Eax;
    start->parameter = (void *)context->Ebx;
#endif
    if (KE_CONTEXT_PC(context) != (uintptr_t)ke_user_thread_start)
        start->routine = (ke_thread_start)KE_CONTEXT_PC(context);
}

static uint32_t WINAPI run_apcs(void *unused)
{
    ke_apc_run();
    return 0;
}

/* The image's part of a thread: procedure calls that came before its start, then its routine. */
static void run_image(struct ke_thread *thread, const struct start *start)
{
    struct ldr_gate gate = {.kind = LDR_GATE_THREAD};
    uint32_t code = 0;
    if (ke_apc_pending(thread->object))
        code = (uint32_t)ldr_gate_run(&gate, (uintptr_t)run_apcs, 0, 0, 0);
    if (!thread->exiting && !ke_thread_told_to_end())
        code = (uint32_t)ldr_gate_run(&gate, (uintptr_t)start->routine, (uintptr_t)start->parameter,
                                      0, 0);
    __atomic_store_n(&thread->object->may_end, false, __ATOMIC_RELEASE);
    if (!ke_suspend_has_ended(thread->object))
        set_exit_code(thread, code);
}

/* A thread that never was: it was terminated before it started, or could not be attached. */
static void end_unstarted(struct ke_thread *thread, uint32_t code)
{
    struct ke_thread_object *object = thread->object;
    ob_wait_lock();
    object->exit_code = code;
    object->finished = true;
    ob_wait_wake();
    ob_wait_unlock();
    ke_thread_record_free(thread);
}

static void run_thread(void *argument)
{
    struct start *shared = argument, start = *shared;
    struct ke_thread *thread = start.thread;
    thread->stack = start.stack;
    struct ke_context initial = initial_context(&start);
    ob_object_ref(&thread->object->header); /* the creator's */
    thread->object->id = thread->object->wait.id = (uint32_t)syscall(SYS_gettid);
    ke_threads_add(thread);
    __atomic_store_n(&shared->id, thread->object->id, __ATOMIC_RELEASE);
    ke_futex_wake(&shared->id, 1, KE_FUTEX_ANYONE); /* `shared` is gone from here on */
    if (!ke_suspend_at_start(thread->object, &initial)) {
        end_unstarted(thread, thread->object->end_code);
        ke_live_release();
        return;
    }
    start_from(&initial, &start);
    nt_status status = ke_thread_adopt(thread, NULL);
    if (nt_ok(status)) {
        ke_thread_enter(NULL);
        set_x87_precision();
        run_image(thread, &start);
        ke_thread_leave();
    } else {
        end_unstarted(thread, (uint32_t)status);
    }
    if (!is_background)
        ke_live_release();
}

static void *thread_main(void *argument)
{
    struct ke_stack stack = ((struct start *)argument)->stack;
    ke_stack_run(&stack, run_thread, argument);
    ke_stack_free(&stack);
    return NULL;
}

static int64_t clock_of(clockid_t id)
{
    struct timespec at = {0};
    clock_gettime(id, &at);
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static int start_thread(struct start *start, uint64_t stack_size)
{
    pthread_t thread;
    pthread_attr_t attributes;
    if (!nt_ok(ke_stack_create(stack_size, &start->stack, NULL)))
        return ENOMEM;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    int error = pthread_attr_setstacksize(&attributes, HOST_STACK);
    if (error == 0)
        error = pthread_create(&thread, &attributes, thread_main, start);
    pthread_attr_destroy(&attributes);
    if (error != 0)
        ke_stack_free(&start->stack);
    return error;
}

nt_status ke_thread_create(ke_thread_start start_routine, void *parameter, uint64_t stack_size,
                           bool suspended, struct ob_object **out, uint32_t *thread_id,
                           struct pe_error *err)
{
    struct start start = {.routine = start_routine, .parameter = parameter};
    nt_status status = ke_thread_record_create(&start.thread, err);
    if (!nt_ok(status))
        return status;
    struct ke_thread_object *object = start.thread->object;
    object->suspend_count = suspended;
    object->may_end = true;
    ke_live_hold();
    object->start = (const void *)start_routine;
    int error = start_thread(&start, stack_size);
    if (error != 0) {
        ke_live_release();
        ke_thread_record_free(start.thread);
        return pe_fail(err, STATUS_INSUFFICIENT_RESOURCES, "a thread could not be created: %s",
                       strerror(error));
    }
    uint32_t id;
    while ((id = __atomic_load_n(&start.id, __ATOMIC_ACQUIRE)) == 0)
        ke_futex_wait(&start.id, 0, KE_FUTEX_ANYONE, NULL);
    if (thread_id)
        *thread_id = id;
    *out = &object->header;
    return STATUS_SUCCESS;
}

/* The clocks of a thread by its number, as clock_getcpuclockid(3) makes them
 * (linux/posix-timers.h): the kernel counts all of a thread's time, and what it spends in user
 * mode. */
static clockid_t thread_clock(uint32_t id, bool user_only)
{
    return (clockid_t)(~id << 3 | 4 | (user_only ? 1u : 0u));
}

static void read_clocks(const struct ke_thread_object *object, struct ke_thread_times *times)
{
    int64_t all = clock_of(thread_clock(object->id, false));
    times->user = clock_of(thread_clock(object->id, true));
    times->kernel = all > times->user ? all - times->user : 0;
}

struct ke_thread_times ke_thread_times_of(struct ke_thread_object *object)
{
    ob_wait_lock();
    struct ke_thread_times times = object->times;
    ob_wait_unlock();
    if (!times.ended && object->id)
        read_clocks(object, &times);
    return times;
}

void ke_thread_times_begin(struct ke_thread_object *object)
{
    object->times.created = clock_of(CLOCK_REALTIME);
}

void ke_thread_times_end(struct ke_thread_object *object)
{
    struct ke_thread_times times = {.created = object->times.created};
    read_clocks(object, &times);
    times.ended = clock_of(CLOCK_REALTIME);
    ob_wait_lock();
    object->times = times;
    ob_wait_unlock();
}

uint32_t ke_thread_exit_code(struct ob_object *thread)
{
    ob_wait_lock();
    uint32_t code = ((struct ke_thread_object *)thread)->exit_code;
    ob_wait_unlock();
    return code;
}

uint32_t ke_thread_id_of(struct ob_object *thread)
{
    return ((struct ke_thread_object *)thread)->id;
}

int32_t *ke_thread_priority_of(struct ob_object *thread)
{
    return &((struct ke_thread_object *)thread)->priority;
}

struct ob_object *ke_thread_current(void)
{
    ke_teb();
    ob_object_ref(&ke_current->object->header);
    return &ke_current->object->header;
}

struct ob_object *ke_thread_by_id(uint32_t id)
{
    struct ob_object *found = NULL;
    ke_threads_lock();
    for (struct ke_thread *t = ke_threads_next(NULL); t && !found; t = ke_threads_next(t))
        if (t->object->id == id)
            found = &t->object->header;
    if (found)
        ob_object_ref(found);
    ke_threads_unlock();
    return found;
}

bool ke_thread_is_last(void)
{
    ke_threads_lock();
    struct ke_thread *first = ke_threads_next(NULL);
    bool last = first && !ke_threads_next(first);
    ke_threads_unlock();
    return last;
}

struct program {
    ke_thread_start start;
    void *parameter;
    uint32_t code;
};

static void run_program(void *argument)
{
    struct program *program = argument;
    struct ldr_gate gate = {.kind = LDR_GATE_THREAD};
    program->code = (uint32_t)ldr_gate_run(&gate, (uintptr_t)program->start,
                                           (uintptr_t)program->parameter, 0, 0);
}

/* On a stack of the program's own, whose size its header says. Without memory for one it runs on
 * this one. */
static uint32_t run_on_own_stack(ke_thread_start start, void *parameter, struct ke_stack *stack)
{
    struct ke_teb *teb = ke_current->teb;
    struct program program = {start, parameter, 0};
    void *const before[] = {teb->ExceptionList, teb->StackBase, teb->StackLimit,
                            teb->DeallocationStack};
    *stack = (struct ke_stack){0, 0};
    ke_stack_create(0, stack, NULL);
    struct ke_stack outer = ke_stack_enter(ke_current, stack);
    if (stack->base)
        teb->ExceptionList = (void *)KE_BY_WORD((uintptr_t)0, UINTPTR_MAX);
    ke_stack_run(stack, run_program, &program);
    ke_current->stack = outer;
    teb->ExceptionList = before[0];
    teb->StackBase = before[1];
    teb->StackLimit = before[2];
    teb->DeallocationStack = before[3];
    return program.code;
}

uint32_t ke_run(ke_thread_start start, void *parameter)
{
    ke_teb();
    struct ke_thread *thread = ke_current;
    struct ke_stack stack;
    bool outermost = !thread->object->may_end;
    __atomic_store_n(&thread->object->may_end, true, __ATOMIC_RELEASE);
    uint32_t code = run_on_own_stack(start, parameter, &stack);
    thread->exiting = false;
    if (outermost)
        ke_suspend_end_forgotten(thread->object);
    if (!ldr_gate_of_kind(LDR_GATE_THREAD))
        ke_live_threads_wait();
    ke_stack_free(&stack); /* not before: other threads may still look into its frames */
    return code;
}

/*
 * A thread of the host has no gate to come back to: pthread_exit() ends it, unless it is the first
 * one, whose end on Windows ends nothing as long as other threads live.
 */
void ke_thread_exit(uint32_t code)
{
    ke_teb();
    struct ke_thread *thread = ke_current;
    struct ldr_gate *gate = ldr_gate_of_kind(LDR_GATE_THREAD);
    thread->exiting = true;
    if (gate) {
        ke_unwind_chain(gate->low);
        ldr_gate_leave(gate, code);
    }
    set_exit_code(thread, code);
    uint32_t id = thread->object->id;
    ke_thread_leave(); /* tells nobody when it was terminated */
    if (id == ke_process_id()) {
        ke_live_threads_wait();
        ke_process_exit(code);
    }
    pthread_exit(NULL);
}
