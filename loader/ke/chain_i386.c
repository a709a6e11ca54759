/*
 * Unwinding the chain of i386 frames (chain.h), and what its two walks share.
 */
#include "loader/ke/chain.h"

#ifdef __i386__

#include "loader/ke/ke.h"
#include "loader/ldr/gate.h"
#include "loader/stack.h"

#define STATUS_UNWIND                0xC0000027u
#define STATUS_BAD_STACK             0xC0000028u
#define STATUS_INVALID_UNWIND_TARGET 0xC0000029u
#define STATUS_INVALID_DISPOSITION   0xC0000026u

/* What lies below this frame is gone, whoever still points to it. */
STACK_JUMPER struct ke_chain_bounds ke_chain_bounds(void)
{
    const struct ke_teb *teb = ke_teb();
    struct ke_chain_bounds bounds = {(uintptr_t)teb->StackLimit, (uintptr_t)teb->StackBase};
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    if (here > bounds.low && here < bounds.high)
        bounds.low = here;
    return bounds;
}

bool ke_chain_holds(const struct ke_chain_bounds *bounds, const struct ke_registration *frame)
{
    uintptr_t at = (uintptr_t)frame;
    return at % sizeof(uintptr_t) == 0 && at >= bounds->low && at < bounds->high &&
           bounds->high - at >= sizeof(*frame);
}

/* An exception of the walk itself: nobody may continue it. */
static __attribute__((noreturn)) void fail(uint32_t code, struct ke_exception_record *about)
{
    struct ke_exception_record record = {
        .ExceptionCode = code,
        .ExceptionFlags = KE_EXCEPTION_NONCONTINUABLE,
        .ExceptionRecord = about,
        .ExceptionAddress = about->ExceptionAddress,
    };
    ke_raise_record(&record);
    ke_process_terminate(code);
}

void ke_frame_bad_answer(struct ke_exception_record *record)
{
    fail(STATUS_INVALID_DISPOSITION, record);
}

/* A second unwind has met a frame whose handler runs for a first one, which it takes over. */
STACK_JUMPER static enum ke_disposition WINCDECL_DEF
collided_unwind(struct ke_exception_record *record, struct ke_registration *frame,
                struct ke_context *context, struct ke_registration **dispatcher)
{
    if (!(record->ExceptionFlags & KE_EXCEPTION_UNWIND))
        return KE_DISPOSITION_CONTINUE_SEARCH;
    *dispatcher = ((struct ke_inner_frame *)frame)->frame;
    return KE_DISPOSITION_COLLIDED_UNWIND;
}

/* Nobody is there to unwind to. As an exception that no frame is left for. */
static void exit_unwind(struct ke_exception_record *record)
{
    ke_raise_record(record);
    ke_process_terminate(record->ExceptionCode);
}

/* Takes `frame` and what is below out of the chain; returns the next one. */
STACK_JUMPER static struct ke_registration *unlink_frame(struct ke_registration *frame)
{
    ke_teb()->ExceptionList = frame->Next;
    return frame->Next;
}

/*
 * Unwinds one frame and returns the next. The one that an earlier unwind was at has been called
 * already, but stays when it is the target: one of its termination handlers caught an exception.
 */
STACK_JUMPER static struct ke_registration *unwind_frame(struct ke_registration *frame,
                                                         const struct ke_registration *target,
                                                         struct ke_exception_record *record,
                                                         struct ke_context *context)
{
    struct ke_registration *dispatcher = NULL;
    enum ke_disposition answer =
        ke_frame_call(record, frame, context, &dispatcher, frame->Handler, collided_unwind);
    if (answer == KE_DISPOSITION_COLLIDED_UNWIND) {
        struct ke_chain_bounds bounds = ke_chain_bounds();
        if (dispatcher < frame || !ke_chain_holds(&bounds, dispatcher))
            fail(STATUS_BAD_STACK, record);
        frame = dispatcher;
        if (frame == target)
            return ke_teb()->ExceptionList = frame;
    } else if (answer != KE_DISPOSITION_CONTINUE_SEARCH) {
        fail(STATUS_INVALID_DISPOSITION, record);
    }
    return unlink_frame(frame);
}

STACK_JUMPER static void unwind_to(struct ke_registration *target,
                                   struct ke_exception_record *record, struct ke_context *context)
{
    struct ke_chain_bounds bounds = ke_chain_bounds();
    const struct ldr_gate *gate = ldr_gate_current();
    struct ke_registration *frame = ke_teb()->ExceptionList;
    while (frame != target && frame != KE_CHAIN_END) {
        if (target && target < frame)
            fail(STATUS_INVALID_UNWIND_TARGET, record);
        if (gate && (uintptr_t)frame >= gate->low)
            break;
        if (!ke_chain_holds(&bounds, frame))
            fail(STATUS_BAD_STACK, record);
        bounds.low = (uintptr_t)frame + 1;
        frame = unwind_frame(frame, target, record, context);
    }
    if (frame != target && target != KE_CHAIN_END)
        exit_unwind(record);
}

void ke_unwind_frames(struct ke_registration *target, struct ke_exception_record *record,
                      struct ke_context *context)
{
    struct ke_exception_record plain = {
        .ExceptionCode = STATUS_UNWIND,
        .ExceptionAddress = (void *)KE_CONTEXT_PC(context),
    };
    if (!record)
        record = &plain;
    record->ExceptionFlags |= KE_EXCEPTION_UNWINDING | (target ? 0 : KE_EXCEPTION_EXIT_UNWIND);
    unwind_to(target, record, context);
}

/* Frames of code outside a call that runs on a stack of its own lie on another one. */
static bool may_be_outer(uintptr_t end, const struct ke_registration *frame)
{
    struct ke_chain_bounds outer = {end, (uintptr_t)ke_teb()->StackBase};
    const struct ldr_gate *gate = ldr_gate_current();
    return ke_chain_holds(&outer, frame) || (gate && gate->stack);
}

/* A chain that makes no sense on the way is cut off: what is above `end` cannot be found. */
STACK_JUMPER void ke_unwind_chain(uintptr_t end)
{
    struct ke_chain_bounds bounds = ke_chain_bounds();
    struct ke_teb *teb = ke_teb();
    struct ke_registration *frame = teb->ExceptionList;
    if (bounds.high > end)
        bounds.high = end;
    while (ke_chain_holds(&bounds, frame)) {
        bounds.low = (uintptr_t)frame + 1;
        frame = frame->Next;
    }
    teb->ExceptionList = may_be_outer(end, frame) ? frame : KE_CHAIN_END;
}

#endif
