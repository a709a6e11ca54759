/*
 * Exception dispatch over the chain of registration records at fs:[0].
 */
#include "loader/ke/exception.h"

#ifdef __i386__

void ke_unwind_chain(uintptr_t end)
{
}

enum ke_search ke_search_frames(struct ke_exception_record *record, struct ke_context *context,
                                uintptr_t *where)
{
    return KE_SEARCH_BOTTOM;
}

#endif
