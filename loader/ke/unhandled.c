/*
 * The unhandled filter.
 */
#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/state.h"

typedef int32_t(WINAPI *exception_handler)(struct ke_exception_pointers *pointers);

static exception_handler unhandled_filter IMAGE_STATE;

void *ke_set_unhandled_filter(void *filter)
{
    return (void *)__atomic_exchange_n(&unhandled_filter, (exception_handler)filter,
                                       __ATOMIC_ACQ_REL);
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
