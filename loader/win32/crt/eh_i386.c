/*
 * C++ frames of i386: __CxxFrameHandler3 over the chain at fs:[0].
 *
 * A function links a node {next, handler, state} and keeps its stack pointer in the word in front
 * of it; its ebp is the node's end. The handler is code of the image that puts the address of the
 * C++ tables into eax and jumps here. Catch blocks and clean-up run with the function's ebp, on the
 * stack below it, where the exception lies.
 */
#include "loader/win32/crt/eh_frame.h"

#ifdef __i386__

#include "loader/ke/chain.h"
#include "loader/stack.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/seh_i386.h"

struct node {
    struct ke_registration header;
    int32_t state;
};

static struct node *node_of(const struct eh_frame *frame)
{
    return (struct node *)frame->key;
}

static uintptr_t *saved_stack(const struct node *node)
{
    return (uintptr_t *)node - 1;
}

/* Goes to `next` with that ebp and esp. */
void eh_jump(uintptr_t next, uintptr_t body, uintptr_t stack) __attribute__((noreturn));
__asm__(".pushsection .text\n"
        ".globl eh_jump\n"
        ".hidden eh_jump\n"
        ".type eh_jump, @function\n"
        "eh_jump:\n"
        "    mov 4(%esp), %eax\n"
        "    mov 8(%esp), %ebp\n"
        "    mov 12(%esp), %esp\n"
        "    jmp *%eax\n"
        ".size eh_jump, . - eh_jump\n"
        ".popsection\n");

uintptr_t eh_call(uintptr_t code, uintptr_t body)
{
    return (uint32_t)crt_seh_call(code, body);
}

void eh_set_state(struct eh_frame *frame, int32_t state)
{
    node_of(frame)->state = state;
}

/* ---- taking an exception
 * ------------------------------------------------------------------------------------ */

static void unwind_below(struct node *node, struct ke_exception_record *record)
{
    struct ke_context context = {0};
    ke_capture_context(&context);
    ke_unwind_frames(&node->header, record, &context);
    record->ExceptionFlags &= ~KE_EXCEPTION_UNWINDING; /* caught: it is still to be looked at */
}

/*
 * Unwinds the function's states to `target`. Catch blocks of it that this leaves end on the way, in
 * the order in which C++ wants it: their own variables first, then their exception.
 */
static void unwind_function(struct eh_frame *frame, int32_t target, const struct eh_try *keep)
{
    struct eh_record *left;
    while ((left = eh_next_abandoned(frame->key, keep)) != NULL) {
        eh_unwind_to(frame, left->block.high);
        *saved_stack(node_of(frame)) = left->saved_stack;
        eh_end(left);
    }
    eh_unwind_to(frame, target);
}

/* The same for an exception that the function knows nothing of: no clean-up. */
static void forget_catches(struct eh_frame *frame)
{
    struct eh_record *left;
    while ((left = eh_next_abandoned(frame->key, NULL)) != NULL) {
        eh_end(left);
    }
}

STACK_JUMPER void eh_take(const struct eh_frame *where, const struct eh_taker *taker)
{
    struct eh_frame frame = *where;
    struct node *node = node_of(&frame);
    unwind_below(node, taker->exception);
    unwind_function(&frame, taker->block.low, &taker->block);
    node->state = taker->block.high + 1;
    struct eh_record record = {
        .frame = frame.key,
        .state = taker->enclosing,
        .exception = taker->exception,
        .context = taker->context,
        .block = taker->block,
        .saved_stack = *saved_stack(node),
        .foreign = !eh_is_cxx(taker->exception),
    };
    eh_enter_catch(&record);
    uintptr_t next = eh_call(frame.function.image.base + taker->code.code, frame.body);
    *saved_stack(node) = record.saved_stack;
    eh_leave_catch(&record);
    stack_forget(*saved_stack(node));
    eh_jump(next, frame.body, *saved_stack(node));
}

/* ---- the handlers
 * ------------------------------------------------------------------------------------------- */

static bool open_frame(struct eh_frame *frame, uintptr_t info)
{
    struct eh_image image;
    if (!eh_image_at(info, &image)) {
        return false;
    }
    if (!eh_open_v3(&image, (uint32_t)(info - image.base), &frame->function) ||
        frame->state < EH_NO_STATE ||
        (frame->state > EH_NO_STATE && (uint32_t)frame->state >= frame->function.states)) {
        eh_corrupt(&image);
    }
    return true;
}

static struct eh_frame frame_of(struct node *node)
{
    return (struct eh_frame){
        .key = (uintptr_t)node, .body = (uintptr_t)(node + 1), .state = node->state};
}

/* The name is the one that the stubs below call. */
enum ke_disposition eh_handle_i386(uintptr_t info, struct ke_exception_record *record,
                                   struct node *node, struct ke_context *context);
STACK_JUMPER enum ke_disposition eh_handle_i386(uintptr_t info, struct ke_exception_record *record,
                                                struct node *node, struct ke_context *context)
{
    struct eh_frame frame = frame_of(node);
    if (!open_frame(&frame, info)) {
        return KE_DISPOSITION_CONTINUE_SEARCH;
    }
    if ((record->ExceptionFlags & KE_EXCEPTION_UNWIND) != 0) {
        if (eh_concerns(&frame.function, record)) {
            unwind_function(&frame, EH_NO_STATE, NULL);
        } else {
            forget_catches(&frame);
        }
    } else if (eh_concerns(&frame.function, record)) {
        eh_search(&frame, record, context);
    }
    return KE_DISPOSITION_CONTINUE_SEARCH;
}

/* cdecl (record, node, context, dispatcher), the tables in eax. */
void eh_frame_handler(void);
__asm__(".pushsection " WIN_BUILTIN_SECTION ", \"ax\", @progbits\n"
        ".globl eh_frame_handler\n"
        ".hidden eh_frame_handler\n"
        ".hidden eh_handle_i386\n"
        ".type eh_frame_handler, @function\n"
        "eh_frame_handler:\n"
        "    .cfi_startproc\n"
        "    push %ebp\n"
        "    .cfi_def_cfa_offset 8\n"
        "    .cfi_offset %ebp, -8\n"
        "    mov %esp, %ebp\n"
        "    .cfi_def_cfa_register %ebp\n"
        "    cld\n"
        "    and $-16, %esp\n"
        "    push 16(%ebp)\n"
        "    push 12(%ebp)\n"
        "    push 8(%ebp)\n"
        "    push %eax\n"
        "    call eh_handle_i386\n"
        "    leave\n"
        "    .cfi_def_cfa %esp, 4\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size eh_frame_handler, . - eh_frame_handler\n"
        ".popsection\n");

/* _JUMP_BUFFER as the compiler fills it for a function with C++ exception handling. */
struct jump_buffer {
    uint32_t registers[6];
    struct node *node;
    int32_t state;
    uint32_t cookie;
    void *unwind;
    uintptr_t info;
};

/* What longjmp calls for a C++ function that it jumps into. */
static WINAPI_DEF void crt___CxxLongjmpUnwind(const struct jump_buffer *buffer)
{
    struct eh_frame frame = frame_of(buffer->node);
    if (open_frame(&frame, buffer->info)) {
        unwind_function(&frame, buffer->state, NULL);
    }
}

static const struct ldr_builtin_export functions[] = {
    CRT_AS(__CxxFrameHandler, eh_frame_handler),
    CRT_AS(__CxxFrameHandler2, eh_frame_handler),
    CRT_AS(__CxxFrameHandler3, eh_frame_handler),
    CRT_FN(__CxxLongjmpUnwind),
};
CRT_FAMILY(crt_eh_frame_family, functions);

#endif
