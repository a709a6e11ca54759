/*
 * CONTEXT and ucontext_t: what a breakpoint's handler reads and writes are the registers.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <string.h>

#include "loader/ke/ucontext.h"

static struct ke_context seen;
static void (*change)(struct ke_context *context);

static void on_trap(int number, siginfo_t *info, void *host)
{
    memset(&seen, 0xEE, sizeof(seen));
    ke_context_from_ucontext(&seen, host, KE_CONTEXT_ALL);
    struct ke_context changed = seen;
    if (change) {
        change(&changed);
        ke_context_to_ucontext(&changed, host);
    }
}

struct registers {
    uintptr_t bx, di, flags, pc;
    uint8_t xmm[16];
    double st;
};

/* Loads the registers, stops, stores them again. */
static void stop(struct registers *r)
{
    uintptr_t bx = r->bx, di = r->di;
    __asm__ volatile("movups (%[xmm]), %%xmm3\n\t"
                     "fldl (%[st])\n\t"
                     "stc\n\t"
                     "int3\n\t"
                     "fstpl (%[st])\n\t"
                     "movups %%xmm3, (%[xmm])\n\t"
                     "pushf\n\t"
                     "pop %[flags]\n\t"
                     : "+b"(bx), "+D"(di), [flags] "=&r"(r->flags)
                     : [xmm] "r"(r->xmm), [st] "r"(&r->st)
                     : "memory", "xmm3", "cc");
    r->bx = bx;
    r->di = di;
}

static struct registers start(void)
{
    struct registers r = {.bx = 0x11223344, .di = 0x55667788, .st = 1.5};
    memset(r.xmm, 0x5A, sizeof(r.xmm));
    return r;
}

static const uint8_t *xmm3(const struct ke_context *context)
{
#ifdef __x86_64__
    return (const uint8_t *)&context->FltSave.XmmRegisters[3];
#else
    return context->ExtendedRegisters + 160 + 3 * 16;
#endif
}

static void st0(const struct ke_context *context, uint8_t bytes[10])
{
#ifdef __x86_64__
    memcpy(bytes, &context->FltSave.FloatRegisters[0], 10);
#else
    memcpy(bytes, context->FloatSave + 28, 10);
#endif
}

static const uint8_t one_and_a_half[10] = {0, 0, 0, 0, 0, 0, 0, 0xC0, 0xFF, 0x3F};

static void the_registers_are_read(void **state)
{
    struct registers r = start(), before = r;
    uint8_t st[10];
    change = NULL;
    stop(&r);
#ifdef __x86_64__
    assert_int_equal(seen.Rbx, before.bx);
    assert_int_equal(seen.Rdi, before.di);
    assert_int_equal(seen.SegCs, 0x33);
    assert_int_equal(seen.SegFs, 0x53);
#else
    assert_int_equal(seen.Ebx, before.bx);
    assert_int_equal(seen.Edi, before.di);
    assert_int_equal(seen.SegCs & 3, 3);
#endif
    assert_int_equal(seen.ContextFlags, KE_CONTEXT_ALL);
    assert_true(seen.EFlags & 1);
    assert_int_equal(((const uint8_t *)(uintptr_t)KE_CONTEXT_PC(&seen))[-1], 0xCC);
    assert_memory_equal(xmm3(&seen), before.xmm, 16);
    st0(&seen, st);
    assert_memory_equal(st, one_and_a_half, 10);
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(seen.Dr[i], 0);
}

static void put_registers(struct ke_context *context)
{
    uint8_t *xmm = (uint8_t *)(uintptr_t)xmm3(context);
    memset(xmm, 0xC3, 16);
#ifdef __x86_64__
    context->Rbx = 7;
    context->Rdi = 8;
    ((uint8_t *)&context->FltSave.FloatRegisters[0])[9] ^= 0x80;
    context->MxCsr = 0xFFFF1F80; /* reserved bits are not fatal */
#else
    context->Ebx = 7;
    context->Edi = 8;
    context->FloatSave[28 + 9] ^= 0x80;
#endif
    context->EFlags &= ~1u;
}

static void changes_take_effect(void **state)
{
    struct registers r = start();
    uint8_t expected[16];
    memset(expected, 0xC3, sizeof(expected));
    change = put_registers;
    stop(&r);
    assert_int_equal(r.bx, 7);
    assert_int_equal(r.di, 8);
    assert_false(r.flags & 1);
    assert_memory_equal(r.xmm, expected, 16);
    assert_true(r.st == -1.5);
}

static void only_integers(struct ke_context *context)
{
    put_registers(context);
    context->ContextFlags = KE_CONTEXT_INTEGER;
}

static void parts_that_are_not_named_stay(void **state)
{
    struct registers r = start(), before = r;
    change = only_integers;
    stop(&r);
    assert_int_equal(r.bx, 7);
    assert_true(r.flags & 1);
    assert_memory_equal(r.xmm, before.xmm, 16);
    assert_true(r.st == 1.5);
}

#ifdef __i386__
static void only_extended(struct ke_context *context)
{
    context->ExtendedRegisters[32 + 9] ^= 0x80; /* ST(0) in the FXSAVE image */
    context->ContextFlags = KE_CONTEXT_EXTENDED_REGISTERS;
}

static void extended_registers_carry_x87_too(void **state)
{
    struct registers r = start();
    change = only_extended;
    stop(&r);
    assert_true(r.st == -1.5);
    assert_int_equal(r.bx, 0x11223344);
}
#endif

int main(void)
{
    struct sigaction action = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_registers_are_read),
        cmocka_unit_test(changes_take_effect),
        cmocka_unit_test(parts_that_are_not_named_stay),
#ifdef __i386__
        cmocka_unit_test(extended_registers_carry_x87_too),
#endif
    };
    sigaction(SIGTRAP, &action, NULL);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
