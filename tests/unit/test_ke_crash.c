/*
 * What a crash report says: of a fault in an image, of one that cannot be read, of an image's
 * unhandled fault that ends the process.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ke/crash.h"
#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "loader/ldr/gate.h"
#include "tests/unit/graphimage.h"

static char text[65536];

/* Runs `body` in a child; its standard error goes to `text`. Returns the exit status. */
static int status_of(void (*body)(void))
{
    int pipes[2], status = -1;
    fflush(NULL);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        close(pipes[0]);
        dup2(pipes[1], 2);
        body();
        _exit(99);
    }
    close(pipes[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(pipes[0], text + got, sizeof(text) - 1 - got)) > 0;)
        got += (size_t)n;
    text[got] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

/* Every line of a report is peldr's. */
static void check_prefixes(void)
{
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        assert_memory_equal(line, "peldr: ", 7);
        assert_non_null(strchr(line, '\n'));
    }
}

static void must_say(const char *what)
{
    if (!strstr(text, what))
        fail_msg("\"%s\" is not in:\n%s", what, text);
}

/* mov eax, 1; xor ecx, ecx; mov dword [rcx], eax: a fault 7 bytes behind the start */
static const uint8_t faulting[] = {0xB8, 1, 0, 0, 0, 0x31, 0xC9, 0x89, 0x01, 0xC3};
enum { FAULT_AT = 7 };

static uintptr_t load_faulting(void)
{
    struct pebuild *b = pebuild_new(PEBUILD_DLL | GRAPH_WORD);
    struct pebuild_buffer code = pebuild_buffer(b);
    uint32_t before = pebuild_bytes(&code, "\xC3\x90\x90\x90", 4);
    uint32_t rva = pebuild_bytes(&code, faulting, sizeof(faulting));
    pebuild_buffer_section(&code, ".text", PEBUILD_TEXT);
    const struct pebuild_export exports[] = {
        {.name = "before", .ordinal = 1, .rva = before},
        {.name = "fault", .ordinal = 2, .rva = rva},
    };
    pebuild_exports(b, "bad.dll", 1, exports, 2);
    pebuild_relocs(b);
    if (!pebuild_finish_file(b, tempdir_path("bad.dll")))
        abort();
    struct ldr_module *module = graph_must_load("bad.dll");
    return (uintptr_t)ldr_module_base(module) + rva;
}

static uintptr_t function;
static struct ke_exception_record record;
static struct ke_context context;

static void make_fault(uintptr_t pc)
{
    memset(&record, 0, sizeof(record));
    memset(&context, 0, sizeof(context));
    ke_capture_context(&context);
    KE_CONTEXT_PC(&context) = pc;
    record.ExceptionCode = 0xC0000005;
    record.ExceptionAddress = (void *)pc;
    record.NumberParameters = 2;
    record.ExceptionInformation[0] = 1;
    record.ExceptionInformation[1] = 0x18;
}

static void report(void)
{
    ke_report_crash(&record, &context);
    _exit(0);
}

static void a_report_names_place_registers_and_code(void **state)
{
    char line[128];
    make_fault(function + FAULT_AT);
    context.
#ifdef __x86_64__
        Rsi = 0x1234567890ABCDEF;
#else
        Esi = 0x12345678;
#endif
    assert_int_equal(status_of(report), 0);
    check_prefixes();
    assert_memory_equal(text,
                        "peldr: unhandled exception STATUS_ACCESS_VIOLATION 0xc0000005 at "
                        "bad.dll+0x",
                        75);
    must_say(") writing 0x18\n");
    must_say(KE_BY_WORD("rsi=1234567890abcdef", "esi=12345678"));
    must_say("bad.dll!fault+0x7\n");
    snprintf(line, sizeof(line), "#0  bad.dll+0x%zx (0x%zx)", (size_t)(function & 0xFFFF) + 7,
             (size_t)function + 7);
    must_say(line);
#ifdef HAVE_ZYDIS
    snprintf(line, sizeof(line), "  => 0x%zx  89 01 ", (size_t)function + FAULT_AT);
    must_say(line);
    snprintf(line, sizeof(line), "     0x%zx  b8 01 00 00 00 ", (size_t)function);
    must_say(line);
    must_say("xor ecx, ecx");
    must_say(KE_BY_WORD("[rcx], eax", "[ecx], eax"));
    must_say("ret");
#endif
}

static void in_page_errors_tell_their_status(void **state)
{
    make_fault(function);
    record.ExceptionCode = 0xC0000006;
    record.NumberParameters = 3;
    record.ExceptionInformation[0] = 0;
    record.ExceptionInformation[2] = 0xC0000011;
    assert_int_equal(status_of(report), 0);
    must_say("reading 0x18 with status 0xc0000011\n");
    must_say("bad.dll!fault\n");
}

static void a_wild_jump_is_reported(void **state)
{
    make_fault(0x10);
    record.ExceptionInformation[0] = 8;
    record.ExceptionInformation[1] = 0x10;
    assert_int_equal(status_of(report), 0);
    check_prefixes();
    must_say(" at 0x10 executing 0x10\n");
    must_say("no instruction can be read there");
}

/* A stack pointer that makes no sense leaves a report without callers. */
static void a_lost_stack_is_reported(void **state)
{
    make_fault(function + FAULT_AT);
    KE_CONTEXT_SP(&context) = 8;
#ifdef __i386__
    context.Ebp = 8;
#endif
    assert_int_equal(status_of(report), 0);
    must_say("#0 ");
    assert_null(strstr(text, "#1 "));
}

static void report_line(void)
{
    ke_report_crash(&record, NULL);
    _exit(0);
}

static void the_line_alone_needs_no_context(void **state)
{
    make_fault(function);
    assert_int_equal(status_of(report_line), 0);
    check_prefixes();
    assert_ptr_equal(strchr(text, '\n') + 1, text + strlen(text));
}

static void builtin_functions_are_named(void **state)
{
    struct ke_text symbol = {.length = 0};
    uintptr_t start;
    ke_text_symbol(&symbol, (uintptr_t)host_Answer, &start);
    assert_string_equal(symbol.bytes, "host.exe!Answer");
    assert_int_equal(start, (uintptr_t)host_Answer);
    symbol = (struct ke_text){.length = 0};
    ke_text_symbol(&symbol, (uintptr_t)host_record + 3, &start);
    assert_string_equal(symbol.bytes, "host.exe!record+0x3");
    symbol = (struct ke_text){.length = 0};
    ke_text_symbol(&symbol, (uintptr_t)gnu_get_libc_version + 1, &start);
    assert_non_null(strstr(symbol.bytes, "libc.so.6!gnu_get_libc_version"));
    symbol = (struct ke_text){.length = 0};
    ke_text_symbol(&symbol, 0x10, &start);
    assert_string_equal(symbol.bytes, "");
    assert_int_equal(start, 0);
}

/* Headers that the program has spoilt, as protectors do. */
static void spoilt_export_tables_are_survived(void **state)
{
    uintptr_t base = function & ~(uintptr_t)0xFFFF, start;
    uint64_t page = base, size = 0x1000;
    uint32_t old = 0, word, headers, values[] = {0, 1, 0x10, 0xFFFF, 0xFFFFFFF0, 0xFFFFFFFF};
    assert_true(nt_ok(mm_protect(&page, &size, 0x04, &old, NULL)));
    memcpy(&headers, (void *)(base + 0x3C), 4);
    uint32_t places[] = {0x3C, headers + KE_BY_WORD(0x88, 0x78), headers + KE_BY_WORD(0x8C, 0x7C)};
    for (size_t place = 0; place < 3; place++) {
        memcpy(&word, (void *)(base + places[place]), 4);
        for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
            struct ke_text symbol = {.length = 0};
            memcpy((void *)(base + places[place]), &values[i], 4);
            ke_text_symbol(&symbol, function, &start);
            assert_true(symbol.length < sizeof(symbol.bytes));
        }
        memcpy((void *)(base + places[place]), &word, 4);
    }
    struct ke_text symbol = {.length = 0};
    ke_text_symbol(&symbol, function, &start);
    assert_string_equal(symbol.bytes, "bad.dll!fault");
}

static void call_the_image(void)
{
    ke_fault_install();
    ldr_gate_call(function, 0, 0, 0);
}

static void an_unhandled_fault_ends_with_its_report(void **state)
{
    assert_int_equal(status_of(call_the_image), 0x05);
    check_prefixes();
    must_say("peldr: unhandled exception STATUS_ACCESS_VIOLATION 0xc0000005 at bad.dll+0x");
    must_say(" writing 0x0\n");
    must_say("#0  bad.dll+0x");
    must_say("bad.dll!fault+0x7");
    must_say("#1 ");
}

static void close_and_call(void)
{
    int pipes[2];
    if (pipe(pipes) == 0 && dup2(pipes[1], 2) == 2) {
        close(pipes[0]);
        close(pipes[1]);
    }
    call_the_image();
}

static void nobody_listening_does_not_change_the_exit_code(void **state)
{
    assert_int_equal(status_of(close_and_call), 0x05);
}

static int set_up(void **state)
{
    if (tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL)))
        return -1;
    function = load_faulting();
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
        cmocka_unit_test(a_report_names_place_registers_and_code),
        cmocka_unit_test(in_page_errors_tell_their_status),
        cmocka_unit_test(a_wild_jump_is_reported),
        cmocka_unit_test(a_lost_stack_is_reported),
        cmocka_unit_test(the_line_alone_needs_no_context),
        cmocka_unit_test(builtin_functions_are_named),
        cmocka_unit_test(spoilt_export_tables_are_survived),
        cmocka_unit_test(an_unhandled_fault_ends_with_its_report),
        cmocka_unit_test(nobody_listening_does_not_change_the_exit_code),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
