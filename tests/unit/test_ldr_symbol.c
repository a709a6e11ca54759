/*
 * Exports by name and ordinal, forwarders, API sets (facts 3.5, 3.6; behaviours, Exports).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/graphimage.h"

static int call(uint64_t address)
{
    return ((int(WINAPI *)(void))(uintptr_t)address)();
}

static uint64_t must_find(struct ldr_module *module, const char *name)
{
    uint64_t address = 0;
    struct pe_error err = {0};
    if (!nt_ok(ldr_symbol(module, name, 0, &address, &err)))
        fail_msg("%s", err.text);
    return address;
}

static void names_and_ordinals_lead_to_the_same_place(void **state)
{
    graph_write(
        &(struct graph_spec){.file = "s.dll",
                             .ordinal_base = 10,
                             .exports = {{.name = "one"}, {.name = "two"}, {.ordinal = 15}}});
    struct ldr_module *s = graph_must_load("s.dll");
    uint64_t by_ordinal;
    assert_status(ldr_symbol(s, NULL, 11, &by_ordinal, NULL), STATUS_SUCCESS);
    assert_true(by_ordinal == must_find(s, "two"));
    assert_int_equal(call(by_ordinal), 7);
    assert_status(ldr_symbol(s, NULL, 15, &by_ordinal, NULL), STATUS_SUCCESS);
    assert_status(ldr_symbol(s, "Two", 0, &by_ordinal, NULL), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_status(ldr_symbol(s, NULL, 13, &by_ordinal, NULL), STATUS_ORDINAL_NOT_FOUND);
    ldr_unload(s, NULL);
}

static void an_address_is_base_plus_value_without_a_check(void **state)
{
    graph_write(
        &(struct graph_spec){.file = "far.dll", .exports = {{.name = "far", .rva = 0xFFFFFFFF}}});
    struct ldr_module *far = graph_must_load("far.dll");
    uint64_t expected = ldr_module_base(far) + 0xFFFFFFFF;
    assert_true(must_find(far, "far") == (sizeof(void *) == 8 ? expected : (uint32_t)expected));
    ldr_unload(far, NULL);
}

/* y forwards to x, which is loaded for it, initialised, and kept as long as y is. */
static void a_forwarder_loads_its_module_and_keeps_it(void **state)
{
    graph_write(&(struct graph_spec){.file = "x.dll", .id = 'x', .exports = {{.name = "real"}}});
    graph_write(&(struct graph_spec){.file = "y.dll",
                                     .id = 'y',
                                     .exports = {{.name = "away", .forwarder = "x.real"},
                                                 {.name = "nth", .forwarder = "x.#1"}}});
    assert_status(ldr_add_directory(tempdir, NULL), STATUS_SUCCESS);
    struct ldr_module *y = graph_must_load("y.dll");
    assert_string_equal(graph_take_log(), "y+");
    assert_int_equal(call(must_find(y, "away")), 7);
    assert_string_equal(graph_take_log(), "x+");
    assert_true(must_find(y, "nth") == must_find(y, "away"));
    assert_int_equal(ldr_module_references(ldr_find("x.dll")), 1);
    ldr_unload(y, NULL);
    assert_string_equal(graph_take_log(), "x- y-");
    assert_null(ldr_find("x.dll"));
}

/* With imports the target is there before the importer's entry point runs. */
static void an_import_follows_forwarders(void **state)
{
    uint32_t iats[GRAPH_MAX];
    struct graph_spec spec = {
        .file = "w.dll", .id = 'w', .imports = {{.module = "y.dll", .names = {"away"}}}};
    assert_true(pebuild_finish_file(graph_builder(&spec, iats), tempdir_path(spec.file)));
    struct ldr_module *w = graph_must_load("w.dll");
    assert_string_equal(graph_take_log(), "x+ y+ w+");
    assert_int_equal(call(*(uintptr_t *)(uintptr_t)(ldr_module_base(w) + iats[0])), 7);
    ldr_unload(w, NULL);
    assert_string_equal(graph_take_log(), "w- y- x-");
}

static void a_chain_may_pass_through_one_module_several_times(void **state)
{
    graph_write(&(struct graph_spec){.file = "ping.dll",
                                     .exports = {{.name = "a", .forwarder = "pong.b"},
                                                 {.name = "c", .forwarder = "pong.d"},
                                                 {.name = "e"}}});
    graph_write(&(struct graph_spec){
        .file = "pong.dll",
        .exports = {{.name = "b", .forwarder = "ping.c"}, {.name = "d", .forwarder = "ping.e"}}});
    struct ldr_module *ping = graph_must_load("ping.dll");
    assert_int_equal(call(must_find(ping, "a")), 7);
    ldr_unload(ping, NULL);
    assert_null(ldr_find("pong.dll"));
}

static void a_loop_is_cut_and_harmless_when_unused(void **state)
{
    graph_write(&(struct graph_spec){.file = "loop.dll",
                                     .exports = {{.name = "a", .forwarder = "loop.b"},
                                                 {.name = "b", .forwarder = "loop.a"},
                                                 {.name = "c"}}});
    struct ldr_module *loop = graph_must_load("loop.dll");
    struct pe_error err = {0};
    uint64_t address;
    assert_int_equal(call(must_find(loop, "c")), 7);
    assert_status(ldr_symbol(loop, "a", 0, &address, &err), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_non_null(strstr(err.text, "loop"));
    ldr_unload(loop, NULL);
}

static void a_failing_forwarder_takes_back_what_it_loaded(void **state)
{
    graph_write(&(struct graph_spec){.file = "x.dll", .id = 'x', .exports = {{.name = "other"}}});
    graph_write(&(struct graph_spec){.file = "r.dll", .id = 'r', .exports = {{.name = "fr"}}});
    graph_write(&(struct graph_spec){.file = "v.dll",
                                     .exports = {{.name = "gone", .forwarder = "x.real"},
                                                 {.name = "nowhere", .forwarder = "no_such.real"},
                                                 {.name = "refused", .forwarder = "r.fr"}}});
    struct ldr_module *v = graph_must_load("v.dll");
    struct pe_error err = {0};
    uint64_t address;
    assert_status(ldr_symbol(v, "gone", 0, &address, &err), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_string_equal(err.text, "x.dll does not export real");
    assert_null(ldr_find("x.dll"));
    assert_status(ldr_symbol(v, "nowhere", 0, &address, NULL), STATUS_DLL_NOT_FOUND);
    graph_take_log();
    graph_refuses = 'r';
    assert_status(ldr_symbol(v, "refused", 0, &address, NULL), STATUS_DLL_INIT_FAILED);
    graph_refuses = 0;
    assert_string_equal(graph_take_log(), "r+ r-");
    assert_null(ldr_find("r.dll"));
    assert_int_equal(ldr_module_references(v), 1);
    ldr_unload(v, NULL);
}

static void a_missing_target_is_told_with_its_forwarder(void **state)
{
    graph_write(
        &(struct graph_spec){.file = "u.dll", .imports = {{.module = "v.dll", .names = {"gone"}}}});
    struct ldr_module *u;
    struct pe_error err = {0};
    assert_status(graph_load("u.dll", 0, &u, &err), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_non_null(strstr(err.text, "u.dll -> v.dll!gone (x.dll does not export real)"));
}

static int WINAPI_DEF ucrt_abs9(void)
{
    return 9;
}

/* The API set's version does not count, and its host need not list the function in a contract. */
static void api_sets_lead_to_their_host(void **state)
{
    static const struct ldr_builtin_export list[] = {LDR_FN(ucrt_, abs9)};
    static const struct ldr_builtin_family family = {list, 1};
    static const struct ldr_builtin ucrt = {
        .name = "ucrtbase.dll", .families = &family, .family_count = 1};
    uint32_t iats[GRAPH_MAX];
    struct graph_spec spec = {
        .file = "api.dll",
        .imports = {{.module = "api-ms-win-crt-runtime-l1-1-0.dll", .names = {"abs9"}}},
        .exports = {{.name = "via", .forwarder = "api-ms-win-crt-math-l1-1-9.abs9"}}};
    assert_status(ldr_builtin_register(&ucrt), STATUS_SUCCESS);
    assert_true(pebuild_finish_file(graph_builder(&spec, iats), tempdir_path(spec.file)));
    struct ldr_module *api = graph_must_load("api.dll");
    assert_non_null(api);
    assert_int_equal(call(*(uintptr_t *)(uintptr_t)(ldr_module_base(api) + iats[0])), 9);
    assert_int_equal(call(must_find(api, "via")), 9);
    assert_ptr_equal(ldr_find("api-ms-win-crt-string-l1-1-0"), ldr_find("ucrtbase"));
    ldr_unload(api, NULL);
    struct ldr_load_options options = {.name = "api-ms-win-crt-heap-l1-1-0.dll"};
    struct ldr_module *host;
    assert_status(ldr_load(&options, &host, NULL), STATUS_SUCCESS);
    assert_string_equal(ldr_module_name(host), "ucrtbase.dll");
    assert_true(ldr_module_is_builtin(host));
    assert_int_equal(ldr_module_references(host), -1);
}

static void builtin_forwarders_lead_into_files(void **state)
{
    graph_write(&(struct graph_spec){.file = "a.dll", .exports = {{.name = "fa"}}});
    struct ldr_load_options options = {.name = "host.exe"};
    struct ldr_module *host;
    assert_status(ldr_load(&options, &host, NULL), STATUS_SUCCESS);
    assert_int_equal(call(must_find(host, "ToA")), 7);
    assert_int_equal(call(must_find(host, "Answer")), 42);
}

static int set_up(void **state)
{
    return tempdir_create() | graph_register_host();
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_and_ordinals_lead_to_the_same_place),
        cmocka_unit_test(an_address_is_base_plus_value_without_a_check),
        cmocka_unit_test(a_forwarder_loads_its_module_and_keeps_it),
        cmocka_unit_test(an_import_follows_forwarders),
        cmocka_unit_test(a_chain_may_pass_through_one_module_several_times),
        cmocka_unit_test(a_loop_is_cut_and_harmless_when_unused),
        cmocka_unit_test(a_failing_forwarder_takes_back_what_it_loaded),
        cmocka_unit_test(a_missing_target_is_told_with_its_forwarder),
        cmocka_unit_test(api_sets_lead_to_their_host),
        cmocka_unit_test(builtin_forwarders_lead_into_files),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
