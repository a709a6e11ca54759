/*
 * The frame handlers of MSVC's __try on i386: _except_handler3, _except_handler4_common, and the
 * unwinding inside one frame.
 *
 * A function with __try has one registration record, behind whose head lie the address of its scope
 * table and the level it is at; ebp of the function is at a fixed distance. A level without filter
 * is a __finally. Sources: Microsoft's headers (excpt.h), what clang emits for the target
 * i686-pc-windows-msvc, and the published descriptions of these handlers.
 */
#include "loader/win32/crt/seh_i386.h"
#include "loader/win32/crt/internal.h"

#if defined(__i386__)

#include "loader/ke/chain.h"
#include "loader/ke/ke.h"
#include "loader/stack.h"
#include "loader/win32/crt/jump.h"

#define LEVEL_NONE_3 (-1) /* the level outside of every __try */
#define LEVEL_NONE_4 (-2)
#define NO_COOKIE    (-2) /* scope_table_4.cookie_offset: the function has none */

struct scope {
    int32_t outer;
    uintptr_t filter; /* 0 = handler is a termination handler */
    uintptr_t handler;
};

struct cookie_place { /* relative to ebp; the value is exclusive or with the address of the base */
    int32_t offset, base;
};
struct scope_table_4 {
    struct cookie_place stack, frame;
    struct scope scopes[];
};

struct seh_frame {
    struct ke_registration header;
    uintptr_t table; /* struct scope[]; version 4: struct scope_table_4, by the image's cookie */
    int32_t level;
};
#define FRAME_EBP(frame) ((uintptr_t)((frame) + 1))

/* The word below the record is the function's, for GetExceptionInformation(). */
STACK_JUMPER static void set_pointers(struct seh_frame *frame,
                                      const struct ke_exception_pointers *pointers)
{
    ((const struct ke_exception_pointers **)frame)[-1] = pointers;
}

/* ---- calls into the function's frame (assembly below) -------------------------------------------
 */

/* Goes to an exception handler, which restores esp itself. */
void crt_seh_jump(uintptr_t function, uintptr_t ebp)
    __attribute__((noreturn, visibility("hidden")));

__asm__(".pushsection " WIN_BUILTIN_SECTION ", \"ax\", @progbits\n"
        ".globl crt_seh_call\n"
        ".hidden crt_seh_call\n"
        ".type crt_seh_call, @function\n"
        "crt_seh_call:\n"
        "    .cfi_startproc\n"
        "    push %ebp\n"
        "    .cfi_def_cfa_offset 8\n"
        "    .cfi_offset %ebp, -8\n"
        "    push %ebx\n"
        "    .cfi_def_cfa_offset 12\n"
        "    .cfi_offset %ebx, -12\n"
        "    push %esi\n"
        "    .cfi_def_cfa_offset 16\n"
        "    .cfi_offset %esi, -16\n"
        "    push %edi\n"
        "    .cfi_def_cfa_offset 20\n"
        "    .cfi_offset %edi, -20\n"
        "    mov 20(%esp), %ecx\n"
        "    mov 24(%esp), %ebp\n"
        "    xor %eax, %eax\n"
        "    xor %ebx, %ebx\n"
        "    xor %edx, %edx\n"
        "    xor %esi, %esi\n"
        "    xor %edi, %edi\n"
        "    call *%ecx\n"
        "    pop %edi\n"
        "    .cfi_def_cfa_offset 16\n"
        "    pop %esi\n"
        "    .cfi_def_cfa_offset 12\n"
        "    pop %ebx\n"
        "    .cfi_def_cfa_offset 8\n"
        "    pop %ebp\n"
        "    .cfi_def_cfa_offset 4\n"
        "    ret\n"
        "    .cfi_endproc\n"
        ".size crt_seh_call, . - crt_seh_call\n"
        ".globl crt_seh_jump\n"
        ".hidden crt_seh_jump\n"
        ".type crt_seh_jump, @function\n"
        "crt_seh_jump:\n"
        "    mov 4(%esp), %ecx\n"
        "    mov 8(%esp), %ebp\n"
        "    xor %eax, %eax\n"
        "    xor %ebx, %ebx\n"
        "    xor %edx, %edx\n"
        "    xor %esi, %esi\n"
        "    xor %edi, %edi\n"
        "    jmp *%ecx\n"
        ".size crt_seh_jump, . - crt_seh_jump\n"
        ".popsection\n");

/* ---- unwinding inside a frame
 * ----------------------------------------------------------------------------
 */

/* The record under which termination handlers run: it tells that the frame is being unwound. */
struct local_unwind {
    struct ke_registration header;
    struct seh_frame *frame;
    const struct scope *scopes;
    int32_t stop, none;
};

static void unwind_levels(struct seh_frame *frame, const struct scope *scopes, int32_t stop,
                          int32_t none);

/* A termination handler raised, and an outer frame takes that: the outer levels are still due. */
STACK_JUMPER static enum ke_disposition WINCDECL_DEF
unwind_collides(struct ke_exception_record *record, struct ke_registration *registration,
                struct ke_context *context, struct ke_registration **dispatcher)
{
    struct local_unwind *unwind = (struct local_unwind *)registration;
    if (!(record->ExceptionFlags & KE_EXCEPTION_UNWIND))
        return KE_DISPOSITION_CONTINUE_SEARCH;
    if (unwind->frame)
        unwind_levels(unwind->frame, unwind->scopes, unwind->stop, unwind->none);
    *dispatcher = registration;
    return KE_DISPOSITION_COLLIDED_UNWIND;
}

/* Leaves levels one by one, outwards, until `stop`; `none` is the outermost one's number. */
STACK_JUMPER static void unwind_levels(struct seh_frame *frame, const struct scope *scopes,
                                       int32_t stop, int32_t none)
{
    struct ke_teb *teb = ke_teb();
    struct local_unwind unwind = {{teb->ExceptionList, unwind_collides}, frame, scopes, stop, none};
    teb->ExceptionList = &unwind.header;
    while (frame->level != none && (stop == none || frame->level > stop)) {
        const struct scope *scope = &scopes[frame->level];
        frame->level = scope->outer;
        if (!scope->filter)
            crt_seh_call(scope->handler, FRAME_EBP(frame));
    }
    teb->ExceptionList = unwind.header.Next;
}

/*
 * The frame is the target of an unwind from inside one of its own termination handlers: these go
 * on, what is around them is not left.
 */
STACK_JUMPER static void keep_levels(const struct seh_frame *frame)
{
    struct ke_chain_bounds bounds = ke_chain_bounds();
    struct ke_registration *inner = ke_teb()->ExceptionList;
    while (inner != &frame->header && ke_chain_holds(&bounds, inner)) {
        struct local_unwind *unwind = (struct local_unwind *)inner;
        if (inner->Handler == unwind_collides && unwind->frame == frame)
            unwind->frame = NULL;
        bounds.low = (uintptr_t)inner + 1;
        inner = inner->Next;
    }
}

static void unwind_frames_below(struct ke_registration *frame, struct ke_exception_record *record)
{
    struct ke_context context = {0};
    ke_capture_context(&context);
    ke_unwind_frames(frame, record, &context);
}

/* ---- the search through the levels of a frame
 * ------------------------------------------------------------------------------
 */

struct search {
    struct seh_frame *frame;
    const struct scope *scopes;
    int32_t none;
    int32_t found; /* the level whose handler takes the exception */
    bool asked;    /* some filter has run */
};

/* The answer of the innermost filter that knows one, KE_CONTINUE_SEARCH if there is none. */
STACK_JUMPER static int32_t ask_filters(struct search *search)
{
    int32_t level = search->frame->level;
    while (level != search->none) {
        const struct scope *scope = &search->scopes[level];
        if (scope->filter) {
            search->asked = true;
            int32_t answer = crt_seh_call(scope->filter, FRAME_EBP(search->frame));
            if (answer != KE_CONTINUE_SEARCH) {
                search->found = level;
                return answer;
            }
        }
        level = scope->outer;
    }
    return KE_CONTINUE_SEARCH;
}

/* Frames inside, levels inside: then the frame is where its handler expects it. */
STACK_JUMPER static void unwind_to_level(const struct search *search,
                                         struct ke_exception_record *record)
{
    keep_levels(search->frame);
    unwind_frames_below(&search->frame->header, record);
    unwind_levels(search->frame, search->scopes, search->found, search->none);
    search->frame->level = search->scopes[search->found].outer;
}

STACK_JUMPER static __attribute__((noreturn)) void enter_handler(const struct search *search)
{
    uintptr_t handler = search->scopes[search->found].handler;
    uintptr_t ebp = FRAME_EBP(search->frame);
    stack_forget(ebp);
    crt_seh_jump(handler, ebp);
}

STACK_JUMPER static enum ke_disposition WINCDECL_DEF
crt__except_handler3(struct ke_exception_record *record, struct seh_frame *frame,
                     struct ke_context *context, void *dispatcher)
{
    struct ke_exception_pointers pointers = {record, context};
    struct search search = {frame, (const struct scope *)frame->table, LEVEL_NONE_3, 0, false};
    if (record->ExceptionFlags & (KE_EXCEPTION_UNWINDING | KE_EXCEPTION_EXIT_UNWIND)) {
        unwind_levels(frame, search.scopes, LEVEL_NONE_3, LEVEL_NONE_3);
        return KE_DISPOSITION_CONTINUE_SEARCH;
    }
    set_pointers(frame, &pointers);
    int32_t answer = ask_filters(&search);
    if (answer == KE_CONTINUE_SEARCH)
        return KE_DISPOSITION_CONTINUE_SEARCH;
    if (answer < 0)
        return KE_DISPOSITION_CONTINUE_EXECUTION;
    unwind_to_level(&search, NULL);
    enter_handler(&search);
}

/* ---- version 4: security cookies
 * -----------------------------------------------------------------------------
 */

typedef void(__attribute__((fastcall)) * check_cookie)(uintptr_t cookie);

static const struct scope_table_4 *table_4(const uintptr_t *cookie, const struct seh_frame *frame)
{
    return (const struct scope_table_4 *)(frame->table ^ *cookie);
}

STACK_JUMPER static void check_place(const struct cookie_place *place, uintptr_t ebp,
                                     check_cookie check)
{
    check(*(const uintptr_t *)(ebp + (uintptr_t)place->offset) ^ (ebp + (uintptr_t)place->base));
}

/* The image's own check, which does not come back if somebody has written over the frame. */
static void check_cookies(const struct scope_table_4 *table, uintptr_t ebp, check_cookie check)
{
    if (table->stack.offset != NO_COOKIE)
        check_place(&table->stack, ebp, check);
    check_place(&table->frame, ebp, check);
}

STACK_JUMPER static enum ke_disposition WINCDECL_DEF crt__except_handler4_common(
    const uintptr_t *cookie, check_cookie check, struct ke_exception_record *record,
    struct seh_frame *frame, struct ke_context *context, void *dispatcher)
{
    struct ke_exception_pointers pointers = {record, context};
    const struct scope_table_4 *table = table_4(cookie, frame);
    uintptr_t ebp = FRAME_EBP(frame);
    struct search search = {frame, table->scopes, LEVEL_NONE_4, 0, false};
    check_cookies(table, ebp, check);
    if (record->ExceptionFlags & KE_EXCEPTION_UNWIND) {
        if (frame->level != LEVEL_NONE_4) {
            unwind_levels(frame, table->scopes, LEVEL_NONE_4, LEVEL_NONE_4);
            check_cookies(table, ebp, check);
        }
        return KE_DISPOSITION_CONTINUE_SEARCH;
    }
    set_pointers(frame, &pointers);
    int32_t answer = ask_filters(&search);
    if (answer > 0) {
        unwind_to_level(&search, record);
        check_cookies(table, ebp, check);
        enter_handler(&search);
    }
    if (search.asked)
        check_cookies(table, ebp, check);
    return answer < 0 ? KE_DISPOSITION_CONTINUE_EXECUTION : KE_DISPOSITION_CONTINUE_SEARCH;
}

/* ---- what compiled code calls by itself
 * ----------------------------------------------------------------------
 */

static void WINCDECL_DEF crt__global_unwind2(struct ke_registration *frame)
{
    unwind_frames_below(frame, NULL);
}

static void WINCDECL_DEF crt__local_unwind2(struct seh_frame *frame, int32_t level)
{
    unwind_levels(frame, (const struct scope *)frame->table, level, LEVEL_NONE_3);
}

static void WINCDECL_DEF crt__local_unwind4(const uintptr_t *cookie, struct seh_frame *frame,
                                            int32_t level)
{
    unwind_levels(frame, table_4(cookie, frame)->scopes, level, LEVEL_NONE_4);
}

int crt_seh_is_unwinding(uintptr_t ebp) __attribute__((visibility("hidden")));

/* Whether the frame at `ebp` is being unwound, asked by its termination handler. */
STACK_JUMPER int crt_seh_is_unwinding(uintptr_t ebp)
{
    struct ke_chain_bounds bounds = ke_chain_bounds();
    const struct local_unwind *innermost = ke_teb()->ExceptionList;
    return ke_chain_holds(&bounds, &innermost->header) &&
           innermost->header.Handler == unwind_collides && innermost->frame &&
           FRAME_EBP(innermost->frame) == ebp;
}

__attribute__((naked)) static void WIN_BUILTIN crt__abnormal_termination(void)
{
    __asm__("push %ebp\n\t"
            "call crt_seh_is_unwinding\n\t"
            "pop %ecx\n\t"
            "ret");
}

/* The frame of a C++ function: eax = its handler. Leaves {next, handler, state} and a new ebp. */
__attribute__((naked)) static void WIN_BUILTIN crt__EH_prolog(void)
{
    __asm__("pushl $-1\n\t"
            "pushl %eax\n\t"
            "pushl %fs:0\n\t"
            "movl 12(%esp), %eax\n\t" /* the return address gives way to ebp */
            "movl %esp, %fs:0\n\t"
            "movl %ebp, 12(%esp)\n\t"
            "leal 12(%esp), %ebp\n\t"
            "pushl %eax\n\t"
            "ret");
}

/* ---- longjmp out of a function with __try
 * --------------------------------------------------------------------------
 */

static void WINAPI_DEF crt__seh_longjmp_unwind(const struct crt_jump *jump)
{
    crt__local_unwind2((struct seh_frame *)jump->frame, jump->level);
}

static void WINAPI_DEF crt__seh_longjmp_unwind4(const struct crt_jump *jump)
{
    crt__local_unwind4((const uintptr_t *)jump->data[0], (struct seh_frame *)jump->frame,
                       jump->level);
}

/* Before a jump: the frames below the one that called setjmp, then its own levels, as its compiler
 * said; an old one said nothing and has frames of version 3. */
STACK_JUMPER void crt_jump_unwind(const struct crt_jump *jump)
{
    if (ke_teb()->ExceptionList != jump->frame)
        unwind_frames_below(jump->frame, NULL);
    if (jump->frame != KE_CHAIN_END && jump->cookie != CRT_JUMP_COOKIE)
        crt__local_unwind2((struct seh_frame *)jump->frame, jump->level);
    else if (jump->frame != KE_CHAIN_END && jump->unwind)
        jump->unwind(jump);
    stack_forget(jump->esp);
}

static const struct ldr_builtin_export functions[] = {
    CRT_FN(_except_handler3), CRT_FN(_except_handler4_common), CRT_FN(_global_unwind2),
    CRT_FN(_local_unwind2),   CRT_FN(_local_unwind4),          CRT_FN(_abnormal_termination),
    CRT_FN(_EH_prolog),       CRT_FN(_seh_longjmp_unwind),     CRT_FN(_seh_longjmp_unwind4),
};
CRT_FAMILY(crt_seh_family, functions);

#endif
