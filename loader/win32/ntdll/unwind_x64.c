/*
 * The x86-64 functions of unwinding that images call (ke/unwind.h), and __C_specific_handler.
 *
 * Source: Microsoft, winnt.h documentation of the Rtl functions, and "x64 exception handling",
 * "Language-specific handler"; the scope table of __try as compilers emit it: count, then for each
 * scope the RVAs of begin, end, filter and jump target. A jump target of 0 marks __finally, whose
 * handler stands in the filter's place; a filter of 1 stands for EXCEPTION_EXECUTE_HANDLER.
 */
#include "loader/win32/ntdll/unwind_x64.h"
#include "loader/ke/probe.h"
#include "loader/ke/unwind.h"
#include "loader/win32/ntdll/families.h"

#ifdef __x86_64__

/* ---- scopes ------------------------------------------------------------------------------------
 */

struct scope {
    uint32_t begin, end, handler, jump_target;
};
#define EXECUTE_CONSTANT 1u

typedef LONG(WINAPI *filter_function)(struct ke_exception_pointers *pointers, uint64_t frame);
typedef void(WINAPI *finally_function)(BOOLEAN abnormal, uint64_t frame);

static uint32_t scope_count(const struct ke_dispatcher_context *dispatcher)
{
    uint32_t count;
    return ke_probe(&count, (uintptr_t)dispatcher->HandlerData, sizeof(count)) ? count : 0;
}

static bool scope_at(const struct ke_dispatcher_context *dispatcher, uint32_t index,
                     struct scope *out)
{
    uintptr_t table = (uintptr_t)dispatcher->HandlerData + sizeof(uint32_t);
    return ke_probe(out, table + (uintptr_t)index * sizeof(*out), sizeof(*out));
}

static bool contains(const struct scope *scope, uint64_t rva)
{
    return rva >= scope->begin && rva < scope->end;
}

/* A filter's answer for a scope. */
static LONG ask_filter(const struct scope *scope, struct ke_exception_pointers *pointers,
                       uint64_t frame, const struct ke_dispatcher_context *dispatcher)
{
    if (scope->handler == EXECUTE_CONSTANT)
        return KE_EXECUTE_HANDLER;
    return ((filter_function)(dispatcher->ImageBase + scope->handler))(pointers, frame);
}

/* The search: filters from the innermost scope outwards. */
static enum ke_disposition search_scopes(struct ke_exception_record *record, uint64_t frame,
                                         struct ke_context *context,
                                         struct ke_dispatcher_context *dispatcher)
{
    struct ke_exception_pointers pointers = {record, context};
    struct scope scope;
    uint64_t rva = dispatcher->ControlPc - dispatcher->ImageBase;
    uint32_t count = scope_count(dispatcher);
    for (uint32_t i = dispatcher->ScopeIndex; i < count && scope_at(dispatcher, i, &scope); i++) {
        if (!contains(&scope, rva) || scope.jump_target == 0)
            continue;
        LONG answer = ask_filter(&scope, &pointers, frame, dispatcher);
        if (answer < 0)
            return KE_DISPOSITION_CONTINUE_EXECUTION;
        if (answer > 0)
            ke_unwind_ex((void *)frame, (void *)(dispatcher->ImageBase + scope.jump_target), record,
                         (void *)(uintptr_t)record->ExceptionCode, dispatcher->ContextRecord,
                         dispatcher->HistoryTable);
    }
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

/* Whether the unwind ends inside of this scope, or of another piece of it. */
static bool holds_target(const struct ke_dispatcher_context *dispatcher, uint32_t count,
                         const struct scope *scope, uint64_t target)
{
    struct scope other;
    for (uint32_t i = 0; i < count && scope_at(dispatcher, i, &other); i++)
        if (contains(&other, target) && other.handler == scope->handler &&
            other.jump_target == scope->jump_target)
            return true;
    return false;
}

/* The unwind: the __finally of every scope that is left, innermost first. */
static enum ke_disposition unwind_scopes(const struct ke_exception_record *record, uint64_t frame,
                                         struct ke_dispatcher_context *dispatcher)
{
    struct scope scope;
    uint64_t rva = dispatcher->ControlPc - dispatcher->ImageBase;
    uint64_t target = dispatcher->TargetIp - dispatcher->ImageBase;
    bool here = record->ExceptionFlags & KE_EXCEPTION_TARGET_UNWIND;
    uint32_t count = scope_count(dispatcher);
    for (uint32_t i = dispatcher->ScopeIndex; i < count && scope_at(dispatcher, i, &scope); i++) {
        if (!contains(&scope, rva))
            continue;
        if (here && holds_target(dispatcher, count, &scope, target))
            break;
        if (here && scope.jump_target && scope.jump_target == target)
            break;
        if (scope.jump_target)
            continue;
        dispatcher->ScopeIndex = i + 1; /* an unwind out of it goes on behind it */
        ((finally_function)(dispatcher->ImageBase + scope.handler))(TRUE, frame);
    }
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

enum ke_disposition WINAPI_DEF win32_C_specific_handler(struct ke_exception_record *record,
                                                        uint64_t frame, struct ke_context *context,
                                                        struct ke_dispatcher_context *dispatcher)
{
    if (record->ExceptionFlags & KE_EXCEPTION_UNWIND)
        return unwind_scopes(record, frame, dispatcher);
    return search_scopes(record, frame, context, dispatcher);
}

void WINAPI_DEF win32_local_unwind(void *frame, void *target)
{
    ke_unwind_ex(frame, target, NULL, NULL, NULL, NULL);
}

static void WINAPI_DEF nt_RtlUnwind(void *frame, void *ip, struct ke_exception_record *record,
                                    void *value)
{
    ke_unwind_ex(frame, ip, record, value, NULL, NULL);
}

#define AS(export_name, fn)                                                              \
    {                                                                                    \
        .name = #export_name, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)(fn) \
    }
const struct ldr_builtin_export ntdll_unwind_exports[] = {
    AS(RtlLookupFunctionEntry, ke_lookup_function_entry),
    AS(RtlVirtualUnwind, ke_virtual_unwind),
    AS(RtlUnwindEx, ke_unwind_ex),
    LDR_FN(nt_, RtlUnwind),
    AS(RtlRestoreContext, ke_restore_context),
    AS(RtlAddFunctionTable, ke_add_function_table),
    AS(RtlDeleteFunctionTable, ke_delete_function_table),
    AS(RtlInstallFunctionTableCallback, ke_install_function_table_callback),
    AS(RtlAddGrowableFunctionTable, ke_add_growable_function_table),
    AS(RtlGrowFunctionTable, ke_grow_function_table),
    AS(RtlDeleteGrowableFunctionTable, ke_delete_growable_function_table),
};
const size_t ntdll_unwind_count = sizeof(ntdll_unwind_exports) / sizeof(*ntdll_unwind_exports);

#endif
