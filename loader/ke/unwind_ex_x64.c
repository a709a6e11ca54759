/*
 * RtlUnwindEx and RtlRestoreContext.
 *
 * As documented: from the caller's frame outwards, every termination handler is called with the
 * record, up to and including the target frame, whose CONTEXT is then loaded with the target
 * address and the return value. An unwind inside of a handler of another one takes over that one's
 * frames ("collided unwind"). Native frames in between are left behind.
 */
#include <string.h>

#include "loader/ke/ke.h"
#include "loader/ke/native.h"
#include "loader/ke/probe.h"
#include "loader/ke/unwind_x64.h"
#include "loader/stack.h"

#ifdef __x86_64__

/* NTSTATUS values: STATUS_UNWIND, STATUS_BAD_STACK, STATUS_INVALID_UNWIND_TARGET ... */
enum {
    UNWIND_PLAIN = 0xC0000027u,
    UNWIND_BAD_STACK = 0xC0000028u,
    UNWIND_INVALID_TARGET = 0xC0000029u,
    UNWIND_INVALID_DISPOSITION = 0xC0000026u,
    UNWIND_LONGJUMP = 0x80000026u,
    UNWIND_CONSOLIDATE = 0x80000029u,
};

/* What ke_unwind_ex() comes to (entry_x64.S): its caller's registers, its arguments. */
void ke_unwind_entered(const struct ke_context *caller, const uintptr_t *arguments)
    __attribute__((noreturn));

struct unwind {
    uint64_t target_frame, target_ip;
    struct ke_exception_record *record;
    void *value;
    struct ke_walk walk;
    struct ke_context caller; /* walk.context, one frame further */
    struct ke_stub_call call;
};

static void raise_status(uint32_t code, struct ke_exception_record *first)
{
    struct ke_exception_record record = {
        .ExceptionCode = code,
        .ExceptionFlags = KE_EXCEPTION_NONCONTINUABLE,
        .ExceptionRecord = first,
        .ExceptionAddress = first->ExceptionAddress,
    };
    ke_raise_record(&record);
}

bool ke_dispatcher_context_of(const struct ke_dispatcher_context *dispatcher,
                              struct ke_context *out)
{
    if (!ke_probe(out, (uintptr_t)dispatcher->ContextRecord, sizeof(*out)))
        return false;
    out->Rip = dispatcher->ControlPc;
    return true;
}

/* ---- the end ----------------------------------------------------------------------------------
 */

/* _JUMP_BUFFER of setjmp.h. */
struct jump_buffer {
    uint64_t Frame, Rbx, Rsp, Rbp, Rsi, Rdi, R12, R13, R14, R15, Rip;
    uint32_t MxCsr;
    uint16_t FpCsr, Spare;
    struct {
        uint64_t low, high;
    } Xmm[10]; /* xmm6 to xmm15 */
};
_Static_assert(offsetof(struct jump_buffer, Xmm) == 0x60, "_JUMP_BUFFER");

static void load_jump(struct ke_context *context, const struct jump_buffer *jump)
{
    context->Rbx = jump->Rbx;
    context->Rsp = jump->Rsp;
    context->Rbp = jump->Rbp;
    context->Rsi = jump->Rsi;
    context->Rdi = jump->Rdi;
    context->R12 = jump->R12;
    context->R13 = jump->R13;
    context->R14 = jump->R14;
    context->R15 = jump->R15;
    context->Rip = jump->Rip;
    context->MxCsr = context->FltSave.MxCsr = jump->MxCsr;
    context->FltSave.ControlWord = jump->FpCsr;
    memcpy(&context->FltSave.XmmRegisters[6], jump->Xmm, sizeof(jump->Xmm));
}

/* The function runs below everything that is unwound, and what it throws meets `context`. */
static void consolidate(struct ke_context *context, struct ke_exception_record *record)
{
    context->Rip = ke_stub_consolidate(record->ExceptionInformation[0], record, context);
}

STACK_JUMPER void WINAPI_DEF ke_restore_context(struct ke_context *context,
                                                struct ke_exception_record *record)
{
    if (record && record->ExceptionCode == UNWIND_LONGJUMP && record->NumberParameters >= 1)
        load_jump(context, (const struct jump_buffer *)record->ExceptionInformation[0]);
    if (record && record->ExceptionCode == UNWIND_CONSOLIDATE && record->NumberParameters >= 1)
        consolidate(context, record);
    ke_continue(context);
}

/*
 * What setjmp's compiler passes for its frame is the establisher frame with Microsoft's, the stack
 * pointer at the function's entry with clang, which is the next frame's. The frame that holds the
 * stack pointer to jump to is the one meant.
 */
static bool holds_jump(const struct unwind *unwind)
{
    const struct ke_exception_record *record = unwind->record;
    uintptr_t sp;
    return record->ExceptionCode == UNWIND_LONGJUMP && record->NumberParameters >= 1 &&
           ke_probe_word(&sp,
                         record->ExceptionInformation[0] + offsetof(struct jump_buffer, Rsp)) &&
           sp < unwind->caller.Rsp;
}

static bool is_target(const struct unwind *unwind, uint64_t establisher)
{
    return unwind->target_frame && (establisher == unwind->target_frame || holds_jump(unwind));
}

/* A walk that has got past the target would never end there. */
static bool is_beyond(const struct unwind *unwind, uint64_t establisher)
{
    return unwind->target_frame && establisher > unwind->target_frame && !holds_jump(unwind);
}

/* ---- frames -----------------------------------------------------------------------------------
 */

/* Calls the frame's handler, which has no choice but to let the unwind go on. */
static bool call_handler(struct unwind *unwind)
{
    struct ke_dispatcher_context *dispatcher = &unwind->call.dispatcher;
    uint64_t establisher = dispatcher->EstablisherFrame;
    struct ke_exception_record *record = unwind->record;
    record->ExceptionFlags &= ~(KE_EXCEPTION_TARGET_UNWIND | KE_EXCEPTION_COLLIDED_UNWIND);
    if (is_target(unwind, establisher))
        record->ExceptionFlags |= KE_EXCEPTION_TARGET_UNWIND;
    if (unwind->walk.stub == KE_STUB_UNWIND)
        record->ExceptionFlags |= KE_EXCEPTION_COLLIDED_UNWIND;
    unwind->walk.stub = KE_STUB_OTHER;
    dispatcher->TargetIp = unwind->target_ip;
    dispatcher->ContextRecord = &unwind->walk.context;
    unwind->walk.context.Rax = (uintptr_t)unwind->value;
    enum ke_disposition answer =
        ke_stub_unwind(record, establisher, &unwind->walk.context, &unwind->call);
    if (answer != KE_DISPOSITION_CONTINUE_SEARCH)
        raise_status(UNWIND_INVALID_DISPOSITION, record);
    return answer == KE_DISPOSITION_CONTINUE_SEARCH;
}

/* What an unwound frame's end means: the target, beyond it, or on to the caller. */
static void finish_frame(struct unwind *unwind, uint64_t establisher)
{
    if (is_target(unwind, establisher)) {
        struct ke_context *context = &unwind->walk.context;
        context->Rax = (uintptr_t)unwind->value;
        if (unwind->record->ExceptionCode != UNWIND_CONSOLIDATE)
            context->Rip = unwind->target_ip;
        ke_restore_context(context, unwind->record);
    }
    unwind->walk.context = unwind->caller;
    unwind->walk.exact = false;
}

static bool visit_frame(struct unwind *unwind)
{
    struct ke_walk *walk = &unwind->walk;
    struct ke_virtual_frame frame;
    uint64_t pc = walk->context.Rip;
    unwind->caller = walk->context;
    if (!ke_virtual_step(KE_UNW_FLAG_UHANDLER, walk->image_base, pc, walk->function,
                         &unwind->caller, &frame, NULL) ||
        unwind->caller.Rsp <= walk->context.Rsp)
        return false;
    if (!walk->function) {
        finish_frame(unwind, 0);
        return true;
    }
    if (!ke_walk_is_frame(frame.establisher) || is_beyond(unwind, frame.establisher))
        return false;
    if (frame.handler) {
        unwind->call.dispatcher = (struct ke_dispatcher_context){
            .ControlPc = pc,
            .ImageBase = walk->image_base,
            .FunctionEntry = walk->function,
            .EstablisherFrame = frame.establisher,
            .LanguageHandler = frame.handler,
            .HandlerData = frame.handler_data,
        };
        walk->stub = KE_STUB_OTHER;
        if (!call_handler(unwind))
            return false;
    }
    finish_frame(unwind, frame.establisher);
    return true;
}

/* Handlers of dispatch that have not returned are left behind; those of an unwind also tell which
 * frame it was at, and what of that is still to do. */
static bool visit_stub(struct unwind *unwind)
{
    struct ke_walk *walk = &unwind->walk;
    struct ke_virtual_frame frame;
    if (walk->stub == KE_STUB_SEARCH)
        return ke_walk_leave_stub(walk);
    uint64_t sp = walk->context.Rsp;
    unwind->call.dispatcher = walk->call.dispatcher;
    if (!ke_dispatcher_context_of(&walk->call.dispatcher, &walk->context) ||
        walk->context.Rsp <= sp)
        return false;
    unwind->caller = walk->context;
    if (!ke_virtual_step(KE_UNW_FLAG_NHANDLER, walk->call.dispatcher.ImageBase,
                         walk->call.dispatcher.ControlPc, walk->call.dispatcher.FunctionEntry,
                         &unwind->caller, &frame, NULL) ||
        unwind->caller.Rsp <= walk->context.Rsp || !ke_walk_is_frame(frame.establisher) ||
        is_beyond(unwind, frame.establisher) || !call_handler(unwind))
        return false;
    finish_frame(unwind, frame.establisher);
    return true;
}

/* Goes until the target is reached, which does not return, or nothing makes sense any more. */
static void unwind_all(struct unwind *unwind)
{
    for (;;) {
        switch (ke_walk_find(&unwind->walk)) {
        case KE_WALK_FRAME:
            if (!visit_frame(unwind))
                return;
            break;
        case KE_WALK_STUB:
            if (!visit_stub(unwind))
                return;
            break;
        default:
            return;
        }
    }
}

void ke_unwind_entered(const struct ke_context *caller, const uintptr_t *arguments)
{
    struct ke_exception_record made = {.ExceptionCode = UNWIND_PLAIN};
    struct ke_exception_record *record = (struct ke_exception_record *)arguments[2];
    struct unwind unwind; /* not zeroed: the contexts are most of it */
    unwind.target_frame = arguments[0];
    unwind.target_ip = arguments[1];
    unwind.record = record ? record : &made;
    unwind.value = (void *)arguments[3];
    unwind.call.outer = NULL;
    unwind.walk.context = *caller;
    unwind.walk.exact = false;
    unwind.walk.stub = KE_STUB_OTHER;
    made.ExceptionAddress = (void *)caller->Rip;
    unwind.record->ExceptionFlags |=
        KE_EXCEPTION_UNWINDING | (unwind.target_frame ? 0 : KE_EXCEPTION_EXIT_UNWIND);
    unwind_all(&unwind);
    raise_status(unwind.target_frame ? UNWIND_INVALID_TARGET : UNWIND_BAD_STACK, unwind.record);
    ke_process_terminate(UNWIND_INVALID_TARGET);
}

#endif
