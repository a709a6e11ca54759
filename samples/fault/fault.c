/*
 * Processor exceptions as vectored handlers see them: code, parameters, where the program counter
 * stands; each handler changes the CONTEXT and goes on. The faulting instructions are assembly, so
 * that every toolchain's program is the same: `fault_at` to `fault_after` is the instruction.
 */
#include "winapi.h"

SAMPLE_NO_CRT

#ifdef __x86_64__
#define SYM(name) #name
#else
#define SYM(name) "_" #name
#endif

/* A function of one instruction that faults, with the result of eax. */
#define FAULT(name, ...)                                                                    \
    __asm__(".text\n.globl " SYM(name) ", " SYM(name##_at) ", " SYM(name##_after) "\n" SYM( \
        name) ":\n" __VA_ARGS__ "\n" SYM(name##_after) ":\n ret\n");                        \
    int name(void);                                                                         \
    extern char name##_at[], name##_after[];
#define AT(name) SYM(name##_at) ":\n"

FAULT(divide, " xorl %ecx, %ecx\n movl $7, %eax\n xorl %edx, %edx\n" AT(divide) " divl %ecx")
FAULT(divide_overflow,
      " movl $1, %ecx\n movl $7, %eax\n movl $9, %edx\n" AT(divide_overflow) " divl %ecx")
FAULT(illegal, " movl $3, %eax\n" AT(illegal) " ud2")
FAULT(privileged, " movl $4, %eax\n" AT(privileged) " hlt")
FAULT(breakpoint, " movl $5, %eax\n" AT(breakpoint) " int3")
FAULT(step, " movl $6, %eax\n pushf\n"
#ifdef __x86_64__
            " orl $0x100, (%rsp)\n popfq\n nop\n" AT(step) " nop")
#else
            " orl $0x100, (%esp)\n popfl\n nop\n" AT(step) " nop")
#endif
FAULT(read_null, " movl $1, %eax\n" AT(read_null) " movl 0x40, %eax")
FAULT(write_null, " movl $2, %eax\n" AT(write_null) " movl %eax, 0x44")

static int hits;
static struct {
    char *at, *after;
    DWORD code;
} expected;

static LONG_PTR handler_of(struct exception_pointers *pointers)
{
    struct exception_record *record = pointers->record;
    if (record->code != expected.code)
        say("unexpected %x", record->code);
    say("%x flags %x, %d parameters, address is %s, pc is %s", record->code, record->flags,
        (int)record->count, record->address == expected.at ? "the instruction" : "another",
        pointers->context->pc == (ULONG_PTR)expected.at ? "the instruction" : "another");
    for (DWORD i = 0; i < record->count; i++)
        say("  parameter %d: %p", (int)i, record->information[i]);
    hits++;
    pointers->context->ax = 42;
    pointers->context->pc = (ULONG_PTR)expected.after;
    return CONTINUE_EXECUTION;
}

static int WINAPI handler(struct exception_pointers *pointers)
{
    return (int)handler_of(pointers);
}

static void expect(int (*function)(void), char *at, char *after, DWORD code)
{
    void *handle = AddVectoredExceptionHandler(1, handler);
    expected.at = at, expected.after = after, expected.code = code;
    say("result %d", function());
    RemoveVectoredExceptionHandler(handle);
}
#define EXPECT(name, code) expect(name, name##_at, name##_after, code)

static void integers(void)
{
    EXPECT(divide, 0xC0000094);
    EXPECT(divide_overflow, 0xC0000095);
}

static void instructions(void)
{
    EXPECT(illegal, 0xC000001D);
    EXPECT(privileged, 0xC0000096);
}

static void debugging(void)
{
    EXPECT(breakpoint, 0x80000003);
    EXPECT(step, 0x80000004);
}

static void accesses(void)
{
    EXPECT(read_null, 0xC0000005);
    EXPECT(write_null, 0xC0000005);
}

/* ---- execution of data, wild calls ------------------------------------------------------------
 */

static int WINAPI return_from_call(struct exception_pointers *pointers)
{
    struct exception_record *record = pointers->record;
    struct context *context = pointers->context;
    say("%x kind %d, at its own address %d", record->code, (int)record->information[0],
        record->information[1] == (ULONG_PTR)record->address &&
            context->pc == (ULONG_PTR)record->address);
    context->pc = *(ULONG_PTR *)(ULONG_PTR)context->sp;
    context->sp += sizeof(ULONG_PTR);
    context->ax = 17;
    return CONTINUE_EXECUTION;
}

/* A call of an address where nothing is, and of data in a program that says NX_COMPAT. */
static void execute(void)
{
    void *handle = AddVectoredExceptionHandler(1, return_from_call);
    BYTE *code = VirtualAlloc(0, 0x1000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE);
    int (*volatile wild)(void) = (int (*)(void))(ULONG_PTR)0x30;
    DWORD old;
    say("result %d", wild());
    code[0] = 0xB8, code[1] = 99, code[5] = 0xC3; /* mov eax, 99; ret */
    wild = (int (*)(void))(ULONG_PTR)code;
    say("result %d", wild());
    VirtualProtect(code, 0x1000, PAGE_EXECUTE_READWRITE, &old);
    say("result %d", wild());
    RemoveVectoredExceptionHandler(handle);
}

/* ---- guard pages ------------------------------------------------------------------------------
 */

static BYTE *page;

static int WINAPI on_guard(struct exception_pointers *pointers)
{
    struct exception_record *record = pointers->record;
    say("%x kind %d offset %d", record->code, (int)record->information[0],
        (int)(record->information[1] - (ULONG_PTR)page));
    return record->code == GUARD_PAGE ? CONTINUE_EXECUTION : CONTINUE_SEARCH;
}

/* A guard page raises once; the instruction that runs again succeeds. */
static void guard(void)
{
    void *handle = AddVectoredExceptionHandler(1, on_guard);
    page = VirtualAlloc(0, 0x2000, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD);
    *(volatile BYTE *)(page + 0x10) = 1;
    say("first page: %d", *(volatile BYTE *)(page + 0x10));
    say("second page: %d", *(volatile BYTE *)(page + 0x1004));
    RemoveVectoredExceptionHandler(handle);
}

/* ---- order of handlers ------------------------------------------------------------------------
 */

static int WINAPI first_handler(struct exception_pointers *pointers)
{
    say("first: %x", pointers->record->code);
    return CONTINUE_SEARCH;
}

static int WINAPI second_handler(struct exception_pointers *pointers)
{
    say("second: %x", pointers->record->code);
    return CONTINUE_SEARCH;
}

static int WINAPI last_handler(struct exception_pointers *pointers)
{
    say("last: %x", pointers->record->code);
    return CONTINUE_EXECUTION;
}

static void order(void)
{
    void *last = AddVectoredExceptionHandler(0, last_handler);
    void *second = AddVectoredExceptionHandler(1, second_handler);
    void *first = AddVectoredExceptionHandler(1, first_handler);
    RaiseException(0xE0000001, 0, 0, 0);
    say("removed: %d", RemoveVectoredExceptionHandler(second) != 0);
    say("removed again: %d", RemoveVectoredExceptionHandler(second) != 0);
    RaiseException(0xE0000002, 0, 0, 0);
    RemoveVectoredExceptionHandler(first);
    RemoveVectoredExceptionHandler(last);
}

/* ---- floating point ---------------------------------------------------------------------------
 */

static int WINAPI on_float(struct exception_pointers *pointers)
{
    struct context *context = pointers->context;
    say("%x, %d parameters", pointers->record->code, (int)pointers->record->count);
#ifdef __x86_64__
    context->mxcsr = context->fp_mxcsr = 0x1F80;
#else
    *(DWORD *)(context->extended + 24) = 0x1F80;
#endif
    return CONTINUE_EXECUTION; /* with everything masked the instruction has its masked result */
}

static float divide_floats(float a, float b)
{
    DWORD mask = 0x1F80 & ~0x200u;
    float result = a;
    __asm__ volatile("ldmxcsr %1\n\tdivss %2, %0" : "+x"(result) : "m"(mask), "x"(b));
    return result;
}

static void floats(void)
{
    void *handle = AddVectoredExceptionHandler(1, on_float);
    union {
        float f;
        DWORD bits;
    } value;
    value.f = divide_floats(1, 0);
    say("SSE: 1/0 = %x", value.bits);
    RemoveVectoredExceptionHandler(handle);
}

static int WINAPI on_x87(struct exception_pointers *pointers)
{
    struct context *context = pointers->context;
    say("%x", pointers->record->code);
    context->fp_control |= 0x3F;
    context->fp_status &= ~0x80FFu;
#ifndef __x86_64__
    *(unsigned short *)context->extended |= 0x3F;
    *(unsigned short *)(context->extended + 2) &= ~0x80FFu;
#endif
    return CONTINUE_EXECUTION;
}

static void x87(void)
{
    void *handle = AddVectoredExceptionHandler(1, on_x87);
    unsigned short control = 0x37F & ~4u;
    __asm__ volatile("fldcw %0\n\tfld1\n\tfldz\n\tfdivrp\n\tfwait\n\tfstp %%st(0)\n\tfninit"
                     :
                     : "m"(control)
                     : "st");
    say("went on");
    RemoveVectoredExceptionHandler(handle);
}

void start(void)
{
    static const struct sample_case cases[] = {
        {"integers", integers},
        {"instructions", instructions},
        {"debugging", debugging},
        {"accesses", accesses},
        {"execute", execute},
        {"guard", guard},
        {"order", order},
        {"floats", floats},
        {"x87", x87},
    };
    RUN_CASE(cases);
}
