/*
 * Finding modules among many: loaded ones by name, file, address and handle, builtin ones by name.
 * What is found does not depend on how many there are (facts 3.1).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/path.h"
#include "tests/unit/graphimage.h"

#define MODULES  300
#define BUILTINS 400

static struct ldr_module *load_copy(int i, const void *bytes, uint64_t size)
{
    char name[32];
    struct ldr_module *module = NULL;
    snprintf(name, sizeof(name), "Copy%d.dll", i);
    struct ldr_load_options options = {.name = name, .bytes = bytes, .size = size};
    assert_status(ldr_load(&options, &module, NULL), STATUS_SUCCESS);
    return module;
}

static void must_be_found(struct ldr_module *module, int i)
{
    char name[32];
    snprintf(name, sizeof(name), "cOPY%d.DLL", i);
    assert_ptr_equal(ldr_find(name), module);
    snprintf(name, sizeof(name), "copy%d", i);
    assert_ptr_equal(ldr_find(name), module);
    assert_ptr_equal(ldr_find_by_address(ldr_module_base(module) + 0x1001), module);
    assert_true(ldr_module_valid(module));
}

/* Every third goes, and the others are found as before. */
static void each_of_many_modules_is_found_until_it_goes(void **state)
{
    static struct ldr_module *modules[MODULES];
    struct graph_spec spec = {.file = "copy.dll", .exports = {{.name = "f"}}, .base = 0x10000000};
    uint64_t size;
    uint8_t *bytes = pebuild_finish(graph_builder(&spec, NULL), &size);
    for (int i = 0; i < MODULES; i++)
        modules[i] = load_copy(i, bytes, size);
    for (int i = 0; i < MODULES; i++)
        must_be_found(modules[i], i);
    for (int i = 0; i < MODULES; i += 3) {
        uint64_t base = ldr_module_base(modules[i]);
        char name[32];
        snprintf(name, sizeof(name), "Copy%d.dll", i);
        assert_status(ldr_unload(modules[i], NULL), STATUS_SUCCESS);
        assert_null(ldr_find(name));
        assert_null(ldr_find_by_address(base));
        assert_false(ldr_module_valid(modules[i]));
        assert_status(ldr_unload(modules[i], NULL), STATUS_INVALID_HANDLE);
    }
    for (int i = 0; i < MODULES; i++)
        if (i % 3 != 0) {
            must_be_found(modules[i], i);
            assert_status(ldr_unload(modules[i], NULL), STATUS_SUCCESS);
        }
    free(bytes);
}

/* A bare name means the first in load order; when that goes, the next. */
static void modules_of_one_name_are_found_in_load_order(void **state)
{
    static const char *const files[] = {"one/same.dll", "two/SAME.dll", "three/Same.dll"};
    struct ldr_module *modules[3];
    tempdir_mkdir("one");
    tempdir_mkdir("two");
    tempdir_mkdir("three");
    for (int i = 0; i < 3; i++) {
        graph_write(&(struct graph_spec){.file = files[i], .exports = {{.name = "f"}}});
        modules[i] = graph_must_load(files[i]);
        assert_non_null(modules[i]);
        assert_ptr_equal(ldr_find("same"), modules[0]);
    }
    ldr_unload(modules[1], NULL);
    assert_ptr_equal(ldr_find("same.dll"), modules[0]);
    ldr_unload(modules[0], NULL);
    assert_ptr_equal(ldr_find("same.dll"), modules[2]);
    modules[0] = graph_must_load(files[0]);
    assert_ptr_equal(ldr_find("same.dll"), modules[2]);
    ldr_unload(modules[0], NULL);
    ldr_unload(modules[2], NULL);
    assert_null(ldr_find("same.dll"));
}

/* The program is listed in front of what was there before it, so its name is its own. */
static void the_program_comes_before_modules_of_its_name(void **state)
{
    tempdir_mkdir("dlls");
    graph_write(&(struct graph_spec){.file = "dlls/main.exe", .exports = {{.name = "f"}}});
    graph_write(&(struct graph_spec){.file = "main.exe", .exe = true, .base = 0x50000000});
    struct ldr_module *dll = graph_must_load("dlls/main.exe"), *program;
    assert_ptr_equal(ldr_find("main.exe"), dll);
    assert_null(ldr_find(NULL));
    assert_status(graph_load("main.exe", LDR_EXE, &program, NULL), STATUS_SUCCESS);
    assert_ptr_equal(ldr_find(NULL), program);
    assert_ptr_equal(ldr_find("MAIN.EXE"), program);
    ldr_unload(dll, NULL);
    assert_ptr_equal(ldr_find(NULL), program);
}

/* A hard link is the same file, and so the same module. */
static void a_file_is_one_module_whatever_its_name(void **state)
{
    graph_write(&(struct graph_spec){.file = "first.dll", .exports = {{.name = "f"}}});
    assert_int_equal(link(tempdir_path("first.dll"), tempdir_path("second.dll")), 0);
    struct ldr_module *first = graph_must_load("first.dll");
    assert_non_null(first);
    assert_ptr_equal(graph_must_load("second.dll"), first);
    assert_null(ldr_find("second.dll"));
    ldr_unload(first, NULL);
    assert_true(ldr_module_valid(first));
    ldr_unload(first, NULL);
    assert_false(ldr_module_valid(first));
}

static void each_of_many_builtins_is_found(void **state)
{
    static struct ldr_builtin builtins[BUILTINS];
    static char names[BUILTINS][24];
    char asked[32];
    for (int i = 0; i < BUILTINS; i++) {
        snprintf(names[i], sizeof(names[i]), "Built%d%s", i, i % 2 ? ".dll" : ".Drv");
        builtins[i].name = names[i];
        assert_status(ldr_builtin_register(&builtins[i]), STATUS_SUCCESS);
    }
    for (int i = 0; i < BUILTINS; i++) {
        snprintf(asked, sizeof(asked), "bUILT%d%s", i, i % 2 ? "" : ".drv");
        assert_ptr_equal(ldr_builtin_find(asked), &builtins[i]);
        snprintf(asked, sizeof(asked), "built%d%s.DLL", i, i % 2 ? "" : ".drv");
        assert_ptr_equal(ldr_builtin_find(asked), &builtins[i]);
        assert_int_not_equal(ldr_builtin_base(&builtins[i]), 0);
        if (i > 0)
            assert_ptr_equal(ldr_builtin_next(&builtins[i - 1]), &builtins[i]);
    }
    assert_null(ldr_builtin_find("built.dll"));
    assert_null(ldr_builtin_find("built400.drv"));
    assert_null(ldr_builtin_find(""));
    assert_null(ldr_builtin_next(&builtins[BUILTINS - 1]));
}

/* The newer one has its place, its base and its name. */
static void a_builtin_replaces_the_one_of_its_name(void **state)
{
    static const struct ldr_builtin old = {.name = "Again.dll"}, after = {.name = "After.dll"},
                                    new = {.name = "AGAIN"};
    assert_status(ldr_builtin_register(&old), STATUS_SUCCESS);
    assert_status(ldr_builtin_register(&after), STATUS_SUCCESS);
    uint64_t base = ldr_builtin_base(&old);
    assert_status(ldr_builtin_register(&new), STATUS_SUCCESS);
    assert_ptr_equal(ldr_builtin_find("again.dll"), &new);
    assert_ptr_equal(ldr_builtin_next(&new), &after);
    assert_true(ldr_builtin_base(&new) == base);
    assert_null(ldr_builtin_next(&old));
}

static void names_of_one_hash_are_those_that_compare_equal(void **state)
{
    assert_int_equal(ldr_casehash("KERNEL32.dll", 12), ldr_casehash("kernel32.DLL", 12));
    assert_int_not_equal(ldr_casehash("kernel32.dll", 12), ldr_casehash("kernel33.dll", 12));
    assert_true(ldr_casesame("Abc\xC4x", "aBC\xC4y", 4));
    assert_false(ldr_casesame("abc\xC4", "abc\xE4", 4)); /* ASCII letters alone have a case */
    assert_false(ldr_casesame("abc", "abd", 3));
    assert_true(ldr_casesame("abc", "xyz", 0));
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
        cmocka_unit_test(each_of_many_modules_is_found_until_it_goes),
        cmocka_unit_test(modules_of_one_name_are_found_in_load_order),
        cmocka_unit_test(a_file_is_one_module_whatever_its_name),
        cmocka_unit_test(the_program_comes_before_modules_of_its_name),
        cmocka_unit_test(each_of_many_builtins_is_found),
        cmocka_unit_test(a_builtin_replaces_the_one_of_its_name),
        cmocka_unit_test(names_of_one_hash_are_those_that_compare_equal),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
