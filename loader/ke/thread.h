/*
 * The record of an attached thread and the object behind a thread handle: ke's inside.
 *
 * An attached thread has one record, reached through a variable of its own (ke_current) and through
 * the process's list. "Attached" is a property of the thread, never of the segment register: a new
 * thread inherits its creator's register on Linux.
 */
#ifndef KE_THREAD_H
#define KE_THREAD_H

#include <pthread.h>
#include <signal.h>
#include <stdbool.h>

#include "loader/ke/ke.h"
#include "loader/ke/stackguard.h"
#include "loader/ke/teb.h"
#include "loader/ldr/ldr.h"
#include "loader/ob/object.h"

struct ke_apc;
struct ke_context;

/* Nanoseconds; the first two since 1970, `ended` 0 while it lives. */
struct ke_thread_times {
    int64_t created, ended, kernel, user;
};

/* Behind a thread handle; outlives its thread. */
struct ke_thread_object {
    struct ob_object header;
    uint32_t id;
    uint32_t exit_code;
    bool finished;         /* under the wait lock */
    int32_t suspend_count; /* a futex word */
    int32_t priority;
    pthread_t host;
    struct ke_teb *teb;             /* NULL once it has ended */
    const void *start;              /* what it was created to run; NULL = a thread of the host */
    uint16_t *description;          /* malloc'ed, under the wait lock */
    struct ob_thread wait;          /* under the wait lock */
    struct ke_apc *apcs, *last_apc; /* the same */
    struct ke_thread_times times;   /* all but the first: under the wait lock, once it has ended */

    /* suspend.c; the first two are futex words */
    uint32_t stopped;
    uint32_t end;
    uint32_t end_code;
    bool force;                   /* stop wherever it is */
    bool hidden;                  /* ThreadHideFromDebugger, for images to read back */
    bool may_end;                 /* it has a gate to leave to */
    void *context;                /* of a stopped thread: ucontext_t */
    struct ke_context *initial;   /* of one that has not started */
    uintptr_t debug_registers[6]; /* for images to read back */
};

/* What signals are handled on, where the host's own is none or too small (sigstack.c). */
struct ke_signal_stack {
    uint64_t own; /* 0: the host's is kept */
    stack_t before;
};

struct ke_thread {
    struct ke_teb *teb;
    struct ke_signal_stack signal_stack;
    struct ke_stack stack; /* that its images run on now; none = the host's (stackguard.h) */
    struct ldr_thread loader;
    struct ke_thread *next, *prev;   /* under the list lock */
    struct ke_thread_object *object; /* owns a reference */
    bool entered;                    /* DLL_THREAD_ATTACH was sent */
    bool exiting;                    /* ke_thread_exit() */
    bool listed;                     /* in the list */
};

/* initial-exec: the fault handler reads it, where a lazily allocated variable would call malloc. */
extern __thread struct ke_thread *ke_current __attribute__((tls_model("initial-exec")));

/* A record with its TEB and object, for a thread that is still to run; any thread may call it. */
nt_status ke_thread_record_create(struct ke_thread **out, struct pe_error *err);
void ke_thread_record_free(struct ke_thread *thread);
/* Makes the record the calling thread's own. On failure the thread is as before; the record stays.
 */
nt_status ke_thread_adopt(struct ke_thread *thread, struct pe_error *err);

struct ke_thread_times ke_thread_times_of(struct ke_thread_object *object);
void ke_thread_times_begin(struct ke_thread_object *object);
/* At its end, while its processor time can still be asked for. */
void ke_thread_times_end(struct ke_thread_object *object);

/* The list of attached threads, and of those that wait for their first resume. */
void ke_threads_add(struct ke_thread *thread);
void ke_threads_lock(void);
void ke_threads_unlock(void);
struct ke_thread *ke_threads_next(struct ke_thread *thread); /* NULL begins and ends; lock held */

/* The segment register that Windows code finds its TEB by; NULL = none. */
nt_status ke_segment_set(struct ke_teb *teb, struct pe_error *err);
#ifdef __i386__
uint16_t ke_segment_selector(void); /* what %fs holds on an attached thread */
#endif

void ke_signal_stack_enter(struct ke_signal_stack *stack);
void ke_signal_stack_leave(struct ke_signal_stack *stack);

/* Image threads that have not ended. */
void ke_live_threads_wait(void);

#endif
