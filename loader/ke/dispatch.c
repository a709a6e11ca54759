/*
 * The way of an exception through its handlers (see exception.h).
 *
 * Order as documented for Windows: vectored handlers, frame handlers from the innermost outwards,
 * and where the frames end the handler that Windows has there: the loader's around entry points,
 * the one around a thread's start that asks the unhandled filter.
 */
#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/ke/report.h"
#include "loader/ldr/gate.h"

/* A name for the debugger, thrown at it by MSVC programs; its raiser always swallows it. */
#define MSVC_THREAD_NAME 0x406D1388u

/* What peldr_call_guarded() tells its caller. */
static void leave_to_guard(struct ldr_gate *gate, const struct ke_exception_record *record)
{
    if (gate->user)
        *(struct ke_exception_record *)gate->user = *record;
    gate->exception = record->ExceptionCode;
    ke_unwind_chain(gate->low);
    ldr_gate_leave(gate, 0);
}

/* An exception may not leave code of the host half-way through, which knows nothing of it. */
static void report_host(uint32_t code, uintptr_t where)
{
    struct ke_text text = {.length = 0};
    ke_text_put(&text, "exception ");
    ke_text_hex(&text, code);
    ke_text_put(&text, " stops at the host's function at ");
    ke_text_address(&text, where);
    ke_text_put(&text, ", which an image called and which called an image");
    ke_text_report(&text);
}

/* Nobody handled it: a guard takes it, or the filter says what becomes of the process. Whether it
 * is to be continued. */
static bool last_chance(enum ke_search end, uintptr_t where, struct ke_exception_pointers *pointers)
{
    struct ke_exception_record *record = pointers->ExceptionRecord;
    struct ldr_gate *gate = ldr_gate_current();
    if (end == KE_SEARCH_HOST)
        report_host(record->ExceptionCode, where);
    if (gate && gate->kind == LDR_GATE_GUARD)
        leave_to_guard(gate, record);
    if (ke_unhandled(pointers) == KE_CONTINUE_EXECUTION)
        return true;
    ke_process_terminate(record->ExceptionCode); /* reported, or dealt with by the filter */
}

void ke_dispatch_exception(struct ke_exception_record *record, struct ke_context *context)
{
    struct ke_exception_pointers pointers = {record, context};
    if (!ke_call_vectored(&pointers, false)) {
        uintptr_t where = 0;
        enum ke_search end = ke_search_frames(record, context, &where);
        if (end != KE_SEARCH_CONTINUE && record->ExceptionCode == MSVC_THREAD_NAME)
            return;
        if (end != KE_SEARCH_CONTINUE)
            last_chance(end, where, &pointers);
        if (record->ExceptionFlags & KE_EXCEPTION_NONCONTINUABLE)
            ke_raise_noncontinuable(record);
    }
    ke_call_vectored(&pointers, true);
}
