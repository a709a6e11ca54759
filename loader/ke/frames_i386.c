/*
 * Exception dispatch over the chain of registration records at fs:[0] (chain.h).
 *
 * The walk is RtlDispatchException's: it ends with EXCEPTION_STACK_INVALID at a record that cannot
 * be one and at a handler that may not be called. Records of code outside the innermost gate are
 * that code's own.
 */
#include "loader/ke/chain.h"

#ifdef __i386__

#include "loader/ke/ke.h"
#include "loader/ldr/gate.h"
#include "loader/stack.h"

/* An exception has met the handler of a frame that is running: that frame's is nested in it. */
STACK_JUMPER static enum ke_disposition WINCDECL_DEF
nested_exception(struct ke_exception_record *record, struct ke_registration *frame,
                 struct ke_context *context, struct ke_registration **dispatcher)
{
    if (record->ExceptionFlags & KE_EXCEPTION_UNWIND)
        return KE_DISPOSITION_CONTINUE_SEARCH;
    *dispatcher = ((struct ke_inner_frame *)frame)->frame;
    return KE_DISPOSITION_NESTED_EXCEPTION;
}

/* Calls one handler. `*nested` is the outermost frame whose handler is known to be running. */
static bool offer(struct ke_registration *frame, struct ke_registration **nested,
                  struct ke_exception_record *record, struct ke_context *context)
{
    struct ke_registration *dispatcher = NULL;
    enum ke_disposition answer =
        ke_frame_call(record, frame, context, &dispatcher, frame->Handler, nested_exception);
    if (frame == *nested) {
        record->ExceptionFlags &= ~KE_EXCEPTION_NESTED_CALL;
        *nested = NULL;
    }
    switch (answer) {
    case KE_DISPOSITION_CONTINUE_EXECUTION:
        return true;
    case KE_DISPOSITION_CONTINUE_SEARCH:
        return false;
    case KE_DISPOSITION_NESTED_EXCEPTION:
        record->ExceptionFlags |= KE_EXCEPTION_NESTED_CALL;
        if (dispatcher > *nested)
            *nested = dispatcher;
        return false;
    default:
        ke_frame_bad_answer(record);
    }
}

/* Whether a record may be one and its handler be called. */
STACK_JUMPER static bool may_offer(const struct ke_chain_bounds *bounds,
                                   const struct ke_registration *frame)
{
    return ke_chain_holds(bounds, frame) && ke_frame_handler_allowed((uintptr_t)frame->Handler);
}

STACK_JUMPER enum ke_search ke_search_frames(struct ke_exception_record *record,
                                             struct ke_context *context, uintptr_t *where)
{
    struct ke_chain_bounds bounds = ke_chain_bounds();
    const struct ldr_gate *gate = ldr_gate_current();
    struct ke_registration *nested = NULL;
    struct ke_registration *frame = ke_teb()->ExceptionList;
    for (; frame != KE_CHAIN_END; frame = frame->Next) {
        if (gate && (uintptr_t)frame >= gate->low)
            return KE_SEARCH_GATE;
        if (!may_offer(&bounds, frame)) {
            record->ExceptionFlags |= KE_EXCEPTION_STACK_INVALID;
            return KE_SEARCH_BOTTOM;
        }
        if (offer(frame, &nested, record, context))
            return KE_SEARCH_CONTINUE;
        bounds.low = (uintptr_t)frame + 1; /* the next one lies above */
    }
    return gate ? KE_SEARCH_GATE : KE_SEARCH_BOTTOM;
}

#endif
