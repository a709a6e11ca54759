/*
 * The guarded call: a gate around a function of the host (loader/peldr.h).
 */
#include <string.h>

#include "loader/abi.h"
#include "loader/ke/exception.h"
#include "loader/ke/report.h"
#include "loader/ldr/gate.h"
#include "loader/peldr_api.h"

struct guarded {
    void (*body)(void *user);
    void *user;
};

static uintptr_t WINAPI_DEF call_body(struct guarded *guarded)
{
    guarded->body(guarded->user);
    return 0;
}

static void describe(const struct ke_exception_record *record, struct peldr_exception *out)
{
    struct ke_text where = {.length = 0};
    ke_text_address(&where, (uintptr_t)record->ExceptionAddress);
    memset(out, 0, sizeof *out);
    out->code = record->ExceptionCode;
    out->flags = record->ExceptionFlags;
    out->address = (uintptr_t)record->ExceptionAddress;
    out->parameter_count = record->NumberParameters;
    for (uint32_t i = 0; i < record->NumberParameters && i < KE_EXCEPTION_PARAMETERS; i++) {
        out->parameters[i] = record->ExceptionInformation[i];
    }
    out->name = ke_exception_name(record->ExceptionCode);
    if (where.length >= sizeof out->where) {
        where.length = sizeof out->where - 1;
    }
    memcpy(out->where, where.bytes, where.length);
}

int peldr_call_guarded(void (*body)(void *user), void *user, struct peldr_exception *exception)
{
    struct pe_error *err;
    if (peldr_result(peldr_enter(&err)) != 0) {
        return -1;
    }
    struct guarded guarded = {body, user};
    struct ke_exception_record record;
    struct ldr_gate gate = {.kind = LDR_GATE_GUARD, .user = &record};
    ldr_gate_run(&gate, (uintptr_t)call_body, (uintptr_t)&guarded, 0, 0);
    if (gate.exception == 0) {
        return 0;
    }
    if (exception) {
        describe(&record, exception);
    }
    return 1;
}
