/*
 * Threads that images create, and the ends that a thread and a process can come to.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/ob/object.h"

static int attach_once(void **state)
{
    return nt_ok(ke_thread_attach(NULL)) ? 0 : -1;
}

static nt_status wait_for(struct ob_object *object, uint32_t milliseconds)
{
    uint32_t index;
    return ob_wait(&object, 1, false, milliseconds, ke_thread_id(), &index);
}

struct witness {
    uint32_t id;
    struct ke_teb *teb;
    bool aligned, stack_ok;
    uint16_t x87;
};

static uint32_t WINAPI_DEF record(void *parameter)
{
    struct witness *witness = parameter;
    volatile char on_stack __attribute__((aligned(16))) = 1;
    uintptr_t here = (uintptr_t)&on_stack;
    witness->teb = ke_teb();
    witness->id = ke_thread_id();
    witness->aligned = here % 16 == 0;
    witness->stack_ok =
        here > (uintptr_t)witness->teb->StackLimit && here < (uintptr_t)witness->teb->StackBase;
    __asm__ volatile("fnstcw %0" : "=m"(witness->x87));
    return 42;
}

static void a_thread_runs_and_its_object_gets_signaled(void **state)
{
    struct ob_object *thread;
    struct witness witness = {0};
    uint32_t id = 0;
    assert_int_equal(ke_thread_create(record, &witness, 0, false, &thread, &id, NULL), 0);
    assert_int_equal(wait_for(thread, OB_INFINITE), STATUS_SUCCESS);
    assert_int_equal(ke_thread_exit_code(thread), 42);
    assert_int_equal(witness.id, id);
    assert_int_equal(ke_thread_id_of(thread), id);
    assert_true(witness.aligned);
    assert_true(witness.stack_ok);
    assert_int_equal(witness.x87 & 0x300, 0x200); /* 53 bits, as Windows starts threads */
    assert_ptr_not_equal(witness.teb, ke_teb());
    ob_object_unref(thread);
}

/* Saved registers come back although the frames in between never return. */
static uint32_t (*volatile exit_from_below)(uint32_t depth);

static uint32_t go_down(uint32_t depth)
{
    volatile char space[256];
    memset((char *)space, (int)depth, sizeof(space));
    if (depth == 0)
        ke_thread_exit(0xABCD);
    return exit_from_below(depth - 1) + (uint32_t)space[7];
}

static uint32_t WINAPI_DEF exit_early(void *parameter)
{
    exit_from_below = go_down;
    return exit_from_below(50);
}

static void ke_thread_exit_leaves_from_any_depth(void **state)
{
    for (int i = 0; i < 20; i++) {
        struct ob_object *thread;
        assert_int_equal(ke_thread_create(exit_early, NULL, 0, false, &thread, NULL, NULL), 0);
        assert_int_equal(wait_for(thread, OB_INFINITE), STATUS_SUCCESS);
        assert_int_equal(ke_thread_exit_code(thread), 0xABCD);
        ob_object_unref(thread);
    }
}

static void ke_run_comes_back_from_an_exit(void **state)
{
    volatile int kept = 7;
    assert_int_equal(ke_run(exit_early, NULL), 0xABCD);
    assert_int_equal(kept, 7);
    struct witness witness = {0};
    assert_int_equal(ke_run(record, &witness), 42);
    assert_true(witness.aligned);
}

static void a_suspended_thread_waits_for_its_resume(void **state)
{
    struct ob_object *thread;
    struct witness witness = {0};
    uint32_t id = 0, count = 99;
    assert_int_equal(ke_thread_create(record, &witness, 0, true, &thread, &id, NULL), 0);
    assert_int_equal(ke_thread_suspend(thread, &count), STATUS_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_equal(ke_thread_resume(thread, &count), STATUS_SUCCESS);
    assert_int_equal(count, 2);
    assert_int_equal(wait_for(thread, 50), STATUS_TIMEOUT);
    assert_int_equal(ke_thread_exit_code(thread), KE_STILL_ACTIVE);
    assert_int_equal(witness.id, 0);
    assert_int_equal(ke_thread_resume(thread, &count), STATUS_SUCCESS);
    assert_int_equal(count, 1);
    assert_int_equal(wait_for(thread, OB_INFINITE), STATUS_SUCCESS);
    assert_int_equal(witness.id, id);
    assert_int_equal(ke_thread_resume(thread, &count), STATUS_SUCCESS);
    assert_int_equal(count, 0);
    ob_object_unref(thread);
}

static uint32_t WINAPI_DEF own_mutex(void *parameter)
{
    *(struct ob_object **)parameter = ob_mutex_create(ke_thread_id());
    return 0;
}

static void a_mutex_of_an_ended_thread_is_abandoned(void **state)
{
    struct ob_object *thread, *mutex = NULL;
    uint32_t index = 0;
    assert_int_equal(ke_thread_create(own_mutex, &mutex, 0, false, &thread, NULL, NULL), 0);
    assert_int_equal(wait_for(thread, OB_INFINITE), STATUS_SUCCESS);
    assert_int_equal(ob_wait(&mutex, 1, false, 0, ke_thread_id(), &index), STATUS_SUCCESS);
    assert_int_equal(index & 0x80, 0x80);
    assert_int_equal(ob_mutex_release(mutex, ke_thread_id()), STATUS_SUCCESS);
    ob_object_unref(mutex);
    ob_object_unref(thread);
}

static void *hold_own_object(void *argument)
{
    *(struct ob_object **)argument = ke_thread_current();
    return NULL;
}

static void a_host_threads_object_is_signaled_at_its_end(void **state)
{
    pthread_t host;
    struct ob_object *object = NULL;
    pthread_create(&host, NULL, hold_own_object, &object);
    pthread_join(host, NULL);
    assert_int_equal(wait_for(object, 0), STATUS_SUCCESS);
    ob_object_unref(object);
}

static void *exit_host_thread(void *argument)
{
    *(struct ob_object **)argument = ke_thread_current();
    ke_thread_exit(77);
    return NULL;
}

static void a_host_thread_can_exit_as_well(void **state)
{
    pthread_t host;
    struct ob_object *object = NULL;
    pthread_create(&host, NULL, exit_host_thread, &object);
    pthread_join(host, NULL);
    assert_int_equal(wait_for(object, 0), STATUS_SUCCESS);
    assert_int_equal(ke_thread_exit_code(object), 77);
    ob_object_unref(object);
}

static void threads_are_found_by_id(void **state)
{
    struct ob_object *self = ke_thread_by_id(ke_thread_id());
    struct ob_object *current = ke_thread_current();
    assert_ptr_equal(self, current);
    ob_object_unref(self);
    ob_object_unref(current);
    assert_null(ke_thread_by_id(0x7FFFFFF0));
}

static int exit_status_of(void (*body)(void))
{
    int status = -1;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        body();
        _exit(99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void exit_with_256(void)
{
    ke_process_exit(256);
}

static void exit_with_7(void)
{
    ke_process_exit(7);
}

static void exit_with_0(void)
{
    ke_process_exit(0);
}

static void exit_code_is_cut_but_never_to_success(void **state)
{
    assert_int_equal(exit_status_of(exit_with_7), 7);
    assert_int_equal(exit_status_of(exit_with_0), 0);
    assert_int_equal(exit_status_of(exit_with_256), 1);
    assert_int_equal(ke_process_exit_status(0xC0000005), 5);
}

static uint32_t WINAPI_DEF sleep_a_little(void *parameter)
{
    usleep(100000);
    _exit(23);
}

/* The first thread's ExitThread does not end the process while others live. */
static void exit_first_thread(void)
{
    struct ob_object *thread;
    if (ke_thread_create(sleep_a_little, NULL, 0, false, &thread, NULL, NULL) == 0)
        ke_thread_exit(1);
}

static void the_process_outlives_its_first_thread(void **state)
{
    assert_int_equal(exit_status_of(exit_first_thread), 23);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_runs_and_its_object_gets_signaled),
        cmocka_unit_test(ke_thread_exit_leaves_from_any_depth),
        cmocka_unit_test(ke_run_comes_back_from_an_exit),
        cmocka_unit_test(a_suspended_thread_waits_for_its_resume),
        cmocka_unit_test(a_mutex_of_an_ended_thread_is_abandoned),
        cmocka_unit_test(a_host_threads_object_is_signaled_at_its_end),
        cmocka_unit_test(a_host_thread_can_exit_as_well),
        cmocka_unit_test(threads_are_found_by_id),
        cmocka_unit_test(exit_code_is_cut_but_never_to_success),
        cmocka_unit_test(the_process_outlives_its_first_thread),
    };
    return cmocka_run_group_tests(tests, attach_once, NULL);
}
