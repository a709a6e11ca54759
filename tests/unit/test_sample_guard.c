/*
 * Crashes inside an image: a host that asks gets them as values and goes on, one that does not ask
 * gets a report. Library and command, on the crash sample of every set.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/ke/process.h"
#include "loader/peldr.h"
#include "tests/samples.h"

typedef int(PELDR_CDECL *image_fn)(intptr_t a, intptr_t b);

static peldr_module *dll;
static image_fn function(const char *name)
{
    image_fn found = (image_fn)peldr_sym(dll, name);
    if (!found)
        fail_msg("%s: %s", name, peldr_error());
    return found;
}

struct attempt {
    const char *name;
    intptr_t a, b;
    int result;
};

static void attempt(void *user)
{
    struct attempt *at = user;
    at->result = function(at->name)(at->a, at->b);
}

/* ---- codes ---- */

static const char read_only[4096] __attribute__((aligned(4096))) = "in .rodata";

static const struct {
    struct attempt call;
    uint32_t code, parameters;
    uintptr_t parameter[2];
} crashes[] = {
    {{"read_from", 0x10}, 0xC0000005, 2, {0, 0x10}},
    {{"write_to", (intptr_t)read_only, 5}, 0xC0000005, 2, {1, (uintptr_t)read_only}},
    {{"divide", 7, 0}, 0xC0000094, 0, {0}},
    {{"raise_software", (intptr_t)0xE0000042}, 0xE0000042, 0, {0}},
    {{"illegal"}, 0xC000001D, 0, {0}},
    {{"call", 0x30}, 0xC0000005, 2, {8, 0x30}},
};

static void check_crashes(void)
{
    struct peldr_exception e;
    for (size_t i = 0; i < sizeof(crashes) / sizeof(crashes[0]); i++) {
        struct attempt call = crashes[i].call;
        if (peldr_call_guarded(attempt, &call, &e) != 1)
            fail_msg("%s came back", call.name);
        if (e.code != crashes[i].code || e.parameter_count != crashes[i].parameters)
            fail_msg("%s: %s 0x%x, %u parameters", call.name, e.name, e.code, e.parameter_count);
        for (uint32_t p = 0; p < e.parameter_count; p++)
            assert_int_equal(e.parameters[p], crashes[i].parameter[p]);
        if (strcmp(call.name, "call") != 0) /* that one is nowhere */
            assert_non_null(strstr(e.where, "crash.dll+0x"));
    }
}

static void with_each_set(void (*check)(void))
{
    char path[SAMPLE_PATH_MAX];
    unsigned sets = 0;
    assert_int_equal(peldr_attach_thread(), 0);
    ke_fault_install(); /* in front of cmocka's handler, which each test gets anew */
    for (const char *const *set = sample_sets; *set; set++) {
        if (!sample_path(*set, "crash.dll", path))
            continue;
        dll = peldr_open(path, 0);
        if (!dll)
            fail_msg("%s: %s", path, peldr_error());
        check();
        assert_int_equal(peldr_close(dll), 0);
        sets++;
    }
    if (sets == 0)
        skip();
}

static void a_crash_is_a_value_for_the_host_that_asks(void **state)
{
    with_each_set(check_crashes);
}

static void check_many(void)
{
    struct held before, after;
    for (int i = 0; i < 5; i++)
        check_crashes();
    before = held_now();
    for (int i = 0; i < 200; i++)
        check_crashes();
    after = held_since(&before);
    assert_in_range(after.maps, 0, before.maps);
    assert_in_range(after.fds, 0, before.fds);
    struct attempt sum = {"add", 2, 3, 0};
    assert_int_equal(peldr_call_guarded(attempt, &sum, NULL), 0);
    assert_int_equal(sum.result, 5);
}

static void a_thousand_crashes_later_nothing_is_lost(void **state)
{
    with_each_set(check_many);
}

static void *crash_on_a_thread(void *unused)
{
    check_crashes();
    return NULL;
}

static void check_thread(void)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, crash_on_a_thread, NULL), 0);
    pthread_join(thread, NULL);
}

static void threads_of_the_host_may_ask_as_well(void **state)
{
    with_each_set(check_thread);
}

/* ---- the host's own faults ---- */

static sigjmp_buf back;

static void own_handler(int number)
{
    siglongjmp(back, number);
}

static void own_fault(void *user)
{
    *(volatile int *)user = 1;
}

/* A fault of the body itself is none of an image's: the host's handler gets it, guard or not. */
static void a_fault_of_the_host_goes_to_its_own_handler(void **state)
{
    struct sigaction own = {.sa_handler = own_handler, .sa_flags = SA_NODEFER}, old;
    void *page = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_int_equal(peldr_attach_thread(), 0);
    sigaction(SIGSEGV, &own, &old);
    if (sigsetjmp(back, 1) == 0) {
        own_fault(page);
        fail();
    }
    sigaction(SIGSEGV, &old, NULL);
    munmap(page, 4096);
}

/* ---- the command ---- */

/* Runs the shell command; its standard output and error together in `text`. */
static int run(const char *command, char *text, size_t size)
{
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    size_t got = fread(text, 1, size - 1, pipe);
    text[got] = 0;
    int status = pclose(pipe);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static char crash_path[SAMPLE_PATH_MAX];

static const char *command(const char *options, const char *signature, const char *arguments)
{
    static char line[3 * SAMPLE_PATH_MAX];
    const char *peldr = getenv("PELDR_TEST_COMMAND");
    if (!peldr || access(peldr, X_OK) != 0)
        skip();
    snprintf(line, sizeof line, "'%s' call %s '%s' '%s' %s 2>&1", peldr, options, crash_path,
             signature, arguments);
    return line;
}

static void find_crash_dll(void)
{
    for (const char *const *set = sample_sets; *set; set++)
        if (sample_path(*set, "crash.dll", crash_path))
            return;
    skip();
}

static void the_command_shows_the_exception_as_the_result(void **state)
{
    char text[16384];
    find_crash_dll();
    assert_int_equal(run(command("--guard --json", "i32 read_from(u32)", "16"), text, sizeof text),
                     1);
    assert_non_null(strstr(text, "\"code\": \"0xc0000005\""));
    assert_non_null(strstr(text, "\"name\": \"STATUS_ACCESS_VIOLATION\""));
    assert_non_null(strstr(text, "\"0x10\""));
    assert_non_null(strstr(text, "crash.dll+0x"));
    assert_int_equal(run(command("--guard", "i32 add(i32, i32)", "2 3"), text, sizeof text), 0);
    assert_string_equal(text, "add = 5\n");
}

static void without_a_guard_there_is_a_report(void **state)
{
    char text[16384];
    find_crash_dll();
    assert_int_equal(run(command("", "i32 divide(i32, i32)", "7 0"), text, sizeof text), 0x94);
    assert_non_null(strstr(text, "peldr: unhandled exception STATUS_INTEGER_DIVIDE_BY_ZERO "
                                 "0xc0000094 at crash.dll+0x"));
    assert_non_null(strstr(text, "registers:"));
    assert_non_null(strstr(text, "#0  crash.dll+0x"));
    assert_non_null(strstr(text, "crash.dll!divide"));
}

static void a_stack_overflow_is_a_value_too(void **state)
{
    char text[16384];
    find_crash_dll();
    assert_int_equal(
        run(command("--guard --json", "i32 overflow(i32)", "100000000"), text, sizeof text), 1);
    assert_non_null(strstr(text, "\"code\": \"0xc00000fd\""));
    assert_int_equal(run(command("--guard", "i32 overflow(i32)", "100"), text, sizeof text), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_crash_is_a_value_for_the_host_that_asks),
        cmocka_unit_test(a_thousand_crashes_later_nothing_is_lost),
        cmocka_unit_test(threads_of_the_host_may_ask_as_well),
        cmocka_unit_test(a_fault_of_the_host_goes_to_its_own_handler),
        cmocka_unit_test(the_command_shows_the_exception_as_the_result),
        cmocka_unit_test(without_a_guard_there_is_a_report),
        cmocka_unit_test(a_stack_overflow_is_a_value_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
