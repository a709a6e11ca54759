/*
 * The search for a catch block, and clean-up (eh_frame.h).
 */
#include "loader/win32/crt/eh_frame.h"

#include "loader/ke/report.h"
#include "loader/stack.h"
#include "loader/win32/crt/startup.h"

#define STATUS_BREAKPOINT  0x80000003u
#define STATUS_LONGJUMP    0x80000026u
#define STATUS_CONSOLIDATE 0x80000029u

typedef void(WINCDECL *translator)(uint32_t code, struct ke_exception_pointers *pointers);

void eh_terminate(const char *why)
{
    struct ke_text text = {.length = 0};
    ke_text_put(&text, "std::terminate: ");
    ke_text_put(&text, why);
    ke_text_report(&text);
    crt_terminate();
}

void eh_corrupt(const struct eh_image *image)
{
    struct ke_text text = {.length = 0};
    ke_text_put(&text, "the C++ exception tables of the image at ");
    ke_text_address(&text, image->base);
    ke_text_put(&text, " make no sense");
    ke_text_report(&text);
    crt_terminate();
}

bool eh_concerns(const struct eh_function *function, const struct ke_exception_record *record)
{
    return (function->flags & EH_SYNCHRONOUS) == 0 || record->ExceptionCode == EH_CODE ||
           record->ExceptionCode == STATUS_LONGJUMP || record->ExceptionCode == STATUS_CONSOLIDATE;
}

/* ---- clean-up -----------------------------------------------------------------------------------
 */

STACK_JUMPER static void run_action(const struct eh_frame *frame, const struct eh_action *action)
{
    uintptr_t code = frame->function.image.base + action->code;
    uintptr_t object = frame->body + action->object;
    struct eh_record record;
    eh_enter_cleanup(&record, frame->key, action->to);
    switch (action->kind) {
    case EH_RUN:
        eh_call(code, frame->body);
        break;
    case EH_DESTROY:
        ((eh_destructor)code)((void *)object);
        break;
    case EH_DESTROY_POINTED:
        ((eh_destructor)code)(*(void **)object);
        break;
    case EH_NOTHING:
        break;
    }
    eh_leave(&record);
}

void eh_unwind_to(struct eh_frame *frame, int32_t target)
{
    while (frame->state > target) {
        struct eh_action action;
        if (!frame->function.format->action(&frame->function, frame->state, &action)) {
            eh_corrupt(&frame->function.image);
        }
        frame->state = action.to;
        eh_set_state(frame, action.to);
        if (action.kind != EH_NOTHING) {
            run_action(frame, &action);
        }
    }
}

/* ---- search -------------------------------------------------------------------------------------
 */

/* A catch block's own frame answers for the try blocks inside of the catch block. */
static bool covers(const struct eh_frame *frame, const struct eh_try *block)
{
    return block->low <= frame->state && frame->state <= block->high &&
           (!frame->in_catch ||
            (block->low > frame->around.high && block->high <= frame->around.catch_high));
}

STACK_JUMPER static void build_variable(const struct eh_frame *frame, const struct eh_catch *code,
                                        const struct eh_thrown *thrown, const struct eh_type *as)
{
    if (code->object == 0 || as->descriptor == 0) {
        return;
    }
    struct eh_record fence; /* a copy constructor that throws ends the program */
    eh_enter_fence(&fence);
    eh_build((void *)(frame->body + (uintptr_t)(intptr_t)code->object), code->adjectives, thrown,
             as);
    eh_leave(&fence);
}

/* `thrown` NULL: not a C++ exception; catch (...) takes it where the compiler was told so. */
static bool takes(const struct eh_frame *frame, const struct eh_catch *code,
                  const struct eh_thrown *thrown, struct eh_type *as)
{
    const struct eh_image *image = &frame->function.image;
    if (thrown != NULL) {
        return eh_matches(image, code, thrown, as);
    }
    const char *name = code->type != 0 ? eh_type_name(image, code->type) : "";
    *as = (struct eh_type){0};
    return name != NULL && *name == 0 && (code->adjectives & EH_IS_STANDARD_DOTS) == 0;
}

static void search_block(const struct eh_frame *frame, struct eh_taker *taker,
                         const struct eh_thrown *thrown)
{
    const struct eh_function *f = &frame->function;
    uint32_t at = taker->block.catch_map;
    for (uint32_t i = 0; i < taker->block.catches; i++) {
        struct eh_type as;
        struct eh_action first;
        if (!f->format->next_catch(f, &at, &taker->code)) {
            eh_corrupt(&f->image);
        }
        if (!takes(frame, &taker->code, thrown, &as)) {
            continue;
        }
        if (!f->format->action(f, taker->block.low, &first)) {
            eh_corrupt(&f->image);
        }
        taker->enclosing = first.to;
        if (thrown != NULL) {
            build_variable(frame, &taker->code, thrown, &as);
        }
        eh_take(frame, taker);
    }
}

static void search_blocks(const struct eh_frame *frame, struct ke_exception_record *record,
                          struct ke_context *context, const struct eh_thrown *thrown)
{
    const struct eh_function *f = &frame->function;
    struct eh_taker taker = {.exception = record, .context = context};
    uint32_t at = f->try_map;
    for (uint32_t i = 0; i < f->tries; i++) {
        if (!f->format->next_try(f, &at, &taker.block)) {
            eh_corrupt(&f->image);
        }
        if (covers(frame, &taker.block)) {
            search_block(frame, &taker, thrown);
        }
    }
}

static void search_foreign(const struct eh_frame *frame, struct ke_exception_record *record,
                           struct ke_context *context)
{
    struct ke_exception_pointers pointers = {record, context};
    translator translate = (translator)crt_thread()->se_translator;
    if (frame->function.tries == 0 || record->ExceptionCode == STATUS_BREAKPOINT) {
        return;
    }
    if (translate != NULL) {
        translate(record->ExceptionCode, &pointers); /* leaves by throwing, or does nothing */
    }
    search_blocks(frame, record, context, NULL);
}

void eh_search(const struct eh_frame *frame, struct ke_exception_record *record,
               struct ke_context *context)
{
    struct eh_thrown thrown;
    if (record->ExceptionCode == EH_CODE && eh_left_fence(frame->key)) {
        eh_terminate("a C++ exception leaves a destructor or a copy during another exception");
    }
    if (eh_is_rethrow(record)) {
        struct eh_record *current = eh_current_catch();
        if (current == NULL) {
            return;
        }
        record = current->exception;
        context = current->context;
    }
    if (!eh_is_cxx(record)) {
        search_foreign(frame, record, context);
        return;
    }
    if (!eh_thrown_of(record, &thrown)) {
        thrown = (struct eh_thrown){0};
    }
    search_blocks(frame, record, context, &thrown);
    if ((frame->function.flags & EH_NOEXCEPT) != 0) {
        eh_terminate("a C++ exception leaves a function that is noexcept");
    }
}
