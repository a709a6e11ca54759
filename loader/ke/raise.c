/*
 * Software exceptions: RaiseException and what stands on it.
 */
#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/ke/report.h"

#define STATUS_NONCONTINUABLE 0xC0000025u

/*
 * The context that handlers see is the one of the frame here. One that continues comes back to the
 * capture a second time, unless it has changed the program counter.
 */
static void raise(struct ke_exception_record *record)
{
    struct ke_context context = {0};
    volatile bool continued = false;
    ke_capture_context(&context);
    if (continued)
        return;
    continued = true;
    ke_dispatch_exception(record, &context);
    ke_continue(&context);
}

void ke_raise_record(struct ke_exception_record *record)
{
    raise(record);
}

static struct ke_exception_record make_record(uint32_t code, uint32_t flags, uint32_t count,
                                              const uintptr_t *parameters, const void *address)
{
    struct ke_exception_record record = {
        .ExceptionCode = code,
        .ExceptionFlags = flags & KE_EXCEPTION_NONCONTINUABLE,
        .ExceptionAddress = (void *)(uintptr_t)address,
    };
    if (parameters)
        record.NumberParameters = count < KE_EXCEPTION_PARAMETERS ? count : KE_EXCEPTION_PARAMETERS;
    for (uint32_t i = 0; i < record.NumberParameters; i++)
        record.ExceptionInformation[i] = parameters[i];
    return record;
}

void ke_raise_at(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters,
                 const void *address)
{
    struct ke_exception_record record = make_record(code, flags, count, parameters, address);
    raise(&record);
}

#define RESERVED_BIT 0x10000000u /* of a code: cleared, as documented */

#ifdef __x86_64__
/* What ke_raise_exception() comes to (entry_x64.S). Whoever continues returns from it. */
void ke_raise_entered(struct ke_context *caller, const uintptr_t *arguments)
    __attribute__((noreturn));
void ke_raise_entered(struct ke_context *caller, const uintptr_t *arguments)
{
    struct ke_exception_record record = make_record(
        (uint32_t)arguments[0] & ~RESERVED_BIT, (uint32_t)arguments[1], (uint32_t)arguments[2],
        (const uintptr_t *)arguments[3], (const void *)caller->Rip);
    ke_dispatch_exception(&record, caller);
    ke_continue(caller);
}
#else
void WINAPI_DEF ke_raise_exception(uint32_t code, uint32_t flags, uint32_t count,
                                   const uintptr_t *parameters)
{
    ke_raise_at(code & ~RESERVED_BIT, flags, count, parameters, __builtin_return_address(0));
}
#endif

void ke_raise(uint32_t code, uint32_t flags, uint32_t count, const uintptr_t *parameters)
{
    uintptr_t caller = ke_find_caller((uintptr_t)__builtin_frame_address(0));
    ke_raise_at(code, flags, count, parameters,
                caller ? (void *)caller : __builtin_return_address(0));
}

void ke_raise_noncontinuable(struct ke_exception_record *first)
{
    if (first->ExceptionCode == STATUS_NONCONTINUABLE) { /* whoever continues everything */
        ke_report_exception(first);
        ke_process_terminate(STATUS_NONCONTINUABLE);
    }
    struct ke_exception_record record = {
        .ExceptionCode = STATUS_NONCONTINUABLE,
        .ExceptionFlags = KE_EXCEPTION_NONCONTINUABLE,
        .ExceptionRecord = first,
        .ExceptionAddress = first->ExceptionAddress,
    };
    raise(&record);
    ke_process_terminate(STATUS_NONCONTINUABLE);
}
