/*
 * The end of a call of a function that is on Windows's export list but not written (design,
 * decision 9).
 *
 * The builtin's thunk lies in a mapped image as well, so the caller that is worth naming is the
 * first address on the stack that belongs to a module which is none of peldr's own.
 */
#include <string.h>

#include "loader/ke/exception.h"
#include "loader/ke/process.h"
#include "loader/ke/report.h"
#include "loader/ke/thread.h"

/* Reads the stack as words, which a sanitizer would object to. */
static __attribute__((no_sanitize("address"))) uintptr_t find_foreign_caller(
    uintptr_t stack_pointer)
{
    const uintptr_t end = (uintptr_t)ke_teb()->StackBase;
    for (int i = 0; i < 64 && stack_pointer < end; i++) {
        uintptr_t found = ke_find_caller(stack_pointer);
        struct ldr_module *module = found ? ldr_find_by_address(found) : NULL;
        if (!found || (module && !ldr_module_is_builtin(module)))
            return found;
        while (stack_pointer < end && *(const uintptr_t *)stack_pointer != found)
            stack_pointer += sizeof(uintptr_t);
        stack_pointer += sizeof(uintptr_t);
    }
    return 0;
}

void ke_trap(const char *module, const char *name)
{
    struct ke_text text = {.length = 0};
    uintptr_t caller = find_foreign_caller((uintptr_t)__builtin_frame_address(0));
    ke_text_put(&text, module);
    ke_text_put(&text, "!");
    ke_text_put(&text, name);
    ke_text_put(&text, " is not implemented");
    if (caller) {
        ke_text_put(&text, " (called from ");
        ke_text_address(&text, caller);
        ke_text_put(&text, ")");
    }
    ke_text_report(&text);
    const uintptr_t parameters[] = {(uintptr_t)module, (uintptr_t)name};
    ke_raise_at(STATUS_NOT_IMPLEMENTED, KE_EXCEPTION_NONCONTINUABLE, 2, parameters, (void *)caller);
    ke_process_terminate(STATUS_NOT_IMPLEMENTED);
}
