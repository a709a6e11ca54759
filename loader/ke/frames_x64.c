/*
 * Exception dispatch over the frames of an x86-64 stack.
 */
#include "loader/ke/exception.h"
#include "loader/ke/unwind.h"

#ifdef __x86_64__

void ke_unwind_chain(uintptr_t end)
{
}

enum ke_search ke_search_frames(struct ke_exception_record *record, struct ke_context *context,
                                uintptr_t *where)
{
    return KE_SEARCH_BOTTOM;
}

#endif
