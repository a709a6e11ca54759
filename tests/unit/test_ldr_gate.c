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

/* ---- exceptions ---- */

static void on_segv(int number, siginfo_t *info, void *opaque)
{
    ucontext_t *context = opaque;
    uintptr_t pc, sp;
    if (!ldr_gate_abandon(0xC0000005, &pc, &sp))
        abort();
#if defined(__x86_64__)
    context->uc_mcontext.gregs[REG_RIP] = (greg_t)pc;
    context->uc_mcontext.gregs[REG_RSP] = (greg_t)sp;
#else
    context->uc_mcontext.gregs[REG_EIP] = (greg_t)pc;
    context->uc_mcontext.gregs[REG_ESP] = (greg_t)sp;
#endif
}

static uintptr_t WINAPI_DEF faults(uintptr_t address, uintptr_t b, uintptr_t c)
{
    *(volatile int *)address = 1;
    return 1;
}

static void a_fault_ends_the_call(void **state)
{
    struct sigaction action = {.sa_sigaction = on_segv, .sa_flags = SA_SIGINFO}, old;
    uintptr_t value;
    uint32_t exception;
    sigaction(SIGSEGV, &action, &old);
    for (int i = 0; i < 3; i++) {
        assert_false(ldr_gate_try((uintptr_t)faults, 8, 0, 0, &value, &exception));
        assert_int_equal(exception, 0xC0000005);
    }
    sigaction(SIGSEGV, &old, NULL);
    assert_true(ldr_gate_try((uintptr_t)cleans_nothing, 1, 2, 3, &value, &exception));
    assert_int_equal(value, 123);
    assert_int_equal(exception, 0);
}

static uintptr_t WINAPI_DEF raises(uintptr_t a, uintptr_t b, uintptr_t c)
{
    ldr_gate_leave(0xE0000001);
    return 7;
}

/* The innermost gate decides: an unguarded one inside keeps the exception from the outer. */
static uintptr_t WINAPI_DEF raises_inside(uintptr_t a, uintptr_t b, uintptr_t c)
{
    return ldr_gate_call((uintptr_t)raises, 0, 0, 0);
}

static void only_the_innermost_gate_is_left(void **state)
{
    uintptr_t value;
    uint32_t exception;
    assert_false(ldr_gate_try((uintptr_t)raises, 0, 0, 0, &value, &exception));
    assert_int_equal(exception, 0xE0000001);
    assert_true(ldr_gate_try((uintptr_t)raises_inside, 0, 0, 0, &value, &exception));
    assert_int_equal(value, 7);
    ldr_gate_leave(0xE0000002); /* no gate: nothing happens */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(registers_and_modes_come_back),
        cmocka_unit_test(any_cleanup_of_arguments_is_tolerated),
        cmocka_unit_test(the_stack_is_aligned_for_image_code),
        cmocka_unit_test(calls_nest),
        cmocka_unit_test(a_fault_ends_the_call),
        cmocka_unit_test(only_the_innermost_gate_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
