/*
 * __try of x86-64 in the C runtimes, and longjmp through frames. The handler is NTDLL's.
 */
#include "loader/win32/crt/internal.h"
#include "loader/win32/ntdll/unwind_x64.h"

#if defined(__x86_64__)

#define STATUS_LONGJUMP 0x80000026u

/* The part of _JUMP_BUFFER that says where to; RtlRestoreContext reads the rest. */
struct jump_target {
    uint64_t frame, registers[9], ip;
};

/* A buffer that names the frame of setjmp has the frames below it unwound first. */
static WINCDECL_DEF void crt_longjmp(const struct jump_target *buffer, int value)
{
    uintptr_t result = value ? (unsigned)value : 1;
    struct ke_exception_record record = {
        .ExceptionCode = STATUS_LONGJUMP,
        .NumberParameters = 1,
        .ExceptionInformation = {(uintptr_t)buffer},
    };
    struct ke_context context;
    if (buffer->frame)
        ke_unwind_ex((void *)buffer->frame, (void *)buffer->ip, &record, (void *)result, NULL,
                     NULL);
    ke_capture_context(&context);
    context.Rax = result;
    ke_restore_context(&context, &record);
}

static const struct ldr_builtin_export functions[] = {
    CRT_AS(__C_specific_handler, win32_C_specific_handler),
    CRT_AS(_local_unwind, win32_local_unwind),
    CRT_FN(longjmp),
};
CRT_FAMILY(crt_seh_x64_family, functions);

#endif
