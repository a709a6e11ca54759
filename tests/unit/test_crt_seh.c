/*
 * The handlers of MSVC's __try on i386, with a frame as its compiler makes it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "loader/ke/chain.h"
#include "loader/ke/ke.h"
#include "loader/stack.h"
#include "loader/win32/crt/internal.h"
#include "loader/win32/crt/jump.h"

extern const struct ldr_builtin_family crt_seh_family, crt_jump_family;

struct scope {
    int32_t outer;
    const void *filter, *handler;
};

struct table_4 {
    int32_t stack_offset, stack_base, frame_offset, frame_base;
    struct scope scopes[4];
};

struct seh_frame {
    struct ke_registration header;
    const void *table;
    int32_t level;
};

typedef void (*body)(struct seh_frame *frame);

/*
 * A function with __try: 0 when `run` returns, 1 or 2 when the exception handler at handler_1 or
 * handler_2 is entered, -1 when that finds registers destroyed that the frame has to keep. The
 * word at ebp-28 is the cookie exclusive or ebp.
 */
int try_frame(const void *table, const void *handler, body run, int32_t level, uint32_t cookie);
extern const char handler_1[], handler_2[];
__asm__(".pushsection .text\n"
        "try_frame:\n"
        "    push %ebp\n"
        "    mov %esp, %ebp\n"
        "    push 20(%ebp)\n"
        "    push 8(%ebp)\n"
        "    push 12(%ebp)\n"
        "    push %fs:0\n"
        "    mov %esp, %fs:0\n"
        "    push $0\n"
        "    push $0\n"
        "    mov 24(%ebp), %eax\n"
        "    xor %ebp, %eax\n"
        "    push %eax\n"
        "    push %ebx\n"
        "    push %esi\n"
        "    push %edi\n"
        "    mov %esp, -24(%ebp)\n"
        "    lea -16(%ebp), %eax\n"
        "    push %eax\n"
        "    call *16(%ebp)\n"
        "    add $4, %esp\n"
        "    xor %eax, %eax\n"
        "1:  pop %edi\n"
        "    pop %esi\n"
        "    pop %ebx\n"
        "    mov -16(%ebp), %ecx\n"
        "    mov %ecx, %fs:0\n"
        "    mov %ebp, %esp\n"
        "    pop %ebp\n"
        "    ret\n"
        "handler_1:\n"
        "    mov $1, %eax\n"
        "    jmp 2f\n"
        "handler_2:\n"
        "    mov $2, %eax\n"
        "2:  mov -24(%ebp), %esp\n"
        "    lea -16(%ebp), %ecx\n"
        "    cmp %ecx, %fs:0\n" /* the frame is the innermost one again */
        "    je 1b\n"
        "    mov $-1, %eax\n"
        "    jmp 1b\n"
        ".popsection\n");

/* A call through a pointer that may return twice. */
static const void *setjmp3 __attribute__((used));
int call_setjmp3(void *buffer, int count, ...) __attribute__((returns_twice));
__asm__(".pushsection .text\n"
        "call_setjmp3:\n"
        "    call 1f\n"
        "1:  pop %ecx\n"
        "    add $setjmp3-1b, %ecx\n"
        "    jmp *(%ecx)\n"
        ".popsection\n");

static char order[64];
static int (*abnormal_termination)(void);

static void note(char c)
{
    size_t length = strlen(order);
    if (length + 1 < sizeof(order)) {
        order[length] = c;
        order[length + 1] = 0;
    }
}

static const void *find(const struct ldr_builtin_family *family, const char *name)
{
    for (size_t i = 0; i < family->count; i++)
        if (strcmp(family->exports[i].name, name) == 0)
            return family->exports[i].address;
    abort();
}

static int attach_once(void **state)
{
    setjmp3 = find(&crt_jump_family, "_setjmp3");
    abnormal_termination = (int (*)(void))find(&crt_seh_family, "_abnormal_termination");
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

static int start(void **state)
{
    order[0] = 0;
    ke_teb()->ExceptionList = KE_CHAIN_END;
    return 0;
}

static int end(void **state)
{
    return ke_teb()->ExceptionList == KE_CHAIN_END ? 0 : -1;
}

/* ---- filters and termination handlers: called with the frame's ebp, which C does not mind
 * ---------------------------------------------------
 */
static uint32_t taken; /* the code that filter_taken() takes */
static uint32_t filtered;
static struct seh_frame *current;

static int filter_yes(void)
{
    note('y');
    return KE_EXECUTE_HANDLER;
}

static int filter_no(void)
{
    note('n');
    return KE_CONTINUE_SEARCH;
}

static int filter_again(void)
{
    note('a');
    return KE_CONTINUE_EXECUTION;
}

/* What GetExceptionInformation() does. */
STACK_JUMPER static int filter_taken(void)
{
    const struct ke_exception_pointers *pointers =
        ((const struct ke_exception_pointers **)current)[-1];
    filtered = pointers->ExceptionRecord->ExceptionCode;
    note('t');
    return filtered == taken;
}

static int finally_note(void)
{
    note('f');
    return 0;
}

static int finally_raises(void)
{
    note('r');
    ke_raise(0xE0000002, 0, 0, NULL);
    return 0;
}

static struct seh_frame *inner_frame;

/* ... and has a __try of its own, the frame's level 2, which takes it. */
static int finally_catches(void)
{
    note('c');
    inner_frame->level = 2;
    ke_raise(0xE0000002, 0, 0, NULL);
    return 0;
}

__attribute__((naked)) static int finally_asks(void)
{
    __asm__("push %ebp\n\t" /* is the frame's: what the function asks for */
            "call ask_abnormal\n\t"
            "pop %ebp\n\t"
            "ret");
}

int ask_abnormal(uintptr_t ebp) __attribute__((used, visibility("hidden")));
int ask_abnormal(uintptr_t ebp)
{
    int answer;
    __asm__ volatile("push %%ebp\n\t"
                     "mov %1, %%ebp\n\t"
                     "call *%2\n\t"
                     "pop %%ebp"
                     : "=a"(answer)
                     : "r"(ebp), "d"(abnormal_termination)
                     : "ecx", "memory");
    note(answer ? '1' : '0');
    return 0;
}

/* ---- version 3
 * -------------------------------------------------------------------------------------------------
 */
static int try_3(const struct scope *scopes, body run)
{
    return try_frame(scopes, find(&crt_seh_family, "_except_handler3"), run, -1, 0);
}

static void raise_at_0(struct seh_frame *frame)
{
    current = frame;
    frame->level = 0;
    ke_raise(0xE0000001, 0, 0, NULL);
    note('.');
    frame->level = -1;
}

static void raise_at_1(struct seh_frame *frame)
{
    inner_frame = current = frame;
    frame->level = 1;
    ke_raise(0xE0000001, 0, 0, NULL);
    note('.');
    frame->level = -1;
}

static void a_filter_takes_refuses_or_continues(void **state)
{
    const struct scope yes[] = {{-1, filter_yes, handler_1}};
    const struct scope again[] = {{-1, filter_again, handler_1}};
    const struct scope outer[] = {{-1, filter_taken, handler_2}, {0, filter_no, handler_1}};
    assert_int_equal(try_3(yes, raise_at_0), 1);
    assert_int_equal(try_3(again, raise_at_0), 0);
    taken = 0xE0000001;
    assert_int_equal(try_3(outer, raise_at_1), 2);
    assert_int_equal(filtered, 0xE0000001);
    assert_string_equal(order, "ya.nt");
}

static void termination_handlers_run_after_the_filters(void **state)
{
    const struct scope scopes[] = {{-1, filter_yes, handler_1}, {0, NULL, finally_note}};
    assert_int_equal(try_3(scopes, raise_at_1), 1);
    assert_string_equal(order, "yf");
}

static const struct scope *inner_scopes;
static int inner_value;

static void call_inner(struct seh_frame *frame)
{
    frame->level = 0;
    inner_value = try_3(inner_scopes, raise_at_1);
    note('?');
}

static void call_call_inner(struct seh_frame *frame)
{
    const struct scope outer[] = {{-1, NULL, finally_note}};
    frame->level = 0;
    try_3(outer, call_inner);
    note('?');
}

static void inner_frames_are_unwound(void **state)
{
    const struct scope outer[] = {{-1, filter_yes, handler_2}};
    const struct scope inner[] = {{-1, NULL, finally_asks}, {0, NULL, finally_note}};
    inner_scopes = inner;
    assert_int_equal(try_3(outer, call_inner), 2);
    assert_string_equal(order, "yf1");
}

/* The second exception, of the inner frame's level 1, still leaves its level 0. */
static void an_exception_of_a_termination_handler_leaves_the_rest(void **state)
{
    const struct scope outer[] = {{-1, filter_yes, handler_2}};
    const struct scope inner[] = {{-1, NULL, finally_note}, {0, NULL, finally_raises}};
    inner_scopes = inner;
    assert_int_equal(try_3(outer, call_call_inner), 2);
    assert_string_equal(order, "yryff");
}

/* Level 2 lies in the termination handler of level 1: going there leaves neither 0 nor the frame.
 * (What the handler does afterwards does not return here: handler_2 leaves the function.) */
static void a_termination_handler_catches_its_own(void **state)
{
    const struct scope outer[] = {{-1, filter_yes, handler_1}};
    const struct scope inner[] = {
        {-1, NULL, finally_note}, {0, NULL, finally_catches}, {0, filter_yes, handler_2}};
    inner_scopes = inner;
    assert_int_equal(try_3(outer, call_inner), 0);
    assert_string_equal(order, "ycy?");
    assert_int_equal(inner_value, 2);
}

/* ---- version 4
 * -------------------------------------------------------------------------------------------------
 */
#define COOKIE 0xBB40E64Eu
static uint32_t cookie = COOKIE;
static unsigned checks, mismatches;

static void __attribute__((fastcall)) check(uintptr_t value)
{
    checks++;
    mismatches += value != COOKIE;
}

typedef enum ke_disposition (*common_handler)(const uint32_t *, const void *,
                                              struct ke_exception_record *, struct seh_frame *,
                                              struct ke_context *, void *);

/* What is linked into every image. */
static enum ke_disposition WINCDECL_DEF handler_4(struct ke_exception_record *record,
                                                  struct seh_frame *frame,
                                                  struct ke_context *context, void *dispatcher)
{
    common_handler common = (common_handler)find(&crt_seh_family, "_except_handler4_common");
    return common(&cookie, check, record, frame, context, dispatcher);
}

static int try_4(const struct table_4 *table, body run)
{
    const void *encoded = (const void *)((uintptr_t)table ^ COOKIE);
    return try_frame(encoded, handler_4, run, -2, COOKIE);
}

static const struct table_4 *inner_table;

static void call_inner_4(struct seh_frame *frame)
{
    frame->level = 0;
    try_4(inner_table, raise_at_1);
    note('?');
}

static void version_4_checks_its_cookies(void **state)
{
    const struct table_4 outer = {-2, 0, -28, 0, {{-2, filter_yes, handler_1}}};
    const struct table_4 inner = {
        -28, 0, -28, 0, {{-2, filter_no, handler_2}, {0, NULL, finally_note}}};
    const struct table_4 spoilt = {-2, 0, -28, 4, {{-2, filter_yes, handler_2}}};
    inner_table = &inner;
    checks = mismatches = 0;
    assert_int_equal(try_4(&outer, call_inner_4), 1);
    assert_string_equal(order, "nyf");
    assert_true(checks > 4);
    assert_int_equal(mismatches, 0);
    assert_int_equal(try_4(&spoilt, raise_at_0), 2);
    assert_true(mismatches > 0);
}

/* ---- unwinding without an exception
 * ----------------------------------------------------------------------------
 */
typedef void (*local_unwind2)(struct seh_frame *frame, int32_t level);
typedef void (*local_unwind4)(const uint32_t *, struct seh_frame *frame, int32_t level);

static void unwind_3(struct seh_frame *frame)
{
    frame->level = 2;
    ((local_unwind2)find(&crt_seh_family, "_local_unwind2"))(frame, 0);
    assert_int_equal(frame->level, 0);
    frame->level = -1;
}

static void unwind_4(struct seh_frame *frame)
{
    frame->level = 2;
    ((local_unwind4)find(&crt_seh_family, "_local_unwind4"))(&cookie, frame, -2);
    assert_int_equal(frame->level, -2);
}

static void levels_are_left_on_request(void **state)
{
    const struct scope scopes[] = {
        {-1, NULL, finally_asks}, {0, filter_yes, handler_1}, {1, NULL, finally_note}};
    struct table_4 table = {-2, 0, -28, 0, {{-2, NULL, NULL}}};
    memcpy(table.scopes, scopes, sizeof(scopes));
    table.scopes[0].outer = -2;
    assert_int_equal(try_3(scopes, unwind_3), 0);
    assert_int_equal(try_4(&table, unwind_4), 0);
    assert_string_equal(order, "ff1");
}

/* ---- longjmp
 * ---------------------------------------------------------------------------------------------------
 */
static struct crt_jump buffer;

static void jump(struct seh_frame *frame)
{
    frame->level = 1;
    ((void (*)(struct crt_jump *, int))find(&crt_jump_family, "longjmp"))(&buffer, 0);
}

static void set_and_jump(struct seh_frame *frame)
{
    const struct scope inner[] = {{-1, NULL, finally_note}, {0, NULL, finally_note}};
    frame->level = 0;
    const void *unwind = find(&crt_seh_family, "_seh_longjmp_unwind");
    volatile int value = call_setjmp3(&buffer, 2, unwind, 0);
    if (value == 0) {
        frame->level = 1;
        try_3(inner, jump);
    }
    assert_int_equal(value, 1);
    assert_ptr_equal(ke_teb()->ExceptionList, frame);
    assert_int_equal(frame->level, 0);
    note('.');
    frame->level = -1;
}

static void set_and_jump_4(struct seh_frame *frame)
{
    const struct scope inner[] = {{-1, NULL, finally_note}, {0, NULL, finally_note}};
    frame->level = 0;
    const void *unwind = find(&crt_seh_family, "_seh_longjmp_unwind4");
    volatile int value = call_setjmp3(&buffer, 3, unwind, 0, &cookie);
    if (value == 0) {
        frame->level = 1;
        try_3(inner, jump);
    }
    assert_int_equal(value, 1);
    assert_int_equal(frame->level, 0);
    note('.');
    frame->level = -2;
}

static void a_jump_leaves_what_it_crosses(void **state)
{
    const struct scope outer[] = {{-1, NULL, finally_asks}, {0, NULL, finally_asks}};
    struct table_4 table = {-2, 0, -28, 0, {{-2, NULL, finally_asks}, {0, NULL, finally_asks}}};
    assert_int_equal(try_3(outer, set_and_jump), 0);
    assert_string_equal(order, "ff1.");
    order[0] = 0;
    assert_int_equal(try_4(&table, set_and_jump_4), 0);
    assert_string_equal(order, "ff1.");
}

/* Without frames, as mingw's compiler calls it. */
static void a_jump_without_frames_is_plain(void **state)
{
    volatile int turns = 0;
    int value = call_setjmp3(&buffer, 0);
    assert_int_equal(value, turns ? 7 : 0);
    if (turns++ == 0)
        ((void (*)(struct crt_jump *, int))find(&crt_jump_family, "longjmp"))(&buffer, 7);
    assert_int_equal(turns, 2);
}

int main(void)
{
#define SEH_TEST(name) cmocka_unit_test_setup_teardown(name, start, end)
    const struct CMUnitTest tests[] = {
        SEH_TEST(a_filter_takes_refuses_or_continues),
        SEH_TEST(termination_handlers_run_after_the_filters),
        SEH_TEST(inner_frames_are_unwound),
        SEH_TEST(an_exception_of_a_termination_handler_leaves_the_rest),
        SEH_TEST(a_termination_handler_catches_its_own),
        SEH_TEST(version_4_checks_its_cookies),
        SEH_TEST(levels_are_left_on_request),
        SEH_TEST(a_jump_leaves_what_it_crosses),
        SEH_TEST(a_jump_without_frames_is_plain),
    };
#undef SEH_TEST
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
