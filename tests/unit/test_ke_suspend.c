/*
 * Suspending threads in code of images, in waits and in native code; contexts of other threads;
 * termination; calls that are put off to where a thread could be suspended.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "loader/ke/apc.h"
#include "loader/ke/ke.h"
#include "loader/ke/later.h"
#include "loader/ke/suspend.h"
#include "loader/ldr/imagemap.h"
#include "tests/unit/graphimage.h"

/*
 * run(uint32_t *words): counts words[0] up until words[1] is set, and returns 7; the counter is
 * kept in ecx, words in rax/eax, so that a context shows and changes it. It follows an entry point.
 */
#if defined(__x86_64__)
static const uint8_t spin[] = {
    0xB8, 0x01, 0x00, 0x00, 0x00, /* the entry point: mov eax, 1 */
    0xC2, 0x0C, 0x00,             /* ret 12 */
    0x48, 0x89, 0xC8,             /* mov rax, rcx */
    0x31, 0xC9,                   /* xor ecx, ecx */
    0xFF, 0xC1,                   /* inc ecx */
    0x89, 0x08,                   /* mov [rax], ecx */
    0x83, 0x78, 0x04, 0x00,       /* cmp dword [rax + 4], 0 */
    0x74, 0xF6,                   /* je inc */
    0xB8, 0x07, 0x00, 0x00, 0x00, /* mov eax, 7 */
    0xC3,
};
#define COUNTER Rcx
#else
static const uint8_t spin[] = {
    0xB8, 0x01, 0x00, 0x00, 0x00, /* the entry point: mov eax, 1 */
    0xC2, 0x0C, 0x00,             /* ret 12 */
    0x8B, 0x44, 0x24, 0x04,       /* mov eax, [esp + 4] */
    0x31, 0xC9,                   /* xor ecx, ecx */
    0x41,                         /* inc ecx */
    0x89, 0x08,                   /* mov [eax], ecx */
    0x83, 0x78, 0x04, 0x00,       /* cmp dword [eax + 4], 0 */
    0x74, 0xF7,                   /* je inc */
    0xB8, 0x07, 0x00, 0x00, 0x00, /* mov eax, 7 */
    0xC2, 0x04, 0x00,
};
#define COUNTER Ecx
#endif

struct words {
    volatile uint32_t count, stop;
};

static struct ldr_module *module;

static ke_thread_start spinner(void)
{
    enum { ENTRY_SIZE = 8 };
    if (!module) {
        graph_write(
            &(struct graph_spec){.file = "spin.dll", .code = spin, .code_size = sizeof(spin)});
        module = graph_must_load("spin.dll");
    }
    uint64_t entry = ldr_module_image(module)->h.address_of_entry_point;
    return (ke_thread_start)(uintptr_t)(ldr_module_base(module) + entry + ENTRY_SIZE);
}

static struct ob_object *start(ke_thread_start routine, void *parameter)
{
    struct ob_object *thread;
    assert_status(ke_thread_create(routine, parameter, 0, false, &thread, NULL, NULL),
                  STATUS_SUCCESS);
    return thread;
}

static uint32_t end_of(struct ob_object *thread)
{
    uint32_t index;
    assert_status(ob_wait(&thread, 1, false, 10000, ke_thread_id(), &index), STATUS_SUCCESS);
    uint32_t code = ke_thread_exit_code(thread);
    ob_object_unref(thread);
    return code;
}

static struct ob_object *start_spinning(struct words *words)
{
    struct ob_object *thread = start(spinner(), words);
    while (words->count == 0)
        usleep(100);
    return thread;
}

static bool moves(const volatile uint32_t *count)
{
    uint32_t before = *count;
    for (int i = 0; i < 200 && *count == before; i++)
        usleep(1000);
    return *count != before;
}

static bool stands_still(const volatile uint32_t *count)
{
    uint32_t before = *count;
    usleep(20000);
    return *count == before;
}

static void a_thread_in_an_image_is_suspended(void **state)
{
    struct words words = {0};
    uint32_t previous = 99;
    struct ob_object *thread = start_spinning(&words);
    assert_status(ke_thread_suspend(thread, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 0);
    assert_true(stands_still(&words.count));
    assert_status(ke_thread_suspend(thread, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 1);
    assert_status(ke_thread_resume(thread, &previous), STATUS_SUCCESS);
    assert_int_equal(previous, 2);
    assert_true(stands_still(&words.count));
    assert_status(ke_thread_resume(thread, &previous), STATUS_SUCCESS);
    assert_true(moves(&words.count));
    words.stop = 1;
    assert_int_equal(end_of(thread), 7);
}

static void the_count_has_its_limit(void **state)
{
    struct words words = {0};
    uint32_t previous = 0;
    struct ob_object *thread = start_spinning(&words);
    for (uint32_t i = 0; i < 127; i++) {
        assert_status(ke_thread_suspend(thread, &previous), STATUS_SUCCESS);
        assert_int_equal(previous, i);
    }
    assert_status(ke_thread_suspend(thread, &previous), KE_STATUS_SUSPEND_COUNT_EXCEEDED);
    for (uint32_t i = 127; i > 0; i--) {
        ke_thread_resume(thread, &previous);
        assert_int_equal(previous, i);
    }
    words.stop = 1;
    ob_object_ref(thread);
    end_of(thread);
    assert_status(ke_thread_suspend(thread, &previous), KE_STATUS_THREAD_IS_TERMINATING);
    ob_object_unref(thread);
}

static void a_context_shows_and_changes_a_thread(void **state)
{
    struct words words = {0};
    struct ob_object *thread = start_spinning(&words);
    struct ke_context context = {.ContextFlags = KE_CONTEXT_FULL | KE_CONTEXT_DEBUG_REGISTERS};
    struct ldr_image_range range;
    assert_status(ke_thread_suspend(thread, NULL), STATUS_SUCCESS);
    assert_status(ke_thread_get_context(thread, &context), STATUS_SUCCESS);
    assert_true(ldr_image_at((uintptr_t)KE_CONTEXT_PC(&context), &range));
    assert_int_equal(context.ContextFlags, KE_CONTEXT_FULL | KE_CONTEXT_DEBUG_REGISTERS);
    assert_true((uint32_t)context.COUNTER - words.count <= 1);
    context.COUNTER = 0xF0000000;
    context.Dr[0] = 0x1234;
    assert_status(ke_thread_set_context(thread, &context), STATUS_SUCCESS);
    memset(context.Dr, 0, sizeof(context.Dr));
    assert_status(ke_thread_get_context(thread, &context), STATUS_SUCCESS);
    assert_int_equal((uint32_t)context.COUNTER, 0xF0000000);
    assert_int_equal(context.Dr[0], 0x1234);
    ke_thread_resume(thread, NULL);
    assert_true(moves(&words.count));
    usleep(1000);
    assert_true(words.count >= 0xF0000000);
    words.stop = 1;
    ob_object_ref(thread);
    assert_int_equal(end_of(thread), 7);
    assert_status(ke_thread_get_context(thread, &context), STATUS_UNSUCCESSFUL);
    ob_object_unref(thread);
}

static void a_running_thread_has_a_context_too(void **state)
{
    struct words words = {0};
    struct ob_object *thread = start_spinning(&words);
    struct ke_context context = {.ContextFlags = KE_CONTEXT_FULL};
    assert_status(ke_thread_get_context(thread, &context), STATUS_SUCCESS);
    assert_true(ldr_image_at((uintptr_t)KE_CONTEXT_PC(&context), NULL));
    assert_true(moves(&words.count));
    words.stop = 1;
    assert_int_equal(end_of(thread), 7);
}

static uint32_t WINAPI_DEF add_100(void *parameter)
{
    return (uint32_t)(uintptr_t)parameter + 100;
}

static void the_start_of_a_thread_can_be_changed(void **state)
{
    struct ob_object *thread;
    struct words words = {0};
    struct ke_context context = {.ContextFlags = KE_CONTEXT_FULL};
    assert_status(ke_thread_create(spinner(), &words, 0, true, &thread, NULL, NULL),
                  STATUS_SUCCESS);
    assert_status(ke_thread_get_context(thread, &context), STATUS_SUCCESS);
    assert_int_equal(KE_CONTEXT_PC(&context), (uintptr_t)ke_user_thread_start);
#ifdef __x86_64__
    assert_int_equal(context.Rcx, (uintptr_t)spinner());
    assert_int_equal(context.Rdx, (uintptr_t)&words);
    context.Rcx = (uintptr_t)add_100;
    context.Rdx = 11;
#else
    assert_int_equal(context.Eax, (uintptr_t)spinner());
    assert_int_equal(context.Ebx, (uintptr_t)&words);
    context.Eax = (uintptr_t)add_100;
    context.Ebx = 11;
#endif
    assert_status(ke_thread_set_context(thread, &context), STATUS_SUCCESS);
    ke_thread_resume(thread, NULL);
    assert_int_equal(end_of(thread), 111);
    assert_int_equal(words.count, 0);
}

static struct ob_object *event;

static uint32_t WINAPI_DEF wait_for_event(void *parameter)
{
    uint32_t index;
    nt_status status = ke_wait(&event, 1, false, OB_INFINITE, false, &index);
    ke_wait_done(status);
    return 3;
}

static void a_waiting_thread_is_suspended_without_a_lock(void **state)
{
    uint32_t index;
    event = ob_event_create(false, false);
    struct ob_object *thread = start(wait_for_event, NULL);
    usleep(20000);
    assert_status(ke_thread_suspend(thread, NULL), STATUS_SUCCESS);
    struct ob_object *other = ob_event_create(false, true);
    assert_status(ob_wait(&other, 1, false, 1000, 1, &index), STATUS_SUCCESS);
    ob_object_unref(other);
    ob_event_set(event, true);
    assert_status(ob_wait(&thread, 1, false, 30, 1, &index), STATUS_TIMEOUT);
    ke_thread_resume(thread, NULL);
    assert_int_equal(end_of(thread), 3);
    ob_object_unref(event);
}

static uint32_t WINAPI_DEF read_pipe(void *parameter)
{
    char byte = 0;
    return read(*(int *)parameter, &byte, 1) == 1 ? (uint32_t)byte : 0xBAD;
}

static void a_thread_in_a_system_call_is_suspended_after_a_while(void **state)
{
    int ends[2];
    uint32_t index;
    assert_int_equal(pipe(ends), 0);
    struct ob_object *thread = start(read_pipe, &ends[0]);
    usleep(20000);
    assert_status(ke_thread_suspend(thread, NULL), STATUS_SUCCESS);
    assert_int_equal(write(ends[1], "*", 1), 1);
    assert_status(ob_wait(&thread, 1, false, 30, 1, &index), STATUS_TIMEOUT);
    ke_thread_resume(thread, NULL);
    assert_int_equal(end_of(thread), '*');
    close(ends[0]);
    close(ends[1]);
}

static uint32_t WINAPI_DEF suspend_self(void *parameter)
{
    struct ob_object *self = ke_thread_current();
    ke_thread_suspend(self, parameter);
    ob_object_unref(self);
    return 5;
}

static void a_thread_suspends_itself(void **state)
{
    uint32_t previous = 99, index, count = 0;
    struct ob_object *thread = start(suspend_self, &previous);
    assert_status(ob_wait(&thread, 1, false, 50, 1, &index), STATUS_TIMEOUT);
    assert_int_equal(previous, 0);
    ke_thread_resume(thread, &count);
    assert_int_equal(count, 1);
    assert_int_equal(end_of(thread), 5);
}

static void threads_suspended_at_random_lose_nothing(void **state)
{
    enum { THREADS = 4, ROUNDS = 300 };
    struct words words[THREADS] = {{0}};
    struct ob_object *threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = start_spinning(&words[i]);
    for (int round = 0; round < ROUNDS; round++) {
        struct ob_object *thread = threads[round % THREADS];
        assert_status(ke_thread_suspend(thread, NULL), STATUS_SUCCESS);
        uint32_t before = words[round % THREADS].count;
        sched_yield();
        assert_int_equal(words[round % THREADS].count, before);
        ke_thread_resume(thread, NULL);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_true(moves(&words[i].count));
        words[i].stop = 1;
        assert_int_equal(end_of(threads[i]), 7);
    }
}

static void a_thread_in_an_image_is_terminated(void **state)
{
    struct words words = {0};
    struct ob_object *thread = start_spinning(&words);
    assert_status(ke_thread_terminate(thread, 0xDEAD), STATUS_SUCCESS);
    assert_int_equal(end_of(thread), 0xDEAD);
    assert_true(stands_still(&words.count));
}

static void a_suspended_thread_is_terminated(void **state)
{
    struct words words = {0};
    struct ob_object *thread = start_spinning(&words);
    ke_thread_suspend(thread, NULL);
    assert_status(ke_thread_terminate(thread, 0xDEAD), STATUS_SUCCESS);
    assert_int_equal(end_of(thread), 0xDEAD);
    assert_status(ke_thread_create(spinner(), &words, 0, true, &thread, NULL, NULL),
                  STATUS_SUCCESS);
    words.count = 0;
    assert_status(ke_thread_terminate(thread, 0xBEEF), STATUS_SUCCESS);
    assert_int_equal(end_of(thread), 0xBEEF);
    assert_int_equal(words.count, 0);
}

static uint32_t WINAPI_DEF sleep_long(void *parameter)
{
    ke_sleep(OB_INFINITE, false);
    return 0;
}

static uint32_t WINAPI_DEF take_and_wait(void *parameter)
{
    *(struct ob_object **)parameter = ob_mutex_create(ke_thread_id());
    return wait_for_event(NULL);
}

static void a_waiting_thread_is_terminated(void **state)
{
    struct ob_object *mutex = NULL;
    uint32_t index = 0;
    event = ob_event_create(false, false);
    struct ob_object *thread = start(take_and_wait, &mutex);
    usleep(20000);
    assert_status(ke_thread_terminate(thread, 4), STATUS_SUCCESS);
    assert_int_equal(end_of(thread), 4);
    ob_event_set(event, true); /* nobody is left to take it */
    assert_status(ob_wait(&event, 1, false, 0, 1, &index), STATUS_SUCCESS);
    assert_status(ob_wait(&mutex, 1, false, 0, 1, &index), STATUS_SUCCESS);
    assert_int_equal(index, 0x80); /* abandoned */
    ob_mutex_release(mutex, 1);
    ob_object_unref(mutex);
    ob_object_unref(event);
    thread = start(sleep_long, NULL);
    assert_status(ke_thread_terminate(thread, 6), STATUS_SUCCESS);
    assert_int_equal(end_of(thread), 6);
}

static void a_thread_in_a_system_call_is_terminated(void **state)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct ob_object *thread = start(read_pipe, &ends[0]);
    usleep(20000);
    assert_status(ke_thread_terminate(thread, 9), STATUS_SUCCESS);
    assert_int_equal(end_of(thread), 9);
    close(ends[0]);
    close(ends[1]);
}

static uint32_t WINAPI_DEF terminate_self(void *parameter)
{
    struct ob_object *self = ke_thread_current();
    ob_object_unref(self);
    ke_thread_terminate(self, 0x5E1F);
    return 0;
}

static void a_thread_terminates_itself(void **state)
{
    assert_int_equal(end_of(start(terminate_self, NULL)), 0x5E1F);
    assert_int_equal(ke_run(terminate_self, NULL), 0x5E1F);
    assert_int_equal(ke_run(add_100, NULL), 100);
}

static void *be_a_host(void *argument)
{
    struct ob_object **own = argument;
    struct ob_object *self = ke_thread_current();
    __atomic_store_n(own, self, __ATOMIC_RELEASE);
    uint32_t index;
    return ob_wait(&event, 1, false, 10000, ke_thread_id(), &index) == STATUS_SUCCESS ? own : NULL;
}

static void a_hosts_thread_is_not_terminated(void **state)
{
    pthread_t host;
    struct ob_object *object = NULL;
    void *result = NULL;
    event = ob_event_create(false, false);
    pthread_create(&host, NULL, be_a_host, &object);
    while (!__atomic_load_n(&object, __ATOMIC_ACQUIRE))
        usleep(100);
    assert_status(ke_thread_terminate(object, 1), STATUS_ACCESS_DENIED);
    assert_status(ke_thread_suspend(object, NULL), STATUS_SUCCESS);
    ke_thread_resume(object, NULL);
    ob_event_set(event, true);
    pthread_join(host, &result);
    assert_ptr_equal(result, &object);
    ob_object_unref(object);
    ob_object_unref(event);
}

/* ---- calls that are put off (later.h) -----------------------------------------------------------
 */

static struct words *spinning;
static volatile int calls;

static void *stop_spinning(void *unused)
{
    spinning->stop = 1;
    return NULL;
}

/* What it is there for: starting a thread, which takes memory and locks of glibc. */
static void start_a_thread(void)
{
    pthread_t thread;
    calls++;
    if (spinning && pthread_create(&thread, NULL, stop_spinning, NULL) == 0)
        pthread_detach(thread);
}

static uint32_t WINAPI_DEF put_off_and_spin(void *parameter)
{
    ke_thread_start spin_now = spinner();
    return ke_later(start_a_thread) ? spin_now(parameter) : 0;
}

static void what_was_put_off_is_called_in_an_image(void **state)
{
    struct words words = {0, 0};
    spinning = &words;
    calls = 0;
    assert_int_equal(end_of(start(put_off_and_spin, &words)), 7);
    assert_int_equal(calls, 1);
    assert_false(ke_later_waits());
    spinning = NULL;
}

static void what_was_put_off_is_called_in_a_wait(void **state)
{
    struct ob_object *never = ob_event_create(false, false);
    uint32_t index;
    calls = 0;
    assert_true(ke_later(start_a_thread));
    assert_int_equal(ob_wait(&never, 1, false, 200, ke_thread_id(), &index), STATUS_TIMEOUT);
    assert_int_equal(calls, 1);
    ob_object_unref(never);
}

static volatile int write_end;

static void write_a_byte(void)
{
    calls++;
    (void)!write(write_end, "x", 1);
}

static void what_was_put_off_is_called_in_a_system_call(void **state)
{
    int ends[2];
    char byte = 0;
    assert_int_equal(pipe(ends), 0);
    write_end = ends[1];
    calls = 0;
    assert_true(ke_later(write_a_byte));
    assert_int_equal(read(ends[0], &byte, 1), 1);
    assert_int_equal(byte, 'x');
    assert_int_equal(calls, 1);
    close(ends[0]);
    close(ends[1]);
}

static void what_was_put_off_is_not_called_in_native_code(void **state)
{
    struct timespec begin, now;
    calls = 0;
    assert_true(ke_later(start_a_thread));
    assert_false(ke_later(start_a_thread)); /* one at a time */
    clock_gettime(CLOCK_MONOTONIC, &begin);
    do
        clock_gettime(CLOCK_MONOTONIC, &now);
    while ((now.tv_sec - begin.tv_sec) * 1000 + (now.tv_nsec - begin.tv_nsec) / 1000000 <
           10 * KE_LATER);
    assert_int_equal(calls, 0);
    assert_true(ke_later_waits());
    ke_later_now();
    assert_int_equal(calls, 1);
    ke_later_now();
    assert_int_equal(calls, 1);
}

static void what_was_given_up_is_not_called(void **state)
{
    calls = 0;
    assert_true(ke_later(start_a_thread));
    ke_later_never();
    assert_false(ke_later_waits());
    assert_int_equal(poll(NULL, 0, 4 * KE_LATER), 0); /* no signal interrupts it */
    assert_int_equal(calls, 0);
    assert_true(ke_later(start_a_thread)); /* another can be put off */
    ke_later_now();
    assert_int_equal(calls, 1);
}

static void a_forked_child_does_not_call_it(void **state)
{
    int status;
    calls = 0;
    assert_true(ke_later(start_a_thread));
    pid_t child = fork();
    if (child == 0) {
        ke_later_now();
        _exit(calls);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    ke_later_now();
    assert_int_equal(calls, 1);
}

static int set_up(void **state)
{
    return tempdir_create() | graph_register_host() | !nt_ok(ke_thread_enter(NULL));
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_in_an_image_is_suspended),
        cmocka_unit_test(the_count_has_its_limit),
        cmocka_unit_test(a_context_shows_and_changes_a_thread),
        cmocka_unit_test(a_running_thread_has_a_context_too),
        cmocka_unit_test(the_start_of_a_thread_can_be_changed),
        cmocka_unit_test(a_waiting_thread_is_suspended_without_a_lock),
        cmocka_unit_test(a_thread_in_a_system_call_is_suspended_after_a_while),
        cmocka_unit_test(a_thread_suspends_itself),
        cmocka_unit_test(threads_suspended_at_random_lose_nothing),
        cmocka_unit_test(a_thread_in_an_image_is_terminated),
        cmocka_unit_test(a_suspended_thread_is_terminated),
        cmocka_unit_test(a_waiting_thread_is_terminated),
        cmocka_unit_test(a_thread_in_a_system_call_is_terminated),
        cmocka_unit_test(a_thread_terminates_itself),
        cmocka_unit_test(a_hosts_thread_is_not_terminated),
        cmocka_unit_test(what_was_put_off_is_called_in_an_image),
        cmocka_unit_test(what_was_put_off_is_called_in_a_wait),
        cmocka_unit_test(what_was_put_off_is_called_in_a_system_call),
        cmocka_unit_test(what_was_put_off_is_not_called_in_native_code),
        cmocka_unit_test(what_was_given_up_is_not_called),
        cmocka_unit_test(a_forked_child_does_not_call_it),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
