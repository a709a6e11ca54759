/*
 * C++ frames of x86-64: __CxxFrameHandler3 and __CxxFrameHandler4.
 *
 * The function table names the handler and, behind it, the C++ tables. A catch block is a function
 * of its own that gets the frame of the function that it belongs to. It runs before the stack below
 * that frame is given back, since the exception lies there: RtlUnwindEx with
 * STATUS_UNWIND_CONSOLIDATE calls run_catch() on top of it, and goes on where that says.
 *
 * A frame that is not innermost has the return address of the throw even while its catch block or
 * clean-up runs; eh_state.h knows the state that it really is in.
 */
#include "loader/win32/crt/eh_frame.h"

#ifdef __x86_64__

#include "loader/ke/ke.h"
#include "loader/ke/unwind.h"
#include "loader/stack.h"
#include "loader/win32/crt/internal.h"

#define STATUS_LONGJUMP    0x80000026u
#define STATUS_CONSOLIDATE 0x80000029u

/* ExceptionInformation of the unwind to a catch block. Other runtimes that an image may bring look
 * at the first, fourth and ninth. */
enum parameter {
    RUN,
    FRAME,
    CODE,
    TARGET_STATE,
    CONTEXT,
    EXCEPTION,
    BODY,
    ENCLOSING,
    MAGIC,
    NEXT_COUNT,
    NEXT,
    NEXT_2,
};

uintptr_t eh_call(uintptr_t code, uintptr_t body)
{
    return ((uintptr_t(WINAPI *)(uintptr_t unused, uintptr_t frame))code)(code, body);
}

void eh_set_state(struct eh_frame *frame, int32_t state)
{
}

/* ---- taking an exception
 * ------------------------------------------------------------------------------------ */

/* Returns the address where execution goes on, with the registers of the frame. */
STACK_JUMPER static uintptr_t WINAPI_DEF run_catch(struct ke_exception_record *unwind)
{
    const uintptr_t *info = unwind->ExceptionInformation;
    struct eh_record record = {
        .frame = info[FRAME],
        .state = (int32_t)info[ENCLOSING],
        .exception = (struct ke_exception_record *)info[EXCEPTION],
        .context = (struct ke_context *)info[CONTEXT],
    };
    record.foreign = !eh_is_cxx(record.exception);
    eh_enter_catch(&record);
    uintptr_t next = eh_call(info[CODE], info[BODY]);
    eh_leave_catch(&record);
    return next < info[NEXT_COUNT] ? info[NEXT + next] : next;
}

void eh_take(const struct eh_frame *frame, const struct eh_taker *taker)
{
    struct ke_dispatcher_context *dispatcher = frame->dispatcher;
    uintptr_t base = frame->function.image.base;
    struct ke_exception_record unwind = {.ExceptionCode = STATUS_CONSOLIDATE,
                                         .ExceptionFlags = KE_EXCEPTION_NONCONTINUABLE,
                                         .NumberParameters = KE_EXCEPTION_PARAMETERS,
                                         .ExceptionInformation = {
                                             [RUN] = (uintptr_t)run_catch,
                                             [FRAME] = frame->key,
                                             [CODE] = base + taker->code.code,
                                             [TARGET_STATE] = (uintptr_t)taker->block.low,
                                             [CONTEXT] = (uintptr_t)taker->context,
                                             [EXCEPTION] = (uintptr_t)taker->exception,
                                             [BODY] = frame->body,
                                             [ENCLOSING] = (uintptr_t)(intptr_t)taker->enclosing,
                                             [MAGIC] = EH_MAGIC,
                                             [NEXT_COUNT] = taker->code.next_count,
                                             [NEXT] = base + taker->code.next[0],
                                             [NEXT_2] = base + taker->code.next[1],
                                         }};
    ke_unwind_ex((void *)frame->key, (void *)dispatcher->ControlPc, &unwind, NULL,
                 dispatcher->ContextRecord, dispatcher->HistoryTable);
    eh_terminate("the way to a catch block is lost");
}

/* ---- finding the frame
 * -------------------------------------------------------------------------------------- */

/* Where the function begins that a part of it, which the function table lists apart, belongs to. */
static uint32_t primary_start(const struct eh_image *image, const struct ke_runtime_function *entry)
{
    enum { LONGEST_CHAIN = 32, CODES_AT = 4 };
    uint32_t start = entry->BeginAddress, unwind = entry->UnwindData;
    uint8_t head, count;
    for (int i = 0; i < LONGEST_CHAIN && pe_u8(image->bytes, unwind, &head) &&
                    (head >> 3 & KE_UNW_FLAG_CHAININFO) != 0 &&
                    pe_u8(image->bytes, (uint64_t)unwind + 2, &count);
         i++) {
        uint64_t next = (uint64_t)unwind + CODES_AT + 2u * ((count + 1u) & ~1u);
        if (!pe_u32(image->bytes, next, &start) || !pe_u32(image->bytes, next + 8, &unwind)) {
            break;
        }
    }
    return start;
}

/* A catch block's frame holds that of its function. Tables may name any place. */
STACK_JUMPER static void follow_parent(struct eh_frame *frame, int32_t at)
{
    const struct ke_teb *teb = ke_teb();
    uintptr_t place = frame->key + (uintptr_t)(intptr_t)at;
    if (place < (uintptr_t)teb->StackLimit ||
        place > (uintptr_t)teb->StackBase - sizeof(frame->body)) {
        eh_corrupt(&frame->function.image);
    }
    frame->body = *(const uintptr_t *)place;
}

/* Version 3: whether the function at `start` is a catch block of the tables' function. */
static void find_catch(struct eh_frame *frame, uint32_t start)
{
    const struct eh_function *f = &frame->function;
    uint32_t at = f->try_map;
    struct eh_try block;
    struct eh_catch code;
    for (uint32_t i = 0; i < f->tries && f->format->next_try(f, &at, &block); i++) {
        uint32_t its = block.catch_map;
        for (uint32_t k = 0; k < block.catches && f->format->next_catch(f, &its, &code); k++) {
            if (code.code == start) {
                frame->in_catch = true;
                frame->around = block;
                follow_parent(frame, code.parent_frame);
                return;
            }
        }
    }
}

static bool open_frame(struct eh_frame *frame, const struct ke_dispatcher_context *dispatcher,
                       unsigned version)
{
    struct eh_image image;
    uint32_t info;
    const struct ke_runtime_function *entry = dispatcher->FunctionEntry;
    if (!eh_image_at(dispatcher->ImageBase, &image) || image.base != dispatcher->ImageBase ||
        !pe_u32(image.bytes, (uintptr_t)dispatcher->HandlerData - image.base, &info)) {
        return false;
    }
    if (version == 3 ? !eh_open_v3(&image, info, &frame->function)
                     : !eh_open_v4(&image, info, entry->BeginAddress, &frame->function)) {
        eh_corrupt(&image);
    }
    if (version == 3) {
        find_catch(frame, primary_start(&image, entry));
    } else if ((frame->function.flags & EH_CATCH) != 0) {
        follow_parent(frame, frame->function.parent_frame);
    }
    return true;
}

static int32_t state_at(const struct eh_function *f, uint64_t pc)
{
    int32_t state;
    if (!f->format->state_at(f, (uint32_t)(pc - f->image.base), &state)) {
        eh_corrupt(&f->image);
    }
    return state;
}

/* ---- the handlers
 * ------------------------------------------------------------------------------------------- */

static void unwind_frame(struct eh_frame *frame, const struct ke_exception_record *record)
{
    const struct ke_dispatcher_context *dispatcher = frame->dispatcher;
    int32_t target = frame->in_catch ? frame->around.high : EH_NO_STATE;
    struct eh_record *abandoned;
    while ((abandoned = eh_next_abandoned(frame->key, NULL)) != NULL) {
        eh_end(abandoned);
    }
    if (!eh_concerns(&frame->function, record)) {
        return;
    }
    if ((record->ExceptionFlags & KE_EXCEPTION_TARGET_UNWIND) != 0) {
        if (record->ExceptionCode == STATUS_LONGJUMP) {
            target = state_at(&frame->function, dispatcher->TargetIp);
        } else if (record->ExceptionCode == STATUS_CONSOLIDATE &&
                   record->NumberParameters == KE_EXCEPTION_PARAMETERS &&
                   record->ExceptionInformation[MAGIC] == EH_MAGIC) {
            target = (int32_t)record->ExceptionInformation[TARGET_STATE];
        }
    }
    eh_unwind_to(frame, target);
}

static enum ke_disposition handle(struct ke_exception_record *record, uint64_t key,
                                  struct ke_context *context,
                                  struct ke_dispatcher_context *dispatcher, unsigned version)
{
    struct eh_frame frame = {.key = key, .body = key, .dispatcher = dispatcher};
    if (!open_frame(&frame, dispatcher, version)) {
        return KE_DISPOSITION_CONTINUE_SEARCH;
    }
    if (!eh_state_of_frame(key, &frame.state)) {
        frame.state = state_at(&frame.function, dispatcher->ControlPc);
    }
    if ((record->ExceptionFlags & KE_EXCEPTION_UNWIND) != 0) {
        unwind_frame(&frame, record);
    } else if (eh_concerns(&frame.function, record)) {
        eh_search(&frame, record, context);
    }
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

static WINCDECL_DEF enum ke_disposition crt___CxxFrameHandler3(
    struct ke_exception_record *record, uint64_t frame, struct ke_context *context,
    struct ke_dispatcher_context *dispatcher)
{
    return handle(record, frame, context, dispatcher, 3);
}

static WINCDECL_DEF enum ke_disposition crt___CxxFrameHandler4(
    struct ke_exception_record *record, uint64_t frame, struct ke_context *context,
    struct ke_dispatcher_context *dispatcher)
{
    return handle(record, frame, context, dispatcher, 4);
}

static const struct ldr_builtin_export functions[] = {
    CRT_AS(__CxxFrameHandler, crt___CxxFrameHandler3),
    CRT_AS(__CxxFrameHandler2, crt___CxxFrameHandler3),
    CRT_FN(__CxxFrameHandler3),
    CRT_FN(__CxxFrameHandler4),
};
CRT_FAMILY(crt_eh_frame_family, functions);

#endif
