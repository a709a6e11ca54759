/*
 * Faults of the processor as exceptions: codes, parameters, and registers that come back.
 *
 * One image holds all snippets, which end in a `ret`; a vectored handler notes the exception and
 * goes on at that `ret`, with 77 in eax.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ke/exception.h"
#include "loader/ke/fault.h"
#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "loader/ldr/gate.h"
#include "tests/unit/child.h"
#include "tests/unit/graphimage.h"

#define CASES      64
#define SLOT       64u /* bytes a snippet */
#define CONTINUED  77u
#define NO_ADDRESS UINTPTR_MAX
#define X64        1
#define I386       2
#define BOTH       3

struct expected {
    uint32_t code, count;
    uintptr_t parameters[3];
};

struct snippet {
    const char *name;
    const char *code; /* a in ecx/rcx, b in edx/rdx */
    uint32_t size;
    int words;
    uintptr_t a;
    struct expected want;
    int address; /* ExceptionAddress behind the snippet's begin; -1 = `a` */
    int pc;      /* the CONTEXT's; -2 = the same */
};

#define CODE(string) string, sizeof(string) - 1

static uint32_t numbers[2] = {0, 1};
static uint8_t bytes[16];

static const struct snippet snippets[] = {
    {"read", CODE("\x8B\x01"), BOTH, 0x10, {0xC0000005, 2, {0, 0x10}}, 0, -2},
    {"write", CODE("\x89\x01"), BOTH, 0x20, {0xC0000005, 2, {1, 0x20}}, 0, -2},
    {"jump", CODE("\xFF\xE1"), BOTH, 0x30, {0xC0000005, 2, {8, 0x30}}, -1, -2},
    {"call", CODE("\xFF\xD1"), BOTH, 0x40, {0xC0000005, 2, {8, 0x40}}, -1, -2},
    {"no address",
     CODE("\x48\xB9\0\0\0\0\0\0\0\x80\x8B\x01"),
     X64,
     0,
     {0xC0000005, 2, {0, NO_ADDRESS}},
     10,
     -2},
    {"stack segment",
     CODE("\x48\xB8\0\0\0\0\0\0\0\x80\x8B\x04\x04"),
     X64,
     0,
     {0xC0000005, 2, {0, NO_ADDRESS}},
     10,
     -2},
    {"int 20h", CODE("\xCD\x20"), BOTH, 0, {0xC0000005, 2, {0, NO_ADDRESS}}, 0, -2},
    {"ud2", CODE("\x0F\x0B"), BOTH, 0, {0xC000001D, 0, {0}}, 0, -2},
    {"lock nop", CODE("\xF0\x90"), BOTH, 0, {0xC000001E, 0, {0}}, 0, -2},
    {"hlt", CODE("\xF4"), BOTH, 0, {0xC0000096, 0, {0}}, 0, -2},
    {"cli", CODE("\xFA"), BOTH, 0, {0xC0000096, 0, {0}}, 0, -2},
    {"in", CODE("\x66\xED"), BOTH, 0, {0xC0000096, 0, {0}}, 0, -2},
    {"wrmsr", CODE("\x0F\x30"), BOTH, 0, {0xC0000096, 0, {0}}, 0, -2},
    {"mov cr0", CODE("\x0F\x22\xC0"), BOTH, 0, {0xC0000096, 0, {0}}, 0, -2},
    {"lgdt", CODE("\x0F\x01\x11"), BOTH, (uintptr_t)bytes, {0xC0000096, 0, {0}}, 0, -2},
    {"divide by 0", CODE("\x31\xD2\xF7\xF1"), BOTH, 0, {0xC0000094, 0, {0}}, 2, -2},
    {"by 0 in memory",
     CODE("\x31\xD2\xF7\x31"),
     BOTH,
     (uintptr_t)numbers,
     {0xC0000094, 0, {0}},
     2,
     -2},
    {"quotient", CODE("\xBA\x02\0\0\0\xF7\xF1"), BOTH, 1, {0xC0000095, 0, {0}}, 5, -2},
    {"by 1 in memory",
     CODE("\xBA\x02\0\0\0\xF7\x71\x04"),
     BOTH,
     (uintptr_t)numbers,
     {0xC0000095, 0, {0}},
     5,
     -2},
    {"by 1, indexed",
     CODE("\xB8\x01\0\0\0\xBA\x02\0\0\0\xF7\x34\x81"),
     BOTH,
     (uintptr_t)numbers,
     {0xC0000095, 0, {0}},
     10,
     -2},
    {"idiv by -1",
     CODE("\xB8\0\0\0\x80\x99\xF7\xF9"),
     BOTH,
     UINTPTR_MAX,
     {0xC0000095, 0, {0}},
     6,
     -2},
    {"idiv by -1, 64",
     CODE("\x48\xB8\0\0\0\0\0\0\0\x80\x48\x99\x48\xF7\xF9"),
     X64,
     UINTPTR_MAX,
     {0xC0000095, 0, {0}},
     12,
     -2},
    {"div by ch", CODE("\x66\xB8\xFF\xFF\xF6\xF5"), BOTH, 0x100, {0xC0000095, 0, {0}}, 4, -2},
    {"breakpoint", CODE("\x90\xCC"), BOTH, 0, {0x80000003, 1, {0}}, 1, 1},
    {"debug service", CODE("\x6A\x01\x58\xCD\x2D\x90"), BOTH, 0, {0x80000003, 1, {1}}, 5, 5},
    {"step", CODE("\x9C\x81\x0C\x24\0\x01\0\0\x9D\x90\x90"), BOTH, 0, {0x80000004, 0, {0}}, 10, -2},
    {"alignment",
     CODE("\x9C\x81\x0C\x24\0\0\x04\0\x9D\x8B\x01"),
     BOTH,
     (uintptr_t)bytes + 1,
     {0x80000002, 0, {0}},
     9,
     -2},
    {"into", CODE("\xB0\x7F\x04\x01\xCE"), I386, 0, {0xC0000095, 0, {0}}, 4, 5},
    {"bound",
     CODE("\xB8\x05\0\0\0\x62\x01"),
     I386,
     (uintptr_t)numbers,
     {0xC000008C, 0, {0}},
     5,
     -2},
    {"x87",
     CODE("\xDB\xE3\x68\x7B\x03\0\0\xD9\x2C\x24\x58\xD9\xE8\xD9\xEE\xDE\xF9\x9B"),
     BOTH,
     0,
     {0xC000008E, 1, {0}},
     KE_BY_WORD(17, 15),
     17},
    {"x87 stack",
     CODE("\xDB\xE3\x68\x7E\x03\0\0\xD9\x2C\x24\x58\xDE\xF9\x9B"),
     BOTH,
     0,
     {0xC0000092, 1, {0}},
     KE_BY_WORD(13, 11),
     13},
#ifdef __x86_64__
    {"sse",
     CODE("\x68\x80\x1D\0\0\x0F\xAE\x14\x24\x58\x0F\x57\xC0\xB8\0\0\x80\x3F\x66\x0F\x6E\xC8"
          "\xF3\x0F\x5E\xC8"),
     X64,
     0,
     {0xC000008E, 2, {0, 0x1D84}},
     22,
     -2},
#else
    {"sse",
     CODE("\x68\x80\x1D\0\0\x0F\xAE\x14\x24\x58\x0F\x57\xC0\xB8\0\0\x80\x3F\x66\x0F\x6E\xC8"
          "\xF3\x0F\x5E\xC8"),
     I386,
     0,
     {0xC00002B5, 2, {0, 0x1D84}},
     22,
     -2},
#endif
};
#define COUNT (sizeof(snippets) / sizeof(snippets[0]))

static struct ldr_module *module;
static uintptr_t code_base;

/* i386: the arguments go into the registers that x86-64 passes them in. */
static const uint8_t prologue[] = {
#ifdef __i386__
    0x8B, 0x4C, 0x24, 0x04, 0x8B, 0x54, 0x24, 0x08,
#else
    0x90,
#endif
};
static const uint8_t epilogue[] = {KE_BY_WORD(0xC3, 0xC2), 0x0C, 0x00};

static void put(uint8_t *slot, const char *code, uint32_t size)
{
    memcpy(slot, prologue, sizeof(prologue));
    memcpy(slot + sizeof(prologue), code, size);
    memcpy(slot + sizeof(prologue) + size, epilogue, sizeof(epilogue));
}

/* The entry point, the snippets, and two more for the tests that follow. */
#define KEEP_SLOT (COUNT + 1)
#define AVX_SLOT  (COUNT + 2)
#define CALL_SLOT (COUNT + 3)
#define FAST_SLOT (COUNT + 4)
static uint8_t blob[(COUNT + 5) * SLOT];

static uintptr_t slot_at(size_t index)
{
    return code_base + index * SLOT;
}

/* ---- the handler ------------------------------------------------------------------------------
 */

static struct ke_exception_record seen;
static struct ke_context seen_context;
static uintptr_t tail, nowhere_called = 0x40;
static unsigned times;

static void clean_float(struct ke_context *context)
{
#ifdef __x86_64__
    context->FltSave.ControlWord = 0x37F;
    context->FltSave.StatusWord = 0;
    context->MxCsr = 0x1F80;
    context->Rax = CONTINUED;
#else
    const uint32_t control = 0x37F, status = 0, mxcsr = 0x1F80;
    memcpy(context->FloatSave, &control, 4);
    memcpy(context->FloatSave + 4, &status, 4);
    memcpy(context->ExtendedRegisters + 24, &mxcsr, 4);
    context->Eax = CONTINUED;
#endif
}

static int32_t WINAPI_DEF go_to_tail(struct ke_exception_pointers *pointers)
{
    struct ke_context *context = pointers->ContextRecord;
    seen = *pointers->ExceptionRecord;
    seen_context = *context;
    times++;
    if (KE_CONTEXT_PC(context) == nowhere_called) /* take the call back */
        KE_CONTEXT_SP(context) += sizeof(void *);
    KE_CONTEXT_PC(context) = tail;
    context->EFlags &= ~0x40000u; /* the alignment check */
    clean_float(context);
    return KE_CONTINUE_EXECUTION;
}

static uintptr_t run(size_t index, uintptr_t a, uintptr_t b)
{
    struct ldr_gate gate = {.kind = LDR_GATE_CALL};
    times = 0;
    return ldr_gate_run(&gate, slot_at(index), a, b, 0);
}

/* ---- codes ------------------------------------------------------------------------------------
 */

static void check(const struct snippet *s, uintptr_t begin)
{
    uintptr_t address = s->address < 0 ? s->a : begin + (uintptr_t)s->address;
    uintptr_t pc = s->pc < 0 ? address : begin + (uintptr_t)s->pc;
    assert_int_equal(times, 1);
    assert_int_equal(seen.ExceptionCode, s->want.code);
    assert_int_equal(seen.ExceptionFlags, 0);
    assert_int_equal((uintptr_t)seen.ExceptionAddress, address);
    assert_int_equal(KE_CONTEXT_PC(&seen_context), pc);
    assert_int_equal(seen.NumberParameters, s->want.count);
    for (uint32_t i = 0; i < s->want.count; i++)
        assert_int_equal(seen.ExceptionInformation[i], s->want.parameters[i]);
}

static void every_fault_has_its_code(void **state)
{
    ke_fault_install(); /* here and below: cmocka puts its own in front of every test */
    void *handler = ke_add_vectored(1, (void *)go_to_tail, false);
    for (size_t i = 0; i < COUNT; i++) {
        const struct snippet *s = &snippets[i];
        if (!(s->words & KE_BY_WORD(X64, I386)))
            continue;
        uintptr_t begin = slot_at(i + 1) + sizeof(prologue);
        tail = begin + s->size;
        uintptr_t value = run(i + 1, s->a, 0);
        if (times != 1 || seen.ExceptionCode != s->want.code)
            print_message("%s: %u exceptions, the last 0x%x\n", s->name, times, seen.ExceptionCode);
        check(s, begin);
        assert_int_equal(value, CONTINUED);
    }
    ke_remove_vectored(handler);
}

static void a_page_without_file_is_an_in_page_error(void **state)
{
    ke_fault_install();
    char path[] = "/tmp/peldr-fault-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path);
    assert_int_equal(ftruncate(fd, 4096), 0);
    char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_not_equal(page, MAP_FAILED);
    assert_int_equal(ftruncate(fd, 0), 0);
    void *handler = ke_add_vectored(1, (void *)go_to_tail, false);
    tail = slot_at(2) + sizeof(prologue) + 2;
    assert_int_equal(run(2, (uintptr_t)page + 8, 0), CONTINUED); /* the write */
    ke_remove_vectored(handler);
    assert_int_equal(seen.ExceptionCode, 0xC0000006);
    assert_int_equal(seen.NumberParameters, 3);
    assert_int_equal(seen.ExceptionInformation[0], 1);
    assert_int_equal(seen.ExceptionInformation[1], (uintptr_t)page + 8);
    assert_int_equal(seen.ExceptionInformation[2], 0xC0000011);
    munmap(page, 4096);
    close(fd);
}

static void a_guard_page_raises_once(void **state)
{
    ke_fault_install();
    uint64_t base = 0, size = 4096;
    assert_true(
        nt_ok(mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE | PAGE_GUARD, NULL)));
    void *handler = ke_add_vectored(1, (void *)go_to_tail, false);
    tail = slot_at(1) + sizeof(prologue) + 2;
    assert_int_equal(run(1, (uintptr_t)base + 8, 0), CONTINUED); /* the read */
    assert_int_equal(seen.ExceptionCode, 0x80000001);
    assert_int_equal(seen.NumberParameters, 2);
    assert_int_equal(seen.ExceptionInformation[0], 0);
    assert_int_equal(seen.ExceptionInformation[1], base + 8);
    assert_int_equal(run(1, (uintptr_t)base + 8, 0), 0);
    assert_int_equal(times, 0);
    ke_remove_vectored(handler);
    mm_free(base, 0, MEM_RELEASE, NULL);
}

/* In memory that the program allocated: a fault of code there, and running it at all. */
static void code_outside_of_images_has_exceptions_too(void **state)
{
    ke_fault_install();
    uint64_t base = 0, size = 4096;
    uint32_t old;
    assert_true(nt_ok(mm_alloc(&base, &size, MEM_RESERVE | MEM_COMMIT, PAGE_READWRITE, NULL)));
    put((uint8_t *)(uintptr_t)base, "\x8B\x01", 2);
    void *handler = ke_add_vectored(1, (void *)go_to_tail, false);
#ifdef __x86_64__ /* data execution prevention */
    nowhere_called = (uintptr_t)base;
    tail = slot_at(CALL_SLOT) + sizeof(prologue) + 6; /* behind the call */
    assert_int_equal(run(CALL_SLOT, 0x10, (uintptr_t)base), CONTINUED);
    nowhere_called = 0x40;
    assert_int_equal(times, 1);
    assert_int_equal(seen.ExceptionInformation[0], 8);
    assert_int_equal(seen.ExceptionInformation[1], base);
    assert_true(nt_ok(mm_protect(&base, &size, PAGE_EXECUTE_READ, &old, NULL)));
#else /* the image says nothing of NX_COMPAT: the page is executed */
    (void)old;
#endif
    tail = (uintptr_t)base + sizeof(prologue) + 2;
    assert_int_equal(ldr_gate_call((uintptr_t)base, 0x10, 0, 0), CONTINUED);
    ke_remove_vectored(handler);
    assert_int_equal(seen.ExceptionCode, 0xC0000005);
    assert_int_equal(seen.ExceptionInformation[0], 0);
    assert_int_equal(seen.ExceptionInformation[1], 0x10);
    mm_free(base, 0, MEM_RELEASE, NULL);
}

/* ---- what is kept -----------------------------------------------------------------------------
 */

static uint32_t page_now;

/* Mends the cause and destroys what a handler may destroy. */
static int32_t WINAPI_DEF mend(struct ke_exception_pointers *pointers)
{
    times++;
    KE_BY_WORD(pointers->ContextRecord->Rcx, pointers->ContextRecord->Ecx) = (uintptr_t)&page_now;
    __asm__ volatile("pcmpeqd %%xmm0, %%xmm0\n pcmpeqd %%xmm5, %%xmm5\n fninit" ::: "memory");
    if (__builtin_cpu_supports("avx"))
        __asm__ volatile("vzeroall" ::: "memory");
    return KE_CONTINUE_EXECUTION;
}

static void registers_come_back(void **state)
{
    ke_fault_install();
    void *handler = ke_add_vectored(1, (void *)mend, false);
    page_now = 0;
    assert_int_equal(run(KEEP_SLOT, 0x10, 1234) & 0xFFFF, 1234 + 3);
    assert_int_equal(times, 1);
    if (__builtin_cpu_supports("avx")) {
        assert_int_equal(run(AVX_SLOT, 0x10, 0), 0xFF);
        assert_int_equal(times, 1);
    }
    ke_remove_vectored(handler);
}

static uintptr_t handler_stack;

static int32_t WINAPI_DEF note_stack(struct ke_exception_pointers *pointers)
{
    handler_stack = (uintptr_t)__builtin_frame_address(0);
    seen = *pointers->ExceptionRecord;
    KE_CONTEXT_PC(pointers->ContextRecord) = tail;
    return KE_CONTINUE_EXECUTION;
}

/* A function of the loader that an image calls: the fault in it is the image's. */
static uintptr_t WINAPI_DEF builtin_that_reads(const volatile uint32_t *at)
{
    return *at;
}

static void a_fault_in_a_builtin_is_the_images(void **state)
{
    ke_fault_install();
    uintptr_t value;
    uint32_t exception;
    assert_false(ldr_gate_try(slot_at(CALL_SLOT), 0x18, (uintptr_t)builtin_that_reads, 0, &value,
                              &exception));
    assert_int_equal(exception, 0xC0000005);
    assert_true(ldr_gate_try(slot_at(CALL_SLOT), (uintptr_t)&numbers[1],
                             (uintptr_t)builtin_that_reads, 0, &value, &exception));
    assert_int_equal(value, 1);
}

static void handlers_run_on_the_threads_stack(void **state)
{
    ke_fault_install();
    void *handler = ke_add_vectored(1, (void *)note_stack, false);
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    tail = slot_at(1) + sizeof(prologue) + 2;
    run(1, 0x10, 0);
    ke_remove_vectored(handler);
    assert_in_range(here - handler_stack, 1024, 65536);
    stack_t signals;
    assert_int_equal(sigaltstack(NULL, &signals), 0);
    assert_true(signals.ss_size >= 32768 && !(signals.ss_flags & (SS_DISABLE | SS_ONSTACK)));
}

/* ---- the host's -------------------------------------------------------------------------------
 */

static sigjmp_buf host_jump;
static void *host_address;
static volatile uintptr_t nowhere = 0x120;

static void host_handler(int number, siginfo_t *info, void *context)
{
    host_address = info->si_addr;
    siglongjmp(host_jump, number);
}

static void the_hosts_own_faults_stay_the_hosts(void **state)
{
    ke_fault_install();
    struct sigaction action = {.sa_sigaction = host_handler, .sa_flags = SA_SIGINFO}, before;
    void *handler = ke_add_vectored(1, (void *)go_to_tail, false);
    sigaction(SIGSEGV, &action, &before);
    ke_fault_install();
    times = 0;
    int number = sigsetjmp(host_jump, 1);
    if (number == 0)
        (void)*(volatile int *)nowhere;
    ke_remove_vectored(handler);
    assert_int_equal(number, SIGSEGV);
    assert_int_equal((uintptr_t)host_address, 0x120);
    assert_int_equal(times, 0);
    tail = slot_at(1) + sizeof(prologue) + 2; /* and an image's are still exceptions */
    handler = ke_add_vectored(1, (void *)go_to_tail, false);
    assert_int_equal(run(1, 0x10, 0), CONTINUED);
    ke_remove_vectored(handler);
    sigaction(SIGSEGV, &before, NULL);
    ke_fault_install();
}

static void fast_fail(void)
{
    ke_add_vectored(1, (void *)go_to_tail, false);
    run(FAST_SLOT, 7, 0);
}

static void unhandled(void)
{
    run(1, 0x10, 0);
}

static void the_process_ends_with_the_code(void **state)
{
    ke_fault_install();
    char text[16384];
    assert_int_equal(status_of(fast_fail, text, sizeof(text)), 0x09);
    assert_non_null(strstr(text, "0xc0000409"));
    assert_int_equal(status_of(unhandled, text, sizeof(text)), 0x05);
    assert_non_null(strstr(text, "STATUS_ACCESS_VIOLATION 0xc0000005 at faults.dll+"));
}

static int set_up(void **state)
{
    static const char call_b[] = KE_BY_WORD("\x48\x83\xEC\x28\xFF\xD2\x48\x83\xC4\x28",
                                            "\x51\xFF\xD2\x90\x90\x90\x90\x90\x90\x90");
    /* xmm5 (all ones), an x87 constant 1 and edx live over the fault: eax = edx + 1 + 1 + 1 */
    static const char keep[] =
        "\x66\x0F\x76\xED\xD9\xE8\x8B\x01" /* pcmpeqd xmm5; fld1; mov eax, [ecx] */
        "\x01\xD0\x66\x0F\x7E\xE9\x29\xC8" /* add eax, edx; movd ecx, xmm5; sub eax, ecx */
        "\x66\x0F\x7E\xE9\x29\xC8"         /* again */
        "\x50\xDB\x1C\x24\x59\x01\xC8";    /* push; fistp dword [sp]; pop ecx; add */
    static const char avx[] = "\xC5\xFC\xC2\xC0\x0F\x8B\x01\xC5\xFC\x50\xC0";
    memset(blob, 0xCC, sizeof(blob));
    put(blob, "\xB8\x01\0\0\0", 5);
    for (size_t i = 0; i < COUNT; i++)
        put(blob + (i + 1) * SLOT, snippets[i].code, snippets[i].size);
    put(blob + KEEP_SLOT * SLOT, keep, sizeof(keep) - 1);
    put(blob + AVX_SLOT * SLOT, avx, sizeof(avx) - 1);
    put(blob + CALL_SLOT * SLOT, call_b, sizeof(call_b) - 1);
    put(blob + FAST_SLOT * SLOT, "\xCD\x29", 2);
    if (tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL)))
        return -1;
    graph_write(
        &(struct graph_spec){.file = "faults.dll", .code = blob, .code_size = sizeof(blob)});
    module = graph_must_load("faults.dll");
    if (!module)
        return -1;
    code_base = ldr_module_base(module) + ldr_module_image(module)->h.address_of_entry_point;
    return 0;
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_fault_has_its_code),
        cmocka_unit_test(a_page_without_file_is_an_in_page_error),
        cmocka_unit_test(a_guard_page_raises_once),
        cmocka_unit_test(code_outside_of_images_has_exceptions_too),
        cmocka_unit_test(registers_come_back),
        cmocka_unit_test(handlers_run_on_the_threads_stack),
        cmocka_unit_test(a_fault_in_a_builtin_is_the_images),
        cmocka_unit_test(the_hosts_own_faults_stay_the_hosts),
        cmocka_unit_test(the_process_ends_with_the_code),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
