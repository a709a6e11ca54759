/*
 * Stacks of image threads and programs: their bounds, overflowing them, and doing so again.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ke/exception.h"
#include "loader/ke/ke.h"
#include "loader/ke/process.h"
#include "loader/ke/stackguard.h"
#include "loader/ke/teb.h"
#include "loader/ldr/gate.h"
#include "loader/ob/object.h"
#include "tests/unit/graphimage.h"

/* push, and again: the end of every stack */
static const uint8_t recursion[] = {0x50, 0xEB, 0xFD};

static struct ke_exception_record seen;
static uintptr_t bottom, limit, base, handler_room;
static unsigned times;
static bool first_armed, second_armed;

/* Ends the call: back to where the gate called, as an unwinding handler would. */
static int32_t WINAPI_DEF overflowed(struct ke_exception_pointers *pointers)
{
    struct ke_teb *teb = ke_teb();
    times++;
    seen = *pointers->ExceptionRecord;
    handler_room = (uintptr_t)__builtin_frame_address(0) - (uintptr_t)teb->StackLimit;
    return KE_CONTINUE_SEARCH;
}

static uintptr_t overflow_address;

static void overflow_under_guard(void)
{
    uintptr_t value;
    uint32_t exception;
    assert_false(ldr_gate_try(overflow_address, 0, 0, 0, &value, &exception));
    assert_int_equal(exception, 0xC00000FD);
}

static uint32_t WINAPI_DEF program(void *twice)
{
    struct ke_teb *teb = ke_teb();
    uintptr_t here = (uintptr_t)__builtin_frame_address(0);
    bottom = (uintptr_t)teb->DeallocationStack;
    limit = (uintptr_t)teb->StackLimit;
    base = (uintptr_t)teb->StackBase;
    assert_in_range(here, limit, base);
    overflow_under_guard();
    first_armed = ke_stack_arm();
    assert_int_equal((uintptr_t)teb->StackLimit, limit);
    if (twice)
        overflow_under_guard();
    second_armed = ke_stack_arm();
    return 5;
}

static void check(unsigned expected)
{
    assert_int_equal(times, expected);
    assert_true(first_armed && second_armed);
    assert_int_equal(seen.ExceptionCode, 0xC00000FD);
    assert_int_equal(seen.NumberParameters, 2);
    assert_int_equal(seen.ExceptionInformation[0], 1);
    assert_in_range(seen.ExceptionInformation[1], bottom, limit);
    assert_in_range(handler_room, 32768, 131072);
    assert_true(limit - bottom >= 65536);
}

static void a_program_overflows_its_stack_twice(void **state)
{
    struct ke_teb *teb = ke_teb();
    void *outer[] = {teb->StackBase, teb->StackLimit, teb->DeallocationStack};
    ke_fault_install();
    void *handler = ke_add_vectored(1, (void *)overflowed, false);
    times = 0;
    assert_int_equal(ke_run(program, &times), 5);
    ke_remove_vectored(handler);
    check(2);
    assert_int_equal(base - bottom, 0x100000); /* the reserve that no program's header says */
    assert_ptr_equal(teb->StackBase, outer[0]);
    assert_ptr_equal(teb->StackLimit, outer[1]);
    assert_ptr_equal(teb->DeallocationStack, outer[2]);
}

static uint32_t run_thread(uint64_t size)
{
    struct ob_object *thread;
    assert_true(nt_ok(ke_thread_create(program, NULL, size, false, &thread, NULL, NULL)));
    uint32_t code;
    for (int i = 0; (code = ke_thread_exit_code(thread)) == KE_STILL_ACTIVE && i < 2000; i++)
        usleep(5000);
    ob_object_unref(thread);
    return code;
}

static void a_thread_has_the_stack_it_asked_for(void **state)
{
    ke_fault_install();
    void *handler = ke_add_vectored(1, (void *)overflowed, false);
    times = 0;
    assert_int_equal(run_thread(0x80000), 5);
    check(1);
    assert_int_equal(base - bottom, 0x80000);
    ke_remove_vectored(handler);
}

static uint32_t WINAPI_DEF with_guarantee(void *bytes)
{
    ke_teb()->GuaranteedStackBytes = (uint32_t)(uintptr_t)bytes;
    assert_true(ke_stack_arm());
    return program(NULL);
}

static void a_guarantee_makes_the_guard_larger(void **state)
{
    ke_fault_install();
    void *handler = ke_add_vectored(1, (void *)overflowed, false);
    times = 0;
    assert_int_equal(ke_run(with_guarantee, (void *)(uintptr_t)0x8000), 5);
    ke_remove_vectored(handler);
    ke_teb()->GuaranteedStackBytes = 0;
    assert_int_equal(times, 1);
    assert_int_equal(limit - bottom, 0x1000 + 0x10000 + 0x8000);
    assert_in_range(handler_room, 65536, 131072);
}

/* A second overflow, with the guard still open. */
static int32_t WINAPI_DEF overflows_again(struct ke_exception_pointers *pointers)
{
    ldr_gate_call(overflow_address, 0, 0, 0);
    return KE_CONTINUE_SEARCH;
}

static void the_end_of_the_guard_ends_the_process(void **state)
{
    int pipes[2], status;
    char text[8192];
    fflush(NULL);
    assert_int_equal(pipe(pipes), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(pipes[1], 2);
        ke_fault_install();
        ke_add_vectored(1, (void *)overflows_again, false);
        ke_run(program, NULL);
        _exit(99);
    }
    close(pipes[1]);
    size_t got = 0;
    for (ssize_t n; (n = read(pipes[0], text + got, sizeof(text) - 1 - got)) > 0;)
        got += (size_t)n;
    text[got] = 0;
    close(pipes[0]);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_not_equal(WEXITSTATUS(status), 99);
    assert_non_null(strstr(text, "at deep.dll+"));
}

static int set_up(void **state)
{
    uint8_t code[16] = {0xB8, 1, 0, 0, 0, KE_BY_WORD(0xC3, 0xC2), 0x0C, 0};
    memcpy(code + 8, recursion, sizeof(recursion));
    if (tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL)))
        return -1;
    graph_write(&(struct graph_spec){.file = "deep.dll", .code = code, .code_size = sizeof(code)});
    struct ldr_module *module = graph_must_load("deep.dll");
    if (!module)
        return -1;
    overflow_address =
        (uintptr_t)ldr_module_base(module) + ldr_module_image(module)->h.address_of_entry_point + 8;
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
        cmocka_unit_test(a_program_overflows_its_stack_twice),
        cmocka_unit_test(a_thread_has_the_stack_it_asked_for),
        cmocka_unit_test(a_guarantee_makes_the_guard_larger),
        cmocka_unit_test(the_end_of_the_guard_ends_the_process),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
