/*
 * The initial thread of a program: the context that it starts from, its entry point, its end.
 *
 * Windows hands the CONTEXT to static DLLs, which may change where the thread begins (behaviours,
 * DLL loading): it says that the thread is in RtlUserThreadStart(entry point, PEB).
 */
#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/ldr/gate.h"
#include "loader/ldr/ldr.h"
#include "loader/ob/process.h"
#include "loader/peldr_api.h"

_Static_assert(sizeof(struct ke_context) <= LDR_STARTUP_CONTEXT_SIZE, "CONTEXT");

/* Where RtlUserThreadStart finds its two arguments. */
#ifdef __x86_64__
#define ROUTINE(context)   ((context)->Rcx)
#define PARAMETER(context) ((context)->Rdx)
#else
#define ROUTINE(context)   ((context)->Eax)
#define PARAMETER(context) ((context)->Ebx)
#endif

nt_status peldr_start_program(peldr_module *exe, struct pe_error *err)
{
    struct ke_context *context = ldr_startup_context();
    *context = (struct ke_context){.ContextFlags = KE_CONTEXT_FULL, .EFlags = 0x200};
    KE_CONTEXT_PC(context) = (uintptr_t)ke_user_thread_start;
    KE_CONTEXT_SP(context) = (uintptr_t)__builtin_frame_address(0);
    ROUTINE(context) = (uintptr_t)ldr_module_entry_point(exe);
    PARAMETER(context) = (uintptr_t)ke_peb();
    return ldr_start(exe, err);
}

/* Where a program's entry point returns to: programs find kernel32 by that address. */
static uintptr_t return_address(void)
{
    struct ldr_module *kernel32 = ldr_find("kernel32.dll");
    uint64_t address;
    bool found = kernel32 && ldr_module_is_builtin(kernel32) &&
                 nt_ok(ldr_symbol(kernel32, "BaseThreadInitThunk", 0, &address, NULL));
    return found ? (uintptr_t)address : (uintptr_t)ldr_gate_return;
}

/* The entry point of a program, under the gate: it may come back with any register destroyed. */
static uint32_t WINAPI_DEF start_program(void *unused)
{
    const struct ke_context *context = ldr_startup_context();
    uintptr_t start = (uintptr_t)KE_CONTEXT_PC(context), routine = (uintptr_t)ROUTINE(context),
              parameter = (uintptr_t)PARAMETER(context);
    if (start != (uintptr_t)ke_user_thread_start) {
        return (uint32_t)ldr_gate_call_from(return_address(), start, routine, parameter, 0);
    }
    return (uint32_t)ldr_gate_call_from(return_address(), routine, parameter, 0, 0);
}

uint32_t peldr_run_program(peldr_module *exe)
{
    uint32_t value = ke_run(start_program, exe);
    ldr_process_detach();
    ob_process_set_exit_code(value);
    return value;
}
