/*
 * Asynchronous procedure calls: functions queued to a thread, which it calls when it waits
 * alertably, tests for them, or starts.
 *
 * Mirrors QueueUserAPC, NtQueueApcThread and what alertable waits do (Microsoft, "Asynchronous
 * Procedure Calls"). The order is that of queueing; a call that is queued while others run is run
 * before the wait returns.
 */
#ifndef KE_APC_H
#define KE_APC_H

#include "loader/ke/thread.h"

enum { KE_APC_ARGUMENTS = 3 };

/* Zeroed at first; lives in something larger, or on the heap by ke_apc_queue_new(). */
struct ke_apc {
    struct ke_apc *next;
    bool queued;    /* under the wait lock */
    bool allocated; /* to be freed when it leaves the queue */
    uint8_t count;  /* arguments that the function takes: 1 or 3; it is stdcall */
    const void *function;
    uintptr_t arguments[KE_APC_ARGUMENTS];
};

/* STATUS_UNSUCCESSFUL when the thread has ended. */
nt_status ke_apc_queue_new(struct ob_object *thread, const void *function, uint8_t count,
                           const uintptr_t arguments[KE_APC_ARGUMENTS]);
/* Wait lock held, `apc` with its function and arguments; false when it is queued already or the
 * thread has ended. */
bool ke_apc_queue_locked(struct ob_object *thread, struct ke_apc *apc);
/* Takes it back if it is queued. Wait lock held. */
void ke_apc_remove_locked(struct ob_object *thread, struct ke_apc *apc);

bool ke_apc_pending(struct ke_thread_object *object);
/* Calls what is queued for this thread; whether there was anything. No lock may be held. */
bool ke_apc_run(void);
void ke_apc_drop_all(struct ke_thread_object *object);

/* NtAlertThread: ends the alertable wait that the thread is in or comes to. */
void ke_thread_alert(struct ob_object *thread);
/* NtTestAlert: whether the thread was alerted; runs what is queued. */
bool ke_thread_test_alert(void);

/*
 * ob_wait_as() for this thread. Whoever calls it gives back what it holds for the wait and then
 * calls ke_wait_done(), which runs procedure calls or ends the thread, as `status` says.
 */
nt_status ke_wait(struct ob_object *const *objects, uint32_t count, bool all, uint32_t milliseconds,
                  bool alertable, uint32_t *index);
void ke_wait_done(nt_status status);
/* SleepEx, NtDelayExecution: STATUS_SUCCESS after the time, or why an alertable one ended early. */
nt_status ke_sleep(uint32_t milliseconds, bool alertable);

#endif
