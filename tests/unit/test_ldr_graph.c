/*
 * The module graph: dependencies, cycles, references, pinned modules, unloading (facts 3.1, 3.8).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/graphimage.h"

/* a -> b -> c; each exports f<name> and imports the next one's. */
static void write_chain(void)
{
    graph_write(&(struct graph_spec){.file = "a.dll",
                                     .id = 'a',
                                     .imports = {{.module = "b.dll", .names = {"fb"}}},
                                     .exports = {{.name = "fa"}}});
    graph_write(&(struct graph_spec){.file = "b.dll",
                                     .id = 'b',
                                     .imports = {{.module = "c", .names = {"fc"}}},
                                     .exports = {{.name = "fb"}}});
    graph_write(&(struct graph_spec){.file = "c.dll", .id = 'c', .exports = {{.name = "fc"}}});
}

static void close_module(struct ldr_module *module)
{
    struct pe_error err = {0};
    assert_status(ldr_unload(module, &err), STATUS_SUCCESS);
}

/* ---- attach and detach ---- */

static void dependencies_attach_first_and_detach_last(void **state)
{
    write_chain();
    struct ldr_module *a = graph_must_load("a.dll");
    assert_non_null(a);
    assert_string_equal(graph_take_log(), "c+ b+ a+");
    close_module(a);
    assert_string_equal(graph_take_log(), "a- b- c-");
    assert_null(ldr_find("c.dll"));
}

static void a_loaded_module_gets_a_reference_and_no_second_attach(void **state)
{
    write_chain();
    struct ldr_module *a = graph_must_load("a.dll");
    assert_ptr_equal(graph_must_load("a.dll"), a);
    assert_int_equal(ldr_module_references(a), 2);
    assert_string_equal(graph_take_log(), "c+ b+ a+");
    close_module(a);
    assert_string_equal(graph_take_log(), "");
    close_module(a);
    assert_string_equal(graph_take_log(), "a- b- c-");
}

static void a_dependency_that_is_held_stays(void **state)
{
    write_chain();
    struct ldr_module *a = graph_must_load("a.dll"), *c = graph_must_load("c.dll");
    assert_int_equal(ldr_module_references(c), 2);
    graph_take_log();
    close_module(a);
    assert_string_equal(graph_take_log(), "a- b-");
    assert_ptr_equal(ldr_find("C.DLL"), c);
    close_module(c);
    assert_string_equal(graph_take_log(), "c-");
}

static void a_cycle_loads_once_and_is_unloaded_as_a_whole(void **state)
{
    graph_write(&(struct graph_spec){.file = "p.dll",
                                     .id = 'p',
                                     .imports = {{.module = "q.dll", .names = {"fq"}}},
                                     .exports = {{.name = "fp"}}});
    graph_write(&(struct graph_spec){.file = "q.dll",
                                     .id = 'q',
                                     .imports = {{.module = "p.dll", .names = {"fp"}}},
                                     .exports = {{.name = "fq"}}});
    struct ldr_module *p = graph_must_load("p.dll");
    assert_non_null(p);
    assert_string_equal(graph_take_log(), "q+ p+");
    close_module(p);
    assert_string_equal(graph_take_log(), "p- q-");
    assert_null(ldr_find("q.dll"));
}

static void the_same_file_by_another_name_is_the_same_module(void **state)
{
    write_chain();
    unlink(tempdir_path("alias.dll"));
    assert_int_equal(link(tempdir_path("c.dll"), tempdir_path("alias.dll")), 0);
    struct ldr_module *c = graph_must_load("c.dll");
    assert_ptr_equal(graph_must_load("alias.dll"), c);
    close_module(c);
    close_module(c);
    graph_take_log();
}

static void a_module_imports_from_itself_by_its_own_name(void **state)
{
    uint32_t iats[GRAPH_MAX];
    struct graph_spec spec = {.file = "self.dll",
                              .imports = {{.module = "SELF", .names = {"#5"}}},
                              .exports = {{.ordinal = 5}},
                              .ordinal_base = 5};
    assert_true(pebuild_finish_file(graph_builder(&spec, iats), tempdir_path(spec.file)));
    struct ldr_module *self = graph_must_load("self.dll");
    assert_non_null(self);
    uintptr_t slot = *(uintptr_t *)(uintptr_t)(ldr_module_base(self) + iats[0]);
    assert_int_equal(((int(WINAPI *)(void))slot)(), 7);
    close_module(self);
}

/* ---- failures ---- */

static void everything_missing_is_told_at_once(void **state)
{
    graph_write(&(struct graph_spec){
        .file = "m.dll",
        .id = 'm',
        .imports = {{.module = "c.dll", .names = {"fc", "absent", "#77"}},
                    {.module = "nowhere.dll", .names = {"x"}},
                    {.module = "host.exe", .names = {"NoSuch"}},
                    {.module = "n.dll", .names = {"fn"}}},
    });
    graph_write(&(struct graph_spec){.file = "n.dll",
                                     .imports = {{.module = "c.dll", .names = {"deep"}}},
                                     .exports = {{.name = "fn"}}});
    write_chain();
    struct ldr_module *m;
    struct pe_error err = {0};
    assert_status(graph_load("m.dll", 0, &m, &err), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_non_null(strstr(err.text, "m.dll -> c.dll!absent\n"));
    assert_non_null(strstr(err.text, "m.dll -> c.dll!#77\n"));
    assert_non_null(strstr(err.text, "m.dll -> nowhere.dll"));
    assert_non_null(strstr(err.text, "searched: "));
    assert_non_null(strstr(err.text, tempdir));
    assert_non_null(strstr(err.text, "m.dll -> host.exe!NoSuch\n"));
    assert_non_null(strstr(err.text, "n.dll -> c.dll!deep"));
    assert_non_null(strstr(err.text, "5 imports"));
    assert_string_equal(graph_take_log(), ""); /* no code has run */
    assert_null(ldr_find("m.dll"));
    assert_null(ldr_find("c.dll"));
}

static void a_report_that_is_too_long_says_how_much_it_leaves_out(void **state)
{
    static char names[15][100];
    struct graph_spec spec = {.file = "many.dll", .imports = {{.module = "c.dll"}}};
    for (int i = 0; i < 15; i++) {
        snprintf(names[i], sizeof(names[i]), "missing_%02d_%080d", i, i);
        spec.imports[0].names[i] = names[i];
    }
    graph_write(&spec);
    write_chain();
    struct ldr_module *m;
    struct pe_error err = {0};
    assert_status(graph_load("many.dll", 0, &m, &err), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_non_null(strstr(err.text, "15 imports"));
    assert_non_null(strstr(err.text, "missing_00"));
    unsigned shown = 0, more = 0;
    for (const char *p = err.text; (p = strstr(p, "!missing_")) != NULL; p++)
        shown++;
    assert_int_equal(sscanf(strstr(err.text, "... and"), "... and %u more", &more), 1);
    assert_int_equal(shown + more, 15);
}

static void the_status_is_that_of_the_first_failure(void **state)
{
    graph_write(&(struct graph_spec){.file = "first.dll",
                                     .imports = {{.module = "nowhere.dll", .names = {"x"}},
                                                 {.module = "host.exe", .names = {"NoSuch"}}}});
    graph_write(&(struct graph_spec){.file = "second.dll",
                                     .imports = {{.module = "host.exe", .names = {"#999"}},
                                                 {.module = "nowhere.dll", .names = {"x"}}}});
    struct ldr_module *m;
    struct pe_error err = {0}, err2 = {0};
    assert_status(graph_load("first.dll", 0, &m, &err), STATUS_DLL_NOT_FOUND);
    assert_status(graph_load("second.dll", 0, &m, &err2), STATUS_ORDINAL_NOT_FOUND);
}

static void a_refusing_dll_is_told_and_what_came_before_is_detached(void **state)
{
    write_chain();
    graph_refuses = 'b';
    struct ldr_module *a;
    struct pe_error err = {0};
    assert_status(graph_load("a.dll", 0, &a, &err), STATUS_DLL_INIT_FAILED);
    graph_refuses = 0;
    assert_non_null(strstr(err.text, "b.dll"));
    assert_string_equal(graph_take_log(), "c+ b+ b- c-");
    assert_null(ldr_find("a.dll"));
    assert_null(ldr_find("b.dll"));
    assert_null(ldr_find("c.dll"));
}

static void a_failed_load_leaves_older_modules_alone(void **state)
{
    write_chain();
    struct ldr_module *c = graph_must_load("c.dll"), *a;
    struct pe_error err = {0};
    graph_refuses = 'a';
    assert_status(graph_load("a.dll", 0, &a, &err), STATUS_DLL_INIT_FAILED);
    graph_refuses = 0;
    assert_string_equal(graph_take_log(), "c+ b+ a+ a- b-");
    assert_int_equal(ldr_module_references(c), 1);
    close_module(c);
    assert_string_equal(graph_take_log(), "c-");
}

static void a_missing_file_names_the_directories(void **state)
{
    struct ldr_load_options options = {.name = "no_such_module"};
    struct ldr_module *m;
    struct pe_error err = {0};
    assert_status(ldr_load(&options, &m, &err), STATUS_DLL_NOT_FOUND);
    assert_non_null(strstr(err.text, "searched: /"));
}

/* ---- calls from inside entry points ---- */

static struct ldr_module *loaded_inside;

static void load_c_inside(char id, uint32_t reason)
{
    if (id == 'z' && reason == 1)
        loaded_inside = graph_must_load("c.dll");
    if (id == 'z' && reason == 0)
        ldr_unload(loaded_inside, NULL);
}

static void an_entry_point_may_load_and_free(void **state)
{
    write_chain();
    graph_write(&(struct graph_spec){.file = "z.dll", .id = 'z'});
    graph_hook = load_c_inside;
    struct ldr_module *z = graph_must_load("z.dll");
    assert_string_equal(graph_take_log(), "z+ c+");
    close_module(z);
    graph_hook = NULL;
    assert_string_equal(graph_take_log(), "z- c-");
    assert_null(ldr_find("c.dll"));
}

static void reload_inside(char id, uint32_t reason)
{
    struct ldr_module *module;
    if (id == 'c' && reason == 0)
        assert_status(graph_load("c.dll", 0, &module, NULL), STATUS_DLL_INIT_FAILED);
}

static void a_module_on_its_way_out_cannot_be_had_again(void **state)
{
    write_chain();
    struct ldr_module *c = graph_must_load("c.dll");
    graph_hook = reload_inside;
    close_module(c);
    graph_hook = NULL;
    assert_string_equal(graph_take_log(), "c+ c-");
    assert_null(ldr_find("c.dll"));
}

/* ---- references ---- */

static void what_only_an_importer_holds_cannot_be_freed(void **state)
{
    write_chain();
    struct ldr_module *a = graph_must_load("a.dll"), *b = ldr_find("b.dll");
    assert_int_equal(ldr_module_references(b), 1);
    assert_status(ldr_unload(b, NULL), STATUS_INVALID_HANDLE);
    close_module(a);
    assert_status(ldr_unload(a, NULL), STATUS_INVALID_HANDLE);
    graph_take_log();
}

static void a_pinned_module_stays(void **state)
{
    graph_write(&(struct graph_spec){.file = "pin.dll", .id = 'n'});
    struct ldr_module *pin = graph_must_load("pin.dll");
    ldr_module_pin(pin);
    assert_int_equal(ldr_module_references(pin), -1);
    close_module(pin);
    close_module(pin);
    assert_ptr_equal(ldr_find("pin.dll"), pin);
    assert_string_equal(graph_take_log(), "n+");
    ldr_shutdown();
    assert_string_equal(graph_take_log(), "n-");
    assert_null(ldr_find("pin.dll"));
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
        cmocka_unit_test(dependencies_attach_first_and_detach_last),
        cmocka_unit_test(a_loaded_module_gets_a_reference_and_no_second_attach),
        cmocka_unit_test(a_dependency_that_is_held_stays),
        cmocka_unit_test(a_cycle_loads_once_and_is_unloaded_as_a_whole),
        cmocka_unit_test(the_same_file_by_another_name_is_the_same_module),
        cmocka_unit_test(a_module_imports_from_itself_by_its_own_name),
        cmocka_unit_test(everything_missing_is_told_at_once),
        cmocka_unit_test(a_report_that_is_too_long_says_how_much_it_leaves_out),
        cmocka_unit_test(the_status_is_that_of_the_first_failure),
        cmocka_unit_test(a_refusing_dll_is_told_and_what_came_before_is_detached),
        cmocka_unit_test(a_failed_load_leaves_older_modules_alone),
        cmocka_unit_test(a_missing_file_names_the_directories),
        cmocka_unit_test(an_entry_point_may_load_and_free),
        cmocka_unit_test(a_module_on_its_way_out_cannot_be_had_again),
        cmocka_unit_test(what_only_an_importer_holds_cannot_be_freed),
        cmocka_unit_test(a_pinned_module_stays),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
