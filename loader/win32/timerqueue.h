/*
 * Timer queues and registered waits (threadpoollegacyapiset.h), as objects of the thread pool.
 *
 * A `completion` is NULL, an event that is set when the last callback has ended, or
 * INVALID_HANDLE_VALUE to wait for that; STATUS_PENDING says that callbacks are still to end.
 */
#ifndef WIN32_TIMERQUEUE_H
#define WIN32_TIMERQUEUE_H

#include "loader/win32/types.h"
#include "pe/status.h"

struct timer_queue;
struct queue_timer;

nt_status tq_create(struct timer_queue **out);
/* Its timers go with it. */
nt_status tq_delete(struct timer_queue *queue, HANDLE completion);

/* `queue` NULL = the default one. Milliseconds; `due` INFINITE = not before it is changed. */
nt_status tq_timer_create(struct timer_queue *queue, const void *callback, void *context, DWORD due,
                          DWORD period, ULONG flags, HANDLE *out);
/* A timer of one shot that has had it stays as it is. */
nt_status tq_timer_change(struct queue_timer *timer, DWORD due, DWORD period);
nt_status tq_timer_delete(struct queue_timer *timer, HANDLE completion);

nt_status tq_wait_register(HANDLE object, const void *callback, void *context, DWORD milliseconds,
                           ULONG flags, HANDLE *out);
nt_status tq_wait_unregister(HANDLE wait, HANDLE completion);

#endif
