/*
 * C++ exceptions of Visual C++'s kind in samples/cxx_msvc: two DLLs that bring no runtime.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/peldr.h"
#include "tests/samples.h"

#define CXX_EXCEPTION 0xE06D7363u

#if defined(__x86_64__)
static const char sample_set[] = "clang64";
#else
static const char sample_set[] = "clang32";
#endif

static peldr_module *dll;

static int open_sample(void **state)
{
    char path[SAMPLE_PATH_MAX];
    if (sample_path(sample_set, "cxx_msvc.dll", path)) {
        dll = peldr_open(path, 0);
        if (!dll) {
            fail_msg("%s: %s", path, peldr_error());
        }
    }
    return 0;
}

static int close_sample(void **state)
{
    return dll ? peldr_close(dll) : 0;
}

static void *function(const char *name)
{
    if (!dll) {
        skip();
    }
    void *address = peldr_sym(dll, name);
    if (!address) {
        fail_msg("%s: %s", name, peldr_error());
    }
    return address;
}

static void cases(void **state)
{
    unsigned(PELDR_CDECL * count)(void) = (unsigned(PELDR_CDECL *)(void))function("case_count");
    const char *(PELDR_CDECL * run)(unsigned) =
        (const char *(PELDR_CDECL *)(unsigned))function("run");
    const char *(PELDR_CDECL * expected)(unsigned) =
        (const char *(PELDR_CDECL *)(unsigned))function("expected");
    assert_true(count() >= 17);
    for (unsigned i = 0; i < count(); i++) {
        assert_string_equal(run(i), expected(i));
    }
}

/* Neither memory nor stack may grow with the number of exceptions. */
static void many(void **state)
{
    int(PELDR_CDECL * loop)(int) = (int(PELDR_CDECL *)(int))function("loop");
    assert_int_equal(loop(100), 100);
    struct held before = held_now();
    assert_int_equal(loop(100000), 100000);
    struct held after = held_since(&before);
    assert_in_range(after.maps, 0, before.maps);
    /* A chunk a throw would be megabytes; the service's thread may get its malloc cache meanwhile.
     */
    assert_true(after.heap < before.heap + 4096);
}

static void call_uncaught(void *user)
{
    ((void(PELDR_CDECL *)(void))user)();
}

static void call_foreign(void *user)
{
    ((int(PELDR_CDECL *)(unsigned))user)(0x1234567);
}

/* What nobody catches comes to the guard, and the next exception is caught as ever. */
static void guarded(void **state)
{
    struct peldr_exception exception;
    assert_int_equal(peldr_call_guarded(call_uncaught, function("uncaught"), &exception), 1);
    assert_int_equal(exception.code, CXX_EXCEPTION);
    assert_int_equal(exception.parameter_count, sizeof(void *) == 8 ? 4 : 3);
    assert_int_equal(exception.parameters[0], 0x19930520);
    assert_int_equal(peldr_call_guarded(call_foreign, function("foreign"), &exception), 1);
    assert_int_equal(exception.code, 0x1234567); /* catch (...) is for C++ exceptions only */
    cases(state);
}

/* The exception of a function that is noexcept ends the process, however it gets there. */
static void leave_noexcept(void **state)
{
    void(PELDR_CDECL * leave)(void) = (void(PELDR_CDECL *)(void))function("leave_noexcept");
    pid_t child = fork();
    if (child == 0) {
        close(STDERR_FILENO);
        leave();
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(!WIFEXITED(status) || WEXITSTATUS(status) != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cases),
        cmocka_unit_test(many),
        cmocka_unit_test(guarded),
        cmocka_unit_test(leave_noexcept),
    };
    return cmocka_run_group_tests_name("sample_cxx", tests, open_sample, close_sample);
}
