/*
 * Attaching threads: TEB, stack bounds, segment base, registration with the loader, and the way
 * back.
 *
 * A host thread attaches itself (public API), is attached by a builtin function that needs its TEB,
 * or by the fault handler; it leaves through a pthread key when it ends. The order of leaving is
 * that of LdrShutdownThread: FLS callbacks, DLL_THREAD_DETACH, then mutexes and memory.
 */
#include "loader/ke/thread.h"

#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "loader/ke/apc.h"
#include "loader/ke/process.h"
#include "loader/ke/slots.h"
#include "loader/ke/suspend.h"
#include "loader/mm/heap.h"
#include "loader/mm/snapshot.h"

__thread struct ke_thread *ke_current __attribute__((tls_model("initial-exec")));

static pthread_mutex_t list_mutex = PTHREAD_MUTEX_INITIALIZER;
static struct ke_thread *first_thread;

void ke_threads_lock(void)
{
    pthread_mutex_lock(&list_mutex);
}

void ke_threads_unlock(void)
{
    pthread_mutex_unlock(&list_mutex);
}

struct ke_thread *ke_threads_next(struct ke_thread *thread)
{
    return thread ? thread->next : first_thread;
}

void ke_threads_add(struct ke_thread *thread)
{
    if (thread->listed)
        return;
    thread->listed = true;
    ke_threads_lock();
    thread->prev = NULL;
    thread->next = first_thread;
    if (first_thread)
        first_thread->prev = thread;
    first_thread = thread;
    ke_threads_unlock();
}

static void list_remove(struct ke_thread *thread)
{
    if (!thread->listed)
        return;
    thread->listed = false;
    ke_threads_lock();
    if (thread->next)
        thread->next->prev = thread->prev;
    if (thread->prev)
        thread->prev->next = thread->next;
    else
        first_thread = thread->next;
    ke_threads_unlock();
}

nt_status ke_thread_record_create(struct ke_thread **out, struct pe_error *err)
{
    struct ke_thread *thread = calloc(1, sizeof(*thread));
    if (!thread)
        return pe_fail(err, STATUS_NO_MEMORY, "no memory for a thread record");
    uint64_t base = 0, size = sizeof(struct ke_teb);
    nt_status status = STATUS_NO_MEMORY;
    thread->object = ob_object_create(&ke_thread_type, sizeof(*thread->object));
    if (!thread->object)
        pe_fail(err, status, "no memory for a thread object");
    else
        status = mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, err);
    if (!nt_ok(status)) {
        if (thread->object)
            ob_object_unref(&thread->object->header);
        free(thread);
        return status;
    }
    mm_exempt(base);
    thread->teb = (struct ke_teb *)(uintptr_t)base;
    thread->object->teb = thread->teb;
    ke_thread_times_begin(thread->object);
    thread->object->exit_code = KE_STILL_ACTIVE;
    *out = thread;
    return STATUS_SUCCESS;
}

void ke_thread_record_free(struct ke_thread *thread)
{
    list_remove(thread);
    ke_slots_release(thread->teb);
    mm_free((uintptr_t)thread->teb, 0, MEM_RELEASE, NULL);
    ob_object_unref(&thread->object->header);
    free(thread);
}

/* Start of the first thread's stack, below what the kernel has put there (ld.so). */
extern void *__libc_stack_end;

/*
 * What pthread_getattr_np() says of the first thread, for which it reads all of /proc/self/maps to
 * find where the stack's mapping ends: that is behind the name of the program's file (fs/exec.c
 * leaves one null pointer there). False where it does not look like that, or where the resource
 * limit is so high that what lies below counts.
 */
static bool first_stack(const struct ke_teb *teb, void **lowest, size_t *size)
{
    enum { PLAIN_LIMIT = 0x4000000 };
    struct rlimit limit;
    uintptr_t name = (uintptr_t)getauxval(AT_EXECFN);
    uintptr_t start = ((uintptr_t)__libc_stack_end | (PE_PAGE_SIZE - 1)) + 1;
    if (teb->ThreadId != ke_process_id() || name < start || getrlimit(RLIMIT_STACK, &limit) != 0 ||
        limit.rlim_cur > PLAIN_LIMIT)
        return false;
    uintptr_t strings_end = name + strlen((const char *)name) + 1;
    uintptr_t end = ((strings_end - 1) | (PE_PAGE_SIZE - 1)) + 1;
    if (end - strings_end < sizeof(void *) || end - strings_end > sizeof(uint64_t) ||
        end - start > limit.rlim_cur)
        return false;
    *size = (size_t)(limit.rlim_cur - (end - start)) & ~(size_t)(PE_PAGE_SIZE - 1);
    *lowest = (char *)start - *size;
    /* A child that another thread forked goes on with that one's stack. */
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    return here > (uintptr_t)*lowest && here < start;
}

static void set_stack(struct ke_teb *teb, void *lowest, size_t size)
{
    teb->DeallocationStack = lowest;
    teb->StackLimit = lowest;
    teb->StackBase = (char *)lowest + size;
}

/* The stack as pthreads knows it; for the first thread that is what its resource limit allows. */
static void fill_stack(struct ke_teb *teb)
{
    pthread_attr_t attributes;
    void *lowest = NULL;
    size_t size = 0;
    if (first_stack(teb, &lowest, &size)) {
        set_stack(teb, lowest, size);
        return;
    }
    if (pthread_getattr_np(pthread_self(), &attributes) != 0)
        return;
    if (pthread_attr_getstack(&attributes, &lowest, &size) == 0)
        set_stack(teb, lowest, size);
    pthread_attr_destroy(&attributes);
}

static void fill_teb(struct ke_teb *teb, uint32_t id)
{
    teb->ExceptionList = (void *)KE_BY_WORD((uintptr_t)0, UINTPTR_MAX); /* i386: end of the chain */
    teb->Self = teb;
    teb->ProcessId = teb->RealProcessId = ke_process_id();
    teb->ThreadId = teb->RealThreadId = id;
    teb->ProcessEnvironmentBlock = ke_peb();
    teb->CurrentLocale = 0x409;
    teb->StaticUnicodeString.MaximumLength = sizeof(teb->StaticUnicodeBuffer);
    teb->StaticUnicodeString.Buffer = teb->StaticUnicodeBuffer;
    fill_stack(teb);
}

nt_status ke_thread_adopt(struct ke_thread *thread, struct pe_error *err)
{
    struct ke_teb *teb = thread->teb;
    thread->object->id = thread->object->wait.id = (uint32_t)syscall(SYS_gettid);
    thread->object->host = pthread_self();
    fill_teb(teb, thread->object->id);
    ke_stack_enter(thread, &thread->stack);
    nt_status status = ke_segment_set(teb, err);
    if (!nt_ok(status))
        return status;
    ke_current = thread;
    status = ldr_thread_register(&thread->loader, &teb->ThreadLocalStoragePointer, err);
    if (!nt_ok(status)) {
        ke_current = NULL;
        ke_segment_set(NULL, NULL);
        return status;
    }
    ke_signal_stack_enter(&thread->signal_stack);
    ke_suspend_unblock();
    ke_threads_add(thread);
    ke_process_watch_thread(thread);
    return STATUS_SUCCESS;
}

nt_status ke_thread_attach(struct pe_error *err)
{
    if (ke_current)
        return STATUS_SUCCESS;
    /* One that is going to be a program's has been begun by somebody who says so. */
    nt_status status = ke_peb() ? STATUS_SUCCESS : ke_process_init(err);
    if (!nt_ok(status))
        return status;
    struct ke_thread *thread;
    status = ke_thread_record_create(&thread, err);
    if (!nt_ok(status))
        return status;
    status = ke_thread_adopt(thread, err);
    if (!nt_ok(status))
        ke_thread_record_free(thread);
    return status;
}

nt_status ke_thread_enter(struct pe_error *err)
{
    nt_status status = ke_thread_attach(err);
    if (nt_ok(status) && !ke_current->entered) {
        ke_current->entered = true;
        ldr_thread_attach();
    }
    return status;
}

void ke_thread_leave(void)
{
    struct ke_thread *thread = ke_current;
    if (!thread)
        return;
    bool terminated = ke_suspend_has_ended(thread->object);
    if (!ke_process_exiting() && !terminated) {
        ke_fls_run_callbacks(thread->teb);
        ldr_thread_detach();
    }
    uint32_t id = thread->object->id;
    ldr_thread_unregister(&thread->loader);
    mm_heap_leave(); /* before anybody can know that it ends */
    list_remove(thread);
    ke_process_watch_thread(NULL);
    ke_thread_times_end(thread->object);
    ke_segment_set(NULL, NULL);
    ke_current = NULL;
    ke_signal_stack_leave(&thread->signal_stack);

    ob_mutex_abandon_all(id);
    struct ke_thread_object *object = thread->object;
    ob_wait_lock();
    if (terminated)
        object->exit_code = object->end_code;
    else if (object->exit_code == KE_STILL_ACTIVE)
        object->exit_code = 0;
    object->teb = NULL;
    object->finished = true;
    ob_wait_wake();
    ob_wait_unlock();
    ke_apc_drop_all(object);
    ke_thread_record_free(thread);
}

struct ke_teb *ke_teb(void)
{
    if (!ke_current) {
        struct pe_error err = {0};
        if (!nt_ok(ke_thread_enter(&err)))
            ke_process_die(err.text);
    }
    return ke_current->teb;
}

uint32_t ke_thread_id(void)
{
    return (uint32_t)ke_teb()->ThreadId;
}

uint32_t ke_last_error(void)
{
    return ke_teb()->LastErrorValue;
}

void ke_set_last_error(uint32_t win32_error)
{
    ke_teb()->LastErrorValue = win32_error;
}

int ke_set_last_status(nt_status status)
{
    struct ke_teb *teb = ke_teb();
    teb->LastStatusValue = status;
    if (nt_ok(status))
        return 1;
    teb->LastErrorValue = nt_status_to_win32(status);
    return 0;
}
