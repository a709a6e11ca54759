/*
 * The gate: image code that destroys registers, the stack pointer, floating-point modes; calls that
 * are abandoned after an exception (behaviours, TLS and Exceptions).
 */
#include <fenv.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <cmocka.h>

#include "loader/abi.h"
#include "loader/ldr/gate.h"

/* Returns a + 2b + 4c after it has destroyed what it could: the stack pointer is 104 bytes too
 * high, string instructions go down, the rounding mode is changed. */
__attribute__((naked, noinline)) static void destroyer(void)
{
#if defined(__x86_64__)
    __asm__("lea (%rcx,%rdx,2), %rax\n"
            "lea (%rax,%r8,4), %rax\n"
            "pop %r10\n"
            "add $104, %rsp\n"
            "movl $0x7f80, -8(%rsp)\n"
            "ldmxcsr -8(%rsp)\n"
            "movw $0x0f7f, -8(%rsp)\n"
            "fldcw -8(%rsp)\n"
            "xor %ebx, %ebx\n"
            "xor %ebp, %ebp\n"
            "mov %rbx, %r12\n"
            "mov %rbx, %r13\n"
            "mov %rbx, %r14\n"
            "mov %rbx, %r15\n"
            "std\n"
            "jmp *%r10");
#else
    __asm__("mov 8(%esp), %eax\n"
            "mov 12(%esp), %edx\n"
            "lea (%eax,%edx,2), %eax\n"
            "add %eax, %eax\n"
            "add 4(%esp), %eax\n"
            "pop %ecx\n"
            "add $100, %esp\n"
            "movl $0x7f80, -8(%esp)\n"
            "ldmxcsr -8(%esp)\n"
            "movw $0x0f7f, -8(%esp)\n"
            "fldcw -8(%esp)\n"
            "xor %ebx, %ebx\n"
            "xor %ebp, %ebp\n"
            "xor %esi, %esi\n"
            "xor %edi, %edi\n"
            "std\n"
            "jmp *%ecx");
#endif
}

static void registers_and_modes_come_back(void **state)
{
    volatile uintptr_t canaries[16];
    for (unsigned i = 0; i < 16; i++)
        canaries[i] = i;
    for (uintptr_t i = 0; i < 100; i++)
        assert_int_equal(ldr_gate_call((uintptr_t)destroyer, 1, 2, i), 5 + 4 * i);
    for (unsigned i = 0; i < 16; i++)
        assert_int_equal(canaries[i], i);
    assert_int_equal(fegetround(), FE_TONEAREST);
    uintptr_t flags;
    __asm__ volatile("pushf\npop %0" : "=r"(flags));
    assert_false(flags & 0x400);
}

/* i386: entry points with the wrong clean-up. */
static uintptr_t WINCDECL_DEF cleans_nothing(uintptr_t a, uintptr_t b, uintptr_t c)
{
    return a * 100 + b * 10 + c;
}

static uintptr_t WINAPI_DEF cleans_too_much(uintptr_t a, uintptr_t b, uintptr_t c, uintptr_t d,
                                            uintptr_t e)
{
    return a * 100 + b * 10 + c;
}

static void any_cleanup_of_arguments_is_tolerated(void **state)
{
    assert_int_equal(ldr_gate_call((uintptr_t)cleans_nothing, 1, 2, 3), 123);
    assert_int_equal(ldr_gate_call((uintptr_t)cleans_too_much, 1, 2, 3), 123);
}

static uintptr_t WINAPI_DEF image_stack(uintptr_t a, uintptr_t b, uintptr_t c)
{
    return (uintptr_t)__builtin_frame_address(0);
}

static void the_stack_is_aligned_for_image_code(void **state)
{
    /* After the return address and the frame pointer have been pushed. */
    assert_int_equal(ldr_gate_call((uintptr_t)image_stack, 0, 0, 0) % 16,
                     sizeof(void *) == 8 ? 0 : 8);
}

static uintptr_t WINAPI_DEF nested(uintptr_t depth, uintptr_t b, uintptr_t c)
{
    return depth == 0 ? 0 : 1 + ldr_gate_call((uintptr_t)nested, depth - 1, 0, 0);
}

static void calls_nest(void **state)
{
    assert_int_equal(ldr_gate_call((uintptr_t)nested, 50, 0, 0), 50);
}

/* ---- leaving from below ---- */

static uintptr_t WINAPI_DEF leaves(uintptr_t kind, uintptr_t value, uintptr_t c)
{
    struct ldr_gate *gate = ldr_gate_of_kind((enum ldr_gate_kind)kind);
    gate->exception = 0xE0000001;
    ldr_gate_leave(gate, value);
}

/* Through another gate, which is abandoned as well. */
static uintptr_t WINAPI_DEF leaves_two(uintptr_t kind, uintptr_t value, uintptr_t c)
{
    return ldr_gate_call((uintptr_t)leaves, kind, value, 0) + 1000;
}

static void a_call_is_ended_from_below(void **state)
{
    uintptr_t value;
    uint32_t exception;
    for (int i = 0; i < 3; i++) {
        assert_false(ldr_gate_try((uintptr_t)leaves, LDR_GATE_GUARD, 5, 0, &value, &exception));
        assert_int_equal(exception, 0xE0000001);
        assert_int_equal(value, 5);
        assert_null(ldr_gate_current());
    }
    assert_true(ldr_gate_try((uintptr_t)cleans_nothing, 1, 2, 3, &value, &exception));
    assert_int_equal(value, 123);
    assert_int_equal(exception, 0);
}

static void an_outer_call_is_ended_with_the_inner_ones(void **state)
{
    struct ldr_gate thread = {.kind = LDR_GATE_THREAD};
    uintptr_t value = ldr_gate_run(&thread, (uintptr_t)leaves_two, LDR_GATE_THREAD, 77, 0);
    assert_int_equal(value, 77);
    assert_null(ldr_gate_current());
    assert_null(ldr_gate_of_kind(LDR_GATE_THREAD));
}

static uintptr_t WINAPI_DEF innermost(uintptr_t outer, uintptr_t b, uintptr_t c)
{
    struct ldr_gate *gate = ldr_gate_current();
    assert_true(gate->low > (uintptr_t)__builtin_frame_address(0));
    assert_ptr_equal(gate->outer, (void *)outer);
    assert_ptr_equal(ldr_gate_of_kind(LDR_GATE_THREAD), (void *)outer);
    return 1;
}

static uintptr_t WINAPI_DEF calls_innermost(uintptr_t outer, uintptr_t b, uintptr_t c)
{
    return ldr_gate_call((uintptr_t)innermost, outer, 0, 0);
}

static void gates_are_found_from_the_inside(void **state)
{
    struct ldr_gate thread = {.kind = LDR_GATE_THREAD};
    assert_int_equal(ldr_gate_run(&thread, (uintptr_t)calls_innermost, (uintptr_t)&thread, 0, 0),
                     1);
}

static void a_gate_may_bring_its_own_stack(void **state)
{
    static _Alignas(16) char stack[65536];
    struct ldr_gate gate = {.kind = LDR_GATE_CALL, .stack = (uintptr_t)(stack + sizeof(stack))};
    uintptr_t at = ldr_gate_run(&gate, (uintptr_t)image_stack, 0, 0, 0);
    assert_in_range(at, (uintptr_t)stack + sizeof(stack) - 256, (uintptr_t)stack + sizeof(stack));
    assert_int_equal(at % 16, sizeof(void *) == 8 ? 0 : 8);
    gate.kind = LDR_GATE_THREAD;
    assert_int_equal(ldr_gate_run(&gate, (uintptr_t)leaves, LDR_GATE_THREAD, 9, 0), 9);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_and_modes_come_back),
        cmocka_unit_test(any_cleanup_of_arguments_is_tolerated),
        cmocka_unit_test(the_stack_is_aligned_for_image_code),
        cmocka_unit_test(calls_nest),
        cmocka_unit_test(a_call_is_ended_from_below),
        cmocka_unit_test(an_outer_call_is_ended_with_the_inner_ones),
        cmocka_unit_test(gates_are_found_from_the_inside),
        cmocka_unit_test(a_gate_may_bring_its_own_stack),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
