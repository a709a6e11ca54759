/*
 * Stopping threads: suspension, contexts of other threads, termination.
 *
 * A thread is stopped by a real-time signal. Its handler keeps the thread where it is, but only
 * where it may stay for ever without harm to others: in code of an image, or asleep in one of
 * peldr's waits (ob_asleep). Anywhere else it may hold a lock of glibc or of peldr, so the handler
 * returns and the signal is sent again a little later. A thread that is at no such place for
 * KE_STOP_PATIENCE milliseconds is taken to be blocked in a system call of the host's and is kept
 * all the same: should it hold a lock there (of a FILE, say), others wait for that lock until it is
 * resumed, as they do on Windows for the locks of its C runtime.
 *
 * Mirrors SuspendThread, GetThreadContext, TerminateThread and the NT functions below them.
 */
#ifndef KE_SUSPEND_H
#define KE_SUSPEND_H

#include "loader/ke/exception.h"
#include "loader/ke/thread.h"

#define KE_STOP_PATIENCE   100 /* ms */
#define KE_SUSPEND_MAXIMUM 127

#define KE_STATUS_SUSPEND_COUNT_EXCEEDED ((nt_status)0xC000004A)
#define KE_STATUS_THREAD_IS_TERMINATING  OB_STATUS_ENDING

/* Takes a signal for it; once, before any thread is attached. */
void ke_suspend_init(void);
/* The signal; 0 = none was free. */
int ke_suspend_signal(void);
/* Lets the signal through to this thread, whatever mask it has inherited. */
void ke_suspend_unblock(void);

/*
 * The parts that context->ContextFlags names, of a thread in whatever state: one that runs is
 * stopped for the moment. STATUS_UNSUCCESSFUL for one that has ended. A thread that was created
 * suspended shows its start routine and parameter where Windows does (rcx and rdx, eax and ebx).
 */
nt_status ke_thread_get_context(struct ob_object *thread, struct ke_context *context);
/*
 * A thread that sleeps in native code on behalf of an image goes on there whatever `context` says:
 * STATUS_UNSUCCESSFUL when it names another place for it.
 */
nt_status ke_thread_set_context(struct ob_object *thread, const struct ke_context *context);

/*
 * TerminateThread. Safe for peldr and glibc where the thread is in code of an image or in a wait;
 * a thread that is nowhere else for KE_STOP_PATIENCE is ended there all the same. The images are
 * told nothing (no DLL_THREAD_DETACH, no callbacks of fiber-local storage), their locks stay as
 * they are, the loader lock included; mutexes are abandoned, the exit code is set, the object gets
 * signaled, and stack and TEB are freed. A suspended thread ends as well.
 *
 * Threads of the host, except one inside ke_run(), are not an image's to end: their stacks hold
 * frames of the host that have to be left properly. STATUS_ACCESS_DENIED.
 *
 * A thread that waits for the loader lock cannot leave that wait: this returns after ten times the
 * patience, and the thread ends when it has the lock and comes to its start routine or to a wait.
 */
nt_status ke_thread_terminate(struct ob_object *thread, uint32_t code);

/* Whether this thread has been told to end: waits that have left a record somewhere take it back
 * and then call ke_thread_end_if_told(). */
bool ke_thread_told_to_end(void);
void ke_thread_end_if_told(void);

/* For attach.c and thread.c: whether the thread is ending because it was terminated. */
bool ke_suspend_has_ended(const struct ke_thread_object *object);
/* The thread goes on after its ke_run(): it is the host's again. */
void ke_suspend_end_forgotten(struct ke_thread_object *object);
/* The first thread of a process, before it says that it is there: it waits in ke_suspend_at_start()
 * until it is resumed. */
void ke_suspend_begin(void);
/* A thread that has not started waits for its resume; `initial` as it would be shown.
 * False: it was terminated. */
bool ke_suspend_at_start(struct ke_thread_object *object, struct ke_context *initial);

#endif
