/*
 * Raising, continuing and registering for exceptions, pointer encoding. Frames: unwind_x64.c,
 * seh_i386.c.
 */
#include "loader/ke/exception.h"
#include "loader/ke/unwind.h"

#include <pthread.h>
#include <sys/random.h>

#include "loader/ldr/ldr.h"
#include "loader/win32/ntdll/families.h"

static void WINAPI_DEF nt_RtlRaiseException(struct ke_exception_record *record)
{
    record->ExceptionAddress = __builtin_return_address(0);
    ke_raise_record(record);
}

static void WINAPI_DEF nt_RtlRaiseStatus(nt_status status)
{
    ke_raise_at(status, KE_EXCEPTION_NONCONTINUABLE, 0, NULL, __builtin_return_address(0));
}

/* An image's own dispatcher: as if the exception had just been raised, or as if nobody had
 * handled it. */
static nt_status WINAPI_DEF nt_NtRaiseException(struct ke_exception_record *record,
                                                struct ke_context *context, BOOLEAN first_chance)
{
    if (!first_chance) {
        ke_report_crash(record, context);
        ke_process_terminate(record->ExceptionCode);
    }
    ke_dispatch_exception(record, context);
    ke_continue(context);
}

/* Alerts are the kernel's business: there are none to deliver. */
static nt_status WINAPI_DEF nt_NtContinue(struct ke_context *context, BOOLEAN alertable)
{
    ke_continue(context);
}

#ifdef __i386__
/* The record matters to x86-64 only (ke_restore_context). */
static void WINAPI_DEF nt_RtlRestoreContext(struct ke_context *context,
                                            struct ke_exception_record *record)
{
    ke_continue(context);
}
#endif

static void *WINAPI_DEF nt_RtlAddVectoredExceptionHandler(ULONG first, void *handler)
{
    return ke_add_vectored(first != 0, handler, false);
}

static void *WINAPI_DEF nt_RtlAddVectoredContinueHandler(ULONG first, void *handler)
{
    return ke_add_vectored(first != 0, handler, true);
}

static ULONG WINAPI_DEF nt_RtlRemoveVectoredExceptionHandler(void *registration)
{
    return ke_remove_vectored(registration);
}

static ULONG WINAPI_DEF nt_RtlRemoveVectoredContinueHandler(void *registration)
{
    return ke_remove_vectored(registration);
}

static void *WINAPI_DEF nt_RtlSetUnhandledExceptionFilter(void *filter)
{
    return ke_set_unhandled_filter(filter);
}

static LONG WINAPI_DEF nt_RtlUnhandledExceptionFilter(struct ke_exception_pointers *pointers)
{
    return ke_unhandled(pointers);
}

/* The hash is the sum of the addresses: what tells one backtrace from another. */
static USHORT WINAPI_DEF nt_RtlCaptureStackBackTrace(ULONG skip, ULONG count, void **frames,
                                                     ULONG *hash)
{
    enum { FRAMES_MAX = 1024 };
    uintptr_t found[FRAMES_MAX];
    struct ke_context context = {0};
    ke_capture_context(&context);
    ULONG wanted = skip < FRAMES_MAX && count < FRAMES_MAX - skip ? skip + count : FRAMES_MAX;
    ULONG total = ke_backtrace(&context, found, wanted), sum = 0;
    USHORT copied = 0;
    for (ULONG i = skip; i < total; i++) {
        frames[copied++] = (void *)found[i];
        sum += (ULONG)found[i];
    }
    if (hash)
        *hash = sum;
    return copied;
}

static void *WINAPI_DEF nt_RtlPcToFileHeader(void *pc, void **base)
{
    struct ldr_module *module = ldr_find_by_address((uintptr_t)pc);
    *base = module ? (void *)(uintptr_t)ldr_module_base(module) : NULL;
    return *base;
}

static uintptr_t cookie;

static void init_cookie(void)
{
    if (getrandom(&cookie, sizeof(cookie), 0) != sizeof(cookie))
        cookie = (uintptr_t)&cookie * 2654435761u; /* address randomisation has to do */
}

static unsigned rotation(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_cookie);
    return cookie % (sizeof(cookie) * 8 - 1) + 1;
}

/* As Windows does it: exclusive or with the process's cookie, rotated by it. */
static void *WINAPI_DEF nt_RtlEncodePointer(void *pointer)
{
    unsigned right = rotation();
    uintptr_t value = (uintptr_t)pointer ^ cookie;
    return (void *)(value >> right | value << (sizeof(value) * 8 - right));
}

static void *WINAPI_DEF nt_RtlDecodePointer(void *pointer)
{
    unsigned right = rotation();
    uintptr_t value = (uintptr_t)pointer;
    value = value << right | value >> (sizeof(value) * 8 - right);
    return (void *)(value ^ cookie);
}

const struct ldr_builtin_export ntdll_exception_exports[] = {
    LDR_FN(nt_, RtlRaiseException),
    LDR_FN(nt_, RtlRaiseStatus),
    NT_ZW(Continue),
    NT_ZW(RaiseException),
#ifdef __i386__
    LDR_FN(nt_, RtlRestoreContext),
#endif
    LDR_FN(nt_, RtlAddVectoredExceptionHandler),
    LDR_FN(nt_, RtlAddVectoredContinueHandler),
    LDR_FN(nt_, RtlRemoveVectoredExceptionHandler),
    LDR_FN(nt_, RtlRemoveVectoredContinueHandler),
    LDR_FN(nt_, RtlSetUnhandledExceptionFilter),
    LDR_FN(nt_, RtlUnhandledExceptionFilter),
    {.name = "RtlCaptureContext",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)ke_capture_context},
    LDR_FN(nt_, RtlCaptureStackBackTrace),
    LDR_FN(nt_, RtlPcToFileHeader),
    LDR_FN(nt_, RtlEncodePointer),
    LDR_FN(nt_, RtlDecodePointer),
    {.name = "RtlEncodeSystemPointer",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)nt_RtlEncodePointer},
    {.name = "RtlDecodeSystemPointer",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)nt_RtlDecodePointer},
};
const size_t ntdll_exception_count =
    sizeof(ntdll_exception_exports) / sizeof(*ntdll_exception_exports);
