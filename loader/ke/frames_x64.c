/*
 * The search for a handler over the frames of an x86-64 stack: what RtlDispatchException does after
 * the vectored handlers.
 *
 * Language handlers, their arguments and answers: Microsoft, "x64 exception handling"; nested
 * exceptions and collided unwinds as Windows's dispatcher is described there and in winnt.h. The
 * context of dispatch is a copy: the one that handlers get is that of the exception.
 */
#include "loader/ke/native.h"
#include "loader/ke/unwind_x64.h"

#ifdef __x86_64__

#define STATUS_INVALID_DISPOSITION 0xC0000026u

void ke_unwind_chain(uintptr_t end)
{
}

struct search {
    struct ke_exception_record *record;
    struct ke_context *original;
    struct ke_walk walk;
    struct ke_context first; /* the innermost frame of an image, if no stub was met before it */
    struct ke_stub_call call;
    uint64_t nested; /* while frames up to this one are asked, the exception is a nested one */
};

static void raise_invalid(struct ke_exception_record *first)
{
    struct ke_exception_record record = {
        .ExceptionCode = STATUS_INVALID_DISPOSITION,
        .ExceptionFlags = KE_EXCEPTION_NONCONTINUABLE,
        .ExceptionRecord = first,
    };
    ke_raise_record(&record);
}

/* Calls the handler of the frame that the dispatcher context describes. True: it continues. */
static bool ask(struct search *search)
{
    struct ke_exception_record *record = search->record;
    uint64_t frame = search->call.dispatcher.EstablisherFrame;
    enum ke_disposition answer = ke_stub_search(record, frame, search->original, &search->call);
    if (search->nested == frame) {
        record->ExceptionFlags &= ~KE_EXCEPTION_NESTED_CALL;
        search->nested = 0;
    }
    if (answer != KE_DISPOSITION_CONTINUE_EXECUTION && answer != KE_DISPOSITION_CONTINUE_SEARCH)
        raise_invalid(record);
    return answer == KE_DISPOSITION_CONTINUE_EXECUTION;
}

/* A frame of an image: undoes it and asks its handler. False ends the search, `*end` says how. */
static bool visit_frame(struct search *search, enum ke_search *end)
{
    struct ke_walk *walk = &search->walk;
    struct ke_virtual_frame frame;
    uint64_t pc = walk->context.Rip, sp = walk->context.Rsp;
    *end = KE_SEARCH_BOTTOM;
    if (!ke_virtual_step(KE_UNW_FLAG_EHANDLER, walk->image_base, pc, walk->function, &walk->context,
                         &frame, NULL) ||
        walk->context.Rsp <= sp || (walk->function && !ke_walk_is_frame(frame.establisher))) {
        search->record->ExceptionFlags |= KE_EXCEPTION_STACK_INVALID;
        return false;
    }
    walk->exact = false;
    if (!frame.handler)
        return true;
    search->call.dispatcher = (struct ke_dispatcher_context){
        .ControlPc = pc,
        .ImageBase = walk->image_base,
        .FunctionEntry = walk->function,
        .EstablisherFrame = frame.establisher,
        .ContextRecord = &walk->context,
        .LanguageHandler = frame.handler,
        .HandlerData = frame.handler_data,
    };
    *end = KE_SEARCH_CONTINUE;
    return !ask(search);
}

/* The exception happened in a handler of an unwind: the frame that it was at is asked from where
 * its scopes had got to, then the search goes on behind it. */
static bool visit_collided(struct search *search, enum ke_search *end)
{
    struct ke_walk *walk = &search->walk;
    struct ke_dispatcher_context found = walk->call.dispatcher;
    uint64_t sp = walk->context.Rsp;
    struct ke_virtual_frame frame;
    *end = KE_SEARCH_BOTTOM;
    if (!ke_dispatcher_context_of(&found, &walk->context) || walk->context.Rsp <= sp)
        return false;
    walk->exact = false;
    if (!ke_virtual_step(KE_UNW_FLAG_NHANDLER, found.ImageBase, found.ControlPc,
                         found.FunctionEntry, &walk->context, &frame, NULL) ||
        !ke_walk_is_frame(frame.establisher))
        return false;
    search->call.dispatcher = found;
    search->call.dispatcher.ContextRecord = &walk->context;
    *end = KE_SEARCH_CONTINUE;
    return !ask(search);
}

/* A language handler that has not returned: the exception is its own, or that of what it called. */
static bool visit_stub(struct search *search, enum ke_search *end)
{
    struct ke_walk *walk = &search->walk;
    *end = KE_SEARCH_BOTTOM;
    if (walk->stub == KE_STUB_UNWIND)
        return visit_collided(search, end);
    search->record->ExceptionFlags |= KE_EXCEPTION_NESTED_CALL;
    if (walk->call.dispatcher.EstablisherFrame > search->nested)
        search->nested = walk->call.dispatcher.EstablisherFrame;
    return ke_walk_leave_stub(walk);
}

enum ke_search ke_search_frames(struct ke_exception_record *record, struct ke_context *context,
                                uintptr_t *where)
{
    struct search search; /* not zeroed: the contexts are most of it */
    enum ke_search end;
    bool is_first = true; /* a handler that raises itself is met before any image */
    search.record = record;
    search.original = context;
    search.call.outer = NULL;
    search.nested = 0;
    search.walk.context = *context;
    search.walk.exact = true;
    for (;;) {
        switch (ke_walk_find(&search.walk)) {
        case KE_WALK_FRAME:
            if (is_first) {
                search.first = search.walk.context;
                search.call.outer = &search.first;
            }
            is_first = false;
            if (!visit_frame(&search, &end))
                return end;
            break;
        case KE_WALK_STUB:
            is_first = false;
            if (!visit_stub(&search, &end))
                return end;
            break;
        case KE_WALK_GATE:
            return KE_SEARCH_GATE;
        case KE_WALK_HOST:
            *where = search.walk.where;
            return KE_SEARCH_HOST;
        case KE_WALK_BOTTOM:
            return KE_SEARCH_BOTTOM;
        }
    }
}

#endif
