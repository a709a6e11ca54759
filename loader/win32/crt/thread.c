/*
 * Threads of the C runtime: per-thread state, _beginthreadex and its like, the numbered locks.
 */
#include <pthread.h>
#include <stdlib.h>
#include <time.h>

#include "loader/ke/ke.h"
#include "loader/ke/later.h"
#include "loader/ob/object.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/types.h"

enum { CREATE_SUSPENDED = 4, THREAD_ALL_ACCESS = 0x1FFFFF };

static __thread struct crt_thread current;

struct crt_thread *crt_thread(void)
{
    return &current;
}

/* Creates a thread and a handle for it; NULL with errno set. */
static HANDLE start_thread(ke_thread_start start, void *parameter, unsigned stack_size,
                           bool suspended, unsigned *id)
{
    struct ob_object *thread;
    uint32_t thread_id;
    nt_status status =
        ke_thread_create(start, parameter, stack_size, true, &thread, &thread_id, NULL);
    if (!nt_ok(status)) {
        crt_fail_from_status(status);
        return NULL;
    }
    /* The handle exists, and `*id` is written, before the thread runs. */
    uint32_t handle = ob_handle_create(thread, THREAD_ALL_ACCESS, 0);
    if (id != NULL) {
        *id = thread_id;
    }
    if (!suspended) {
        ke_thread_resume(thread, NULL);
    }
    ob_object_unref(thread);
    if (handle == 0) {
        crt_set_errno(CRT_ENOMEM);
    }
    return win32_handle(handle);
}

static WINCDECL_DEF uintptr_t crt__beginthreadex(void *security, unsigned stack_size,
                                                 ke_thread_start start, void *parameter,
                                                 unsigned flags, unsigned *id)
{
    if (start == NULL) {
        crt_invalid(CRT_EINVAL);
        return 0;
    }
    return (uintptr_t)start_thread(start, parameter, stack_size, flags & CREATE_SUSPENDED, id);
}

static WINCDECL_DEF void crt__endthreadex(unsigned code)
{
    ke_thread_exit(code);
}

/* _beginthread's threads have a cdecl function and close their handle themselves. */
struct simple_thread {
    void(WINCDECL *start)(void *parameter);
    void *parameter;
    uint32_t handle;
};
static __thread uint32_t own_handle;

static void close_own_handle(void)
{
    if (own_handle != 0) {
        ob_handle_close(own_handle);
        own_handle = 0;
    }
}

static WINAPI_DEF uint32_t run_simple_thread(void *parameter)
{
    struct simple_thread thread = *(struct simple_thread *)parameter;
    free(parameter);
    own_handle = thread.handle;
    thread.start(thread.parameter);
    close_own_handle();
    return 0;
}

static WINCDECL_DEF uintptr_t crt__beginthread(void(WINCDECL *start)(void *), unsigned stack_size,
                                               void *parameter)
{
    struct simple_thread *simple = malloc(sizeof(*simple));
    if (start == NULL || simple == NULL) {
        free(simple);
        crt_invalid(start == NULL ? CRT_EINVAL : CRT_ENOMEM);
        return (uintptr_t)-1;
    }
    *simple = (struct simple_thread){start, parameter, 0};
    HANDLE handle = start_thread(run_simple_thread, simple, stack_size, true, NULL);
    if (handle == NULL) {
        free(simple);
        return (uintptr_t)-1;
    }
    simple->handle = win32_ob_handle(handle);
    struct ob_object *thread;
    if (nt_ok(ob_handle_get(simple->handle, &ke_thread_type, &thread, NULL))) {
        ke_thread_resume(thread, NULL);
        ob_object_unref(thread);
    }
    return (uintptr_t)handle;
}

static WINCDECL_DEF void crt__endthread(void)
{
    close_own_handle();
    ke_thread_exit(0);
}

static WINCDECL_DEF uint32_t crt___threadid(void)
{
    return ke_thread_id();
}

static WINCDECL_DEF intptr_t crt___threadhandle(void)
{
    return -2; /* GetCurrentThread() */
}

static WINCDECL_DEF int crt__getpid(void)
{
    return (int)ke_process_id();
}

static WINCDECL_DEF void crt__sleep(crt_ulong milliseconds)
{
    struct timespec left = {milliseconds / 1000, (long)(milliseconds % 1000) * 1000000};
    ke_later_now();
    while (nanosleep(&left, &left) != 0) {
    }
}

/* ---- _lock(n): msvcrt's own locks, which start-up code and static libraries borrow
 * -------------------- */

enum { LOCK_COUNT = 64 };
static pthread_mutex_t locks[LOCK_COUNT] = {[0 ... LOCK_COUNT - 1] =
                                                PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP};

static WINCDECL_DEF void crt__lock(int number)
{
    pthread_mutex_lock(&locks[(unsigned)number % LOCK_COUNT]);
}

static WINCDECL_DEF void crt__unlock(int number)
{
    pthread_mutex_unlock(&locks[(unsigned)number % LOCK_COUNT]);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_beginthreadex), CRT_FN(_endthreadex),   CRT_FN(_beginthread), CRT_FN(_endthread),
    CRT_FN(__threadid),     CRT_FN(__threadhandle), CRT_FN(_getpid),      CRT_FN(_sleep),
    CRT_FN(_lock),          CRT_FN(_unlock),
};
CRT_FAMILY(crt_thread_family, functions);
