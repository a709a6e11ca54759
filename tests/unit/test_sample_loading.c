/*
 * Samples loaded by a host program: same-base and /FIXED pairs, modules of the host, memory images,
 * static TLS on other threads, and nothing left behind after a thousand loads.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "loader/ke/process.h"
#include "loader/peldr.h"
#include "pe/status.h"
#include "tests/samples.h"
#include "tests/unit/tempdir.h"

typedef int(PELDR_CDECL *int_fn)(void);
typedef int(PELDR_CDECL *int_int_fn)(int);

static peldr_module *open_sample(const char *set, const char *name)
{
    char path[SAMPLE_PATH_MAX];
    peldr_module *module;
    if (!sample_path(set, name, path))
        fail_msg("%s is missing", path);
    module = peldr_open(path, 0);
    if (!module)
        fail_msg("%s: %s", path, peldr_error());
    return module;
}

static int call(peldr_module *module, const char *name)
{
    int_fn function = (int_fn)peldr_sym(module, name);
    if (!function)
        fail_msg("%s: %s", name, peldr_error());
    return function();
}

static void for_each_set(void (*check)(const char *set))
{
    for (const char *const *set = sample_sets; *set; set++)
        if (sample_dlls(*set)[0])
            check(*set);
}

static void check_same_base(const char *set)
{
    peldr_module *left = open_sample(set, "left.dll"), *right = open_sample(set, "right.dll");
    struct peldr_relocation l, r;
    assert_int_equal(peldr_relocation(left, &l), 0);
    assert_int_equal(peldr_relocation(right, &r), 0);
    assert_string_equal(l.outcome, "not_needed");
    assert_int_equal(l.actual_base, l.preferred_base);
    assert_string_equal(r.outcome, "applied");
    assert_int_not_equal(r.actual_base, r.preferred_base);
    assert_non_null(strstr(r.reason, "left.dll")); /* says who holds the base */
    assert_int_equal(call(left, "side_value"), 1);
    assert_int_equal(call(right, "side_value"), 2);
    assert_int_equal(peldr_close(right), 0);
    assert_int_equal(peldr_close(left), 0);
}

static void test_same_base(void **state)
{
    for_each_set(check_same_base);
}

static void check_fixed(const char *set)
{
    peldr_module *left = open_sample(set, "fixed_left.dll"), *right;
    char path[SAMPLE_PATH_MAX];
    struct held before = held_now(), after;
    assert_true(sample_path(set, "fixed_right.dll", path));
    assert_null(peldr_open(path, 0));
    assert_int_equal(peldr_error_status(), (uint32_t)STATUS_CONFLICTING_ADDRESSES);
    assert_int_equal(peldr_error_win32(), 487);
    assert_non_null(strstr(peldr_error(), "fixed_right.dll"));
    after = held_since(&before);
    assert_in_range(after.maps, 0, before.maps);
    assert_in_range(after.fds, 0, before.fds);
    assert_int_equal(call(left, "side_value"), 3);
    assert_int_equal(peldr_close(left), 0);
    right = open_sample(set, "fixed_right.dll"); /* the base is free again */
    assert_int_equal(call(right, "side_value"), 4);
    assert_int_equal(peldr_close(right), 0);
}

static void test_fixed(void **state)
{
    for_each_set(check_fixed);
}

static PELDR_CDECL int host_add(int a, int b)
{
    return a + b;
}

static PELDR_CDECL const char *host_name(void)
{
    return "the host";
}

static void check_plugin(const char *set)
{
    peldr_module *plugin = open_sample(set, "plugin.dll");
    int_int_fn run = (int_int_fn)peldr_sym(plugin, "plugin_run");
    const char *(PELDR_CDECL * name)(void) =
        (const char *(PELDR_CDECL *)(void))peldr_sym(plugin, "plugin_host");
    assert_non_null(run);
    assert_non_null(name);
    assert_int_equal(run(5), 105);
    assert_string_equal(name(), "the host");
    assert_int_equal(peldr_close(plugin), 0);
}

static void test_host_module(void **state)
{
    const struct peldr_export exports[] = {{"host_add", 0, (const void *)host_add},
                                           {"host_name", 0, (const void *)host_name}};
    assert_int_equal(peldr_register_module("host.exe", exports, 2), 0);
    for_each_set(check_plugin);
}

static void check_memory(const char *set)
{
    char path[SAMPLE_PATH_MAX];
    size_t size;
    void *bytes;
    peldr_module *module;
    assert_true(sample_path(set, "basic.dll", path));
    bytes = sample_read(path, &size);
    module = peldr_open_memory(bytes, size, "from_memory.dll", 0);
    memset(bytes, 0, size);
    free(bytes);
    if (!module)
        fail_msg("%s", peldr_error());
    assert_int_equal(call(module, "bump"), 42);
    assert_int_equal(call(module, "times_attached"), 1);
    assert_int_equal(peldr_close(module), 0);
}

static void test_memory_image(void **state)
{
    for_each_set(check_memory);
}

static void *tls_on_thread(void *argument)
{
    peldr_module *tls = argument;
    int_int_fn set = (int_int_fn)peldr_sym(tls, "tls_set");
    return (void *)(intptr_t)(set(99) * 1000 + call(tls, "tls_get"));
}

static void check_tls(const char *set)
{
    peldr_module *tls = open_sample(set, "tls.dll");
    int_int_fn tls_set = (int_int_fn)peldr_sym(tls, "tls_set");
    pthread_t thread;
    void *result;
    int callbacks = call(tls, "callbacks_seen");
    assert_int_equal(tls_set(7), 5);
    assert_int_equal(pthread_create(&thread, NULL, tls_on_thread, tls), 0);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, 5099); /* its own template, its own value */
    assert_int_equal(call(tls, "tls_get"), 7);
    assert_int_equal(call(tls, "callbacks_seen"), callbacks + 2); /* THREAD_ATTACH, THREAD_DETACH */
    assert_int_equal(peldr_close(tls), 0);
}

static void test_tls_on_threads(void **state)
{
    for_each_set(check_tls);
}

static void test_all_missing_imports_at_once(void **state)
{
    char path[SAMPLE_PATH_MAX];
    for (const char *const *set = sample_sets; *set; set++)
        if (sample_path(*set, "plugin.dll", path)) {
            assert_null(peldr_open(path, 0)); /* host.exe is not registered in this process yet */
            assert_int_equal(peldr_error_status(), (uint32_t)STATUS_DLL_NOT_FOUND);
            assert_non_null(strstr(peldr_error(), "plugin.dll -> host.exe"));
        }
}

static void open_and_close(const char *path, unsigned times)
{
    while (times--) {
        peldr_module *module = peldr_open(path, 0);
        if (module)
            assert_int_equal(peldr_close(module), 0);
    }
}

/* Where only descriptors and mappings count, fewer loads show a loss. */
enum { LOADS = HELD_IS_EXACT ? 1000 : 100, SMALLEST_CHUNK = 4 * sizeof(void *) };

/* The C++ runtime's DLL keeps a pool of its own that an unload does not give back: it is loaded
 * once and stays, and the images that import it find it there. */
static void hold_runtime(const char *set)
{
    char path[SAMPLE_PATH_MAX];
    if (sample_path(set, "libstdc++-6.dll", path))
        assert_non_null(peldr_open(path, 0));
}

static void check_no_leaks(const char *set)
{
    hold_runtime(set);
    for (char *const *name = sample_dlls(set); *name; name++) {
        char path[SAMPLE_PATH_MAX];
        struct held before, after;
        sample_path(set, *name, path);
        open_and_close(path, 20); /* builtin modules stay, caches fill */
        usleep(20000);            /* what is a tick of the clock old is kept open from then on */
        open_and_close(path, 2);
        before = held_now();
        open_and_close(path, LOADS);
        after = held_since(&before);
        assert_in_range(after.fds, 0, before.fds);
        if (HELD_IS_EXACT) {
            assert_in_range(after.maps, 0, before.maps);
            /* The smallest leak is one chunk a load; malloc's own caches account for less. */
            if (after.heap >= before.heap + LOADS * SMALLEST_CHUNK)
                fail_msg("%s: %zu bytes of heap, then %zu", path, before.heap, after.heap);
        }
    }
}

static void test_thousand_loads(void **state)
{
    ke_fault_install(); /* one of them faults; cmocka has put its own handlers in place */
    for_each_set(check_no_leaks);
}

/* A runtime directory of its own: who asks for what is held here would be counted, too. */
static int setup(void **state)
{
    return tempdir_create() != 0 || setenv("XDG_RUNTIME_DIR", tempdir, 1) != 0;
}

static int teardown(void **state)
{
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_missing_imports_at_once), /* before host.exe exists */
        cmocka_unit_test(test_same_base),
        cmocka_unit_test(test_fixed),
        cmocka_unit_test(test_host_module),
        cmocka_unit_test(test_memory_image),
        cmocka_unit_test(test_tls_on_threads),
        cmocka_unit_test(test_thousand_loads),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
