/*
 * The unhandled filter, and the names of exceptions.
 */
#include <string.h>

#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/ke/report.h"

typedef int32_t(WINAPI *exception_handler)(struct ke_exception_pointers *pointers);

static exception_handler unhandled_filter;

void *ke_set_unhandled_filter(void *filter)
{
    return (void *)__atomic_exchange_n(&unhandled_filter, (exception_handler)filter,
                                       __ATOMIC_ACQ_REL);
}

const char *ke_exception_name(uint32_t code)
{
    static const struct {
        uint32_t code;
        const char *name;
    } names[] = {
        {0xE06D7363, "C++ exception (MSVC)"},
        {0x20474343, "C++ exception (GCC)"},
        {0xE0434352, "CLR exception"},
        {0xC0000025, "STATUS_NONCONTINUABLE_EXCEPTION"},
        {0xC0000094, "STATUS_INTEGER_DIVIDE_BY_ZERO"},
        {0xC00000FD, "STATUS_STACK_OVERFLOW"},
        {0xC0000409, "STATUS_STACK_BUFFER_OVERRUN"},
        {0xC06D007E, "delay-load module not found"},
        {0xC06D007F, "delay-load function not found"},
    };
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].code == code)
            return names[i].name;
    const char *name = nt_status_name(code);
    return strcmp(name, "STATUS_UNKNOWN") ? name : "";
}

void ke_report_exception(const struct ke_exception_record *record)
{
    struct ke_text text = {.length = 0};
    ke_text_put(&text, "unhandled exception ");
    const char *name = ke_exception_name(record->ExceptionCode);
    ke_text_put(&text, name);
    ke_text_put(&text, *name ? " " : "");
    ke_text_hex(&text, record->ExceptionCode);
    ke_text_put(&text, " at ");
    ke_text_address(&text, (uintptr_t)record->ExceptionAddress);
    ke_text_report(&text);
}

int32_t ke_unhandled(struct ke_exception_pointers *pointers)
{
    /* The frame that a filter was called from: an exception of the filter itself has none. When the
     * filter has unwound instead of returning, it lies below the stack pointer. */
    static __thread uintptr_t in_filter;
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    exception_handler filter = __atomic_load_n(&unhandled_filter, __ATOMIC_ACQUIRE);
    int32_t answer = KE_CONTINUE_SEARCH;
    if (filter && here >= in_filter) {
        in_filter = here;
        answer = filter(pointers);
        in_filter = 0;
    }
    if (answer != KE_CONTINUE_SEARCH)
        return answer;
    ke_report_crash(pointers->ExceptionRecord, pointers->ContextRecord);
    return KE_EXECUTE_HANDLER;
}

void ke_report_crash(const struct ke_exception_record *record, const struct ke_context *context)
{
    ke_report_exception(record);
}
