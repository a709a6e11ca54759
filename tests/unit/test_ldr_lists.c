/*
 * The loader's lists as image code walks them from PEB.Ldr: order, contents, upkeep (Windows 10's
 * LDR_DATA_TABLE_ENTRY).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "loader/ldr/path.h"
#include "tests/unit/graphimage.h"

/* Offsets as compiled code has them: x64, i386. */
#define OFFSET(x64, x86) (sizeof(void *) == 8 ? (x64) : (x86))
#define IN_LOAD_ORDER    OFFSET(0x10, 0x0C)
#define IN_MEMORY_ORDER  OFFSET(0x20, 0x14)
#define IN_INIT_ORDER    OFFSET(0x30, 0x1C)
#define DLL_BASE         OFFSET(0x30, 0x18)
#define ENTRY_POINT      OFFSET(0x38, 0x1C)
#define SIZE_OF_IMAGE    OFFSET(0x40, 0x20)
#define FULL_DLL_NAME    OFFSET(0x48, 0x24)
#define BASE_DLL_NAME    OFFSET(0x58, 0x2C)

static void *pointer_at(const void *base, size_t offset)
{
    void *value;
    memcpy(&value, (const char *)base + offset, sizeof(value));
    return value;
}

/* The base names along one list: `head` in PEB_LDR_DATA, `link` in the entries. */
static const char *walk(size_t head, size_t link)
{
    static char names[1024];
    char *list = (char *)ldr_peb_ldr() + head;
    names[0] = '\0';
    for (char *at = pointer_at(list, 0); at != list; at = pointer_at(at, 0)) {
        char *entry = at - link, name[64];
        uint16_t bytes;
        memcpy(&bytes, entry + BASE_DLL_NAME, 2);
        ldr_utf16_to_utf8(pointer_at(entry, BASE_DLL_NAME + sizeof(void *)), bytes / 2, name,
                          sizeof(name));
        if (names[0])
            strcat(names, " ");
        strcat(names, name);
        assert_ptr_equal(pointer_at(pointer_at(at, sizeof(void *)), 0), at); /* Blink->Flink */
    }
    return names;
}

static const char *load_order(void)
{
    return walk(IN_LOAD_ORDER, 0);
}

static const char *init_order(void)
{
    return walk(IN_INIT_ORDER, 4 * sizeof(void *));
}

static int WINAPI_DEF system_function(void)
{
    return 1;
}

static char attached[64];

static void ntdll_attach(void)
{
    strcat(attached, "n+ ");
}

static void kernel32_attach(void)
{
    strcat(attached, "k+ ");
}

static void ntdll_detach(void)
{
    strcat(attached, "n- ");
}

static void kernel32_detach(void)
{
    strcat(attached, "k- ");
}

static void register_system(void)
{
    static const struct ldr_builtin_export list[] = {LDR_FN(system_, function)};
    static const struct ldr_builtin_family family = {list, 1};
    static const struct ldr_builtin modules[] = {
        {.name = "KERNEL32.dll",
         .families = &family,
         .family_count = 1,
         .attach = kernel32_attach,
         .detach = kernel32_detach},
        {.name = "KERNELBASE.dll", .families = &family, .family_count = 1},
        {.name = "ntdll.dll",
         .families = &family,
         .family_count = 1,
         .attach = ntdll_attach,
         .detach = ntdll_detach},
    };
    for (size_t i = 0; i < sizeof(modules) / sizeof(modules[0]); i++)
        assert_status(ldr_builtin_register(&modules[i]), STATUS_SUCCESS);
}

static void the_program_is_followed_by_ntdll_and_kernel32(void **state)
{
    struct ldr_module *exe, *a;
    register_system();
    graph_write(&(struct graph_spec){.file = "a.dll",
                                     .id = 'a',
                                     .imports = {{.module = "b.dll", .names = {"fb"}}},
                                     .exports = {{.name = "fa"}}});
    graph_write(&(struct graph_spec){.file = "b.dll", .id = 'b', .exports = {{.name = "fb"}}});
    graph_write(&(struct graph_spec){.file = "prog.exe",
                                     .exe = true,
                                     .id = 'e',
                                     .imports = {{.module = "a.dll", .names = {"fa"}}}});
    a = graph_must_load("b.dll"); /* before the program: it comes first all the same */
    assert_non_null(a);
    assert_string_equal(attached, "n+ k+ ");
    assert_status(graph_load("prog.exe", LDR_EXE, &exe, NULL), STATUS_SUCCESS);
    assert_string_equal(load_order(),
                        "prog.exe ntdll.dll KERNEL32.dll KERNELBASE.dll b.dll host.exe a.dll");
    assert_string_equal(walk(IN_MEMORY_ORDER, 2 * sizeof(void *)), load_order());
    assert_status(ldr_start(exe, NULL), STATUS_SUCCESS);
    assert_string_equal(init_order(),
                        "ntdll.dll KERNELBASE.dll KERNEL32.dll host.exe b.dll a.dll prog.exe");
}

static void an_entry_tells_base_size_entry_point_and_names(void **state)
{
    struct ldr_module *b = ldr_find("b.dll");
    char *list = (char *)ldr_peb_ldr() + IN_LOAD_ORDER, *entry = pointer_at(list, 0);
    while (entry != list && pointer_at(entry, DLL_BASE) != (void *)(uintptr_t)ldr_module_base(b))
        entry = pointer_at(entry, 0);
    assert_ptr_not_equal(entry, list);
    assert_ptr_equal(pointer_at(entry, ENTRY_POINT), (void *)(uintptr_t)ldr_module_entry_point(b));
    uint32_t size;
    memcpy(&size, entry + SIZE_OF_IMAGE, 4);
    assert_int_equal(size, mm_view_size(ldr_module_view(b)));
    uint16_t bytes[2];
    memcpy(bytes, entry + FULL_DLL_NAME, sizeof(bytes));
    assert_int_equal(bytes[1], bytes[0] + 2);
    char path[PATH_MAX], expected[PATH_MAX + 16];
    ldr_utf16_to_utf8(pointer_at(entry, FULL_DLL_NAME + sizeof(void *)), bytes[0] / 2, path,
                      sizeof(path));
    snprintf(expected, sizeof(expected), "Z:%s", tempdir_path("b.dll"));
    for (char *c = expected; *c; c++)
        *c = *c == '/' ? '\\' : *c;
    assert_string_equal(path, expected);
}

static void builtin_modules_live_in_system32(void **state)
{
    static const char expected[] = "C:\\Windows\\System32\\ntdll.dll";
    const uint16_t *path = ldr_module_windows_path(ldr_find("ntdll"));
    for (size_t i = 0; i < sizeof(expected); i++)
        assert_int_equal(path[i], expected[i]);
    assert_string_equal(ldr_module_path(ldr_find("ntdll")), "");
}

static void unloaded_modules_leave_all_lists(void **state)
{
    graph_write(&(struct graph_spec){.file = "c.dll", .id = 'c'});
    struct ldr_module *c = graph_must_load("c.dll");
    assert_non_null(strstr(load_order(), " c.dll"));
    assert_non_null(strstr(init_order(), " c.dll"));
    assert_ptr_equal(ldr_find_by_address(ldr_module_base(c) + 5), c);
    ldr_unload(c, NULL);
    assert_null(strstr(load_order(), " c.dll"));
    assert_null(strstr(init_order(), " c.dll"));
    graph_refuses = 'c';
    assert_status(graph_load("c.dll", 0, &c, NULL), STATUS_DLL_INIT_FAILED);
    graph_refuses = 0;
    assert_null(strstr(load_order(), " c.dll"));
}

/* Images unlink themselves from the lists that they see; the loader does not depend on those. */
static void an_image_that_hides_from_the_lists_can_be_unloaded(void **state)
{
    struct ldr_module *c = graph_must_load("c.dll");
    char *list = (char *)ldr_peb_ldr() + IN_LOAD_ORDER, *entry = pointer_at(list, sizeof(void *));
    void *next = pointer_at(entry, 0), *previous = pointer_at(entry, sizeof(void *));
    memcpy(previous, &next, sizeof(next));
    memcpy((char *)next + sizeof(void *), &previous, sizeof(previous));
    memcpy(entry, &entry, sizeof(entry));
    memcpy(entry + sizeof(void *), &entry, sizeof(entry));
    assert_null(strstr(load_order(), " c.dll"));
    assert_ptr_equal(ldr_find("c.dll"), c);
    assert_status(ldr_unload(c, NULL), STATUS_SUCCESS);
    assert_null(ldr_find("c.dll"));
}

static void builtin_modules_are_detached_after_all_images(void **state)
{
    attached[0] = '\0';
    graph_take_log();
    ldr_process_detach();
    assert_string_equal(attached, "k- n- ");
    assert_string_equal(graph_take_log(), "a_ b_");
    ldr_shutdown();
    assert_string_equal(load_order(), "");
    assert_string_equal(init_order(), "");
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
        cmocka_unit_test(the_program_is_followed_by_ntdll_and_kernel32),
        cmocka_unit_test(an_entry_tells_base_size_entry_point_and_names),
        cmocka_unit_test(builtin_modules_live_in_system32),
        cmocka_unit_test(unloaded_modules_leave_all_lists),
        cmocka_unit_test(an_image_that_hides_from_the_lists_can_be_unloaded),
        cmocka_unit_test(builtin_modules_are_detached_after_all_images),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
