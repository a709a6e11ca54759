/*
 * Function tables and unwinding of x86-64 (ke/unwind.h), and the language handler of __try in C.
 *
 * Source: Microsoft, "x64 exception handling" and the documentation of RtlUnwindEx; the scope table
 * as compilers write it (LLVM, "Exception handling in LLVM": SEH). A count, then for each __try the
 * RVAs of its code, of its filter (1 = always) or termination handler, and of its __except block (0
 * = it is a __finally).
 */
#include "loader/ke/unwind.h"

#ifdef __x86_64__

#include "loader/ke/ke.h"
#include "loader/ldr/imagemap.h"
#include "loader/win32/ntdll/families.h"

struct scope {
    uint32_t begin, end, handler, target;
};

struct scope_table {
    uint32_t count;
    struct scope scopes[];
};

typedef LONG(WINAPI *filter)(struct ke_exception_pointers *pointers, uint64_t frame);
typedef void(WINAPI *termination_handler)(BOOLEAN abnormal, uint64_t frame);

#define ALWAYS 1u /* EXCEPTION_EXECUTE_HANDLER in place of a filter's RVA */

/* The table of a hostile image is cut to what lies in the image. */
static uint32_t scope_count(const struct scope_table *table)
{
    struct ldr_image_range image;
    uintptr_t at = (uintptr_t)table;
    if (!ldr_image_at(at, &image))
        return table->count; /* of code that the program made itself */
    uintptr_t left = image.base + image.size - at;
    uint32_t most = left < 4 ? 0 : (uint32_t)((left - 4) / sizeof(struct scope));
    return most && table->count < most ? table->count : most;
}

static bool holds(const struct scope *scope, uint64_t rva)
{
    return rva >= scope->begin && rva < scope->end;
}

static void *address_of(const struct ke_dispatcher_context *dispatcher, uint32_t rva)
{
    return (void *)(uintptr_t)(dispatcher->ImageBase + rva);
}

/* Asks the filters of the scopes around the program counter, innermost first. */
static enum ke_disposition ask_filters(struct ke_exception_record *record, uint64_t frame,
                                       struct ke_context *context,
                                       struct ke_dispatcher_context *dispatcher)
{
    const struct scope_table *table = dispatcher->HandlerData;
    uint64_t rva = dispatcher->ControlPc - dispatcher->ImageBase;
    struct ke_exception_pointers pointers = {record, context};
    uint32_t count = scope_count(table);
    for (uint32_t i = dispatcher->ScopeIndex; i < count; i++) {
        const struct scope *scope = &table->scopes[i];
        if (!holds(scope, rva) || !scope->target)
            continue;
        LONG answer = KE_EXECUTE_HANDLER;
        if (scope->handler != ALWAYS)
            answer = ((filter)address_of(dispatcher, scope->handler))(&pointers, frame);
        if (answer < 0)
            return KE_DISPOSITION_CONTINUE_EXECUTION;
        if (answer > 0)
            ke_unwind_ex((void *)(uintptr_t)frame, address_of(dispatcher, scope->target), record,
                         (void *)(uintptr_t)record->ExceptionCode, dispatcher->ContextRecord,
                         dispatcher->HistoryTable);
    }
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

/* Whether the unwinding stops inside the same __try: its handlers do not run then. */
static bool stays_inside(const struct scope_table *table, uint32_t count, const struct scope *scope,
                         uint64_t target)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct scope *other = &table->scopes[i];
        if (holds(other, target) && other->target == scope->target &&
            other->handler == scope->handler)
            return true;
    }
    return false;
}

static enum ke_disposition run_terminations(struct ke_exception_record *record, uint64_t frame,
                                            struct ke_dispatcher_context *dispatcher)
{
    const struct scope_table *table = dispatcher->HandlerData;
    uint64_t rva = dispatcher->ControlPc - dispatcher->ImageBase;
    uint64_t target = dispatcher->TargetIp - dispatcher->ImageBase;
    bool stops_here = record->ExceptionFlags & KE_EXCEPTION_TARGET_UNWIND;
    uint32_t count = scope_count(table);
    for (uint32_t i = dispatcher->ScopeIndex; i < count; i++) {
        const struct scope *scope = &table->scopes[i];
        if (!holds(scope, rva))
            continue;
        if (stops_here && (stays_inside(table, count, scope, target) || scope->target == target))
            break;
        if (scope->target)
            continue;
        dispatcher->ScopeIndex = i + 1; /* a collided unwind goes on behind it */
        ((termination_handler)address_of(dispatcher, scope->handler))(TRUE, frame);
    }
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

static enum ke_disposition WINAPI_DEF
nt___C_specific_handler(struct ke_exception_record *record, uint64_t frame,
                        struct ke_context *context, struct ke_dispatcher_context *dispatcher)
{
    return record->ExceptionFlags & KE_EXCEPTION_UNWIND
               ? run_terminations(record, frame, dispatcher)
               : ask_filters(record, frame, context, dispatcher);
}

static void WINAPI_DEF nt_RtlUnwind(void *frame, void *ip, struct ke_exception_record *record,
                                    void *value)
{
    struct ke_context context;
    ke_unwind_ex(frame, ip, record, value, &context, NULL);
}

/* Out of a __try by goto: its termination handlers run. */
static void WINAPI_DEF nt__local_unwind(void *frame, void *ip)
{
    nt_RtlUnwind(frame, ip, NULL, NULL);
}

#define KE_FN(fn, function)                                                         \
    {                                                                               \
        .name = #fn, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)function \
    }

const struct ldr_builtin_export ntdll_unwind_exports[] = {
    LDR_FN(nt_, __C_specific_handler),
    LDR_FN(nt_, _local_unwind),
    LDR_FN(nt_, RtlUnwind),
    KE_FN(RtlUnwindEx, ke_unwind_ex),
    KE_FN(RtlVirtualUnwind, ke_virtual_unwind),
    KE_FN(RtlLookupFunctionEntry, ke_lookup_function_entry),
    KE_FN(RtlRestoreContext, ke_restore_context),
    KE_FN(RtlAddFunctionTable, ke_add_function_table),
    KE_FN(RtlDeleteFunctionTable, ke_delete_function_table),
    KE_FN(RtlInstallFunctionTableCallback, ke_install_function_table_callback),
    KE_FN(RtlAddGrowableFunctionTable, ke_add_growable_function_table),
    KE_FN(RtlGrowFunctionTable, ke_grow_function_table),
    KE_FN(RtlDeleteGrowableFunctionTable, ke_delete_growable_function_table),
};
const size_t ntdll_unwind_count = sizeof(ntdll_unwind_exports) / sizeof(*ntdll_unwind_exports);

#endif
