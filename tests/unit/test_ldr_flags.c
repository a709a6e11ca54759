/*
 * Ways to load: flags of LoadLibraryEx, from memory, at a base, other machines; and that a thousand
 * of them leave nothing behind (facts 3.3, 2.3).
 */
#include <dirent.h>
#include <fcntl.h>
#include <malloc.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "loader/ob/fileshare.h"
#include "pe/imports.h"
#include "tests/unit/graphimage.h"

static uint8_t *image_bytes(const struct graph_spec *spec, uint64_t *size)
{
    return pebuild_finish(graph_builder(spec, NULL), size);
}

static void write_with_missing_import(void)
{
    graph_write(&(struct graph_spec){.file = "f.dll",
                                     .id = 'f',
                                     .tls_callback = 'k',
                                     .imports = {{.module = "nowhere.dll", .names = {"x"}}},
                                     .exports = {{.name = "ff"}}});
}

/* ---- flags ---- */

static void dont_resolve_runs_nothing_and_stays_so(void **state)
{
    struct ldr_module *f, *again;
    uint64_t address;
    write_with_missing_import();
    assert_status(graph_load("f.dll", LDR_DONT_RESOLVE, &f, NULL), STATUS_SUCCESS);
    assert_ptr_equal(ldr_find("f.dll"), f);
    assert_status(ldr_symbol(f, "ff", 0, &address, NULL), STATUS_SUCCESS);
    assert_status(graph_load("f.dll", 0, &again, NULL), STATUS_SUCCESS);
    assert_ptr_equal(again, f);
    ldr_unload(f, NULL);
    ldr_unload(f, NULL);
    assert_string_equal(graph_take_log(), "");
    assert_null(ldr_find("f.dll"));
}

static void a_data_file_is_flat_and_unlisted(void **state)
{
    struct ldr_module *f;
    uint64_t address;
    write_with_missing_import();
    assert_status(graph_load("f.dll", LDR_AS_DATAFILE, &f, NULL), STATUS_SUCCESS);
    assert_null(ldr_find("f.dll"));
    assert_null(ldr_module_view(f));
    assert_int_equal(ldr_module_image(f)->layout, PE_LAYOUT_FILE);
    assert_memory_equal((void *)(uintptr_t)ldr_module_base(f), "MZ", 2);
    assert_false(nt_ok(ldr_symbol(f, "ff", 0, &address, NULL)));
    assert_status(ldr_unload(f, NULL), STATUS_SUCCESS);
    assert_status(ldr_unload(f, NULL), STATUS_INVALID_HANDLE);
}

/* [all] Loading as data accepts 61 bytes with just the two signatures. */
static void a_data_file_needs_two_signatures_only(void **state)
{
    uint8_t tiny[64] = "MZ";
    pebuild_put32(tiny, 4, 0x4550);
    pebuild_put32(tiny, 0x3C, 4);
    struct ldr_load_options options = {
        .name = "tiny.dll", .bytes = tiny, .size = 64, .flags = LDR_AS_DATAFILE};
    struct ldr_module *module;
    assert_status(ldr_load(&options, &module, NULL), STATUS_SUCCESS);
    assert_memory_equal((void *)(uintptr_t)ldr_module_base(module), tiny, 64);
    ldr_unload(module, NULL);
    tiny[0] = 'X';
    assert_status(ldr_load(&options, &module, NULL), STATUS_INVALID_IMAGE_NOT_MZ);
    tiny[0] = 'M';
    tiny[4] = 'X';
    assert_status(ldr_load(&options, &module, NULL), STATUS_INVALID_IMAGE_FORMAT);
}

static void as_datafile_of_a_loaded_dll_is_that_dll(void **state)
{
    graph_write(&(struct graph_spec){.file = "c.dll", .id = 'c'});
    struct ldr_module *c = graph_must_load("c.dll"), *data;
    assert_status(graph_load("c.dll", LDR_AS_DATAFILE, &data, NULL), STATUS_SUCCESS);
    assert_ptr_equal(data, c);
    assert_int_equal(ldr_module_references(c), 2);
    ldr_unload(c, NULL);
    ldr_unload(c, NULL);
    graph_take_log();
}

static void map_only_maps_a_private_copy(void **state)
{
    struct ldr_module *first, *second, *c = graph_must_load("c.dll");
    assert_status(graph_load("c.dll", LDR_MAP_ONLY, &first, NULL), STATUS_SUCCESS);
    assert_status(graph_load("c.dll", LDR_MAP_ONLY, &second, NULL), STATUS_SUCCESS);
    assert_true(ldr_module_base(first) != ldr_module_base(second));
    assert_true(ldr_module_base(first) != ldr_module_base(c));
    assert_int_equal(ldr_module_relocation(first)->outcome, RELOC_APPLIED);
    assert_string_not_equal(ldr_module_moved_because(first), "");
    assert_ptr_equal(ldr_find("c.dll"), c);
    ldr_unload(first, NULL);
    ldr_unload(second, NULL);
    assert_string_equal(graph_take_log(), "c+");
    ldr_unload(c, NULL);
    graph_take_log();
}

static void an_image_resource_is_not_relocated(void **state)
{
    struct ldr_module *c = graph_must_load("c.dll"), *resource;
    assert_status(graph_load("f.dll", LDR_AS_IMAGE_RESOURCE, &resource, NULL), STATUS_SUCCESS);
    assert_true(ldr_module_base(resource) != ldr_module_base(c));
    assert_int_equal(ldr_module_relocation(resource)->outcome, RELOC_NOT_NEEDED);
    assert_null(ldr_find("f.dll"));
    ldr_unload(resource, NULL);
    ldr_unload(c, NULL);
    graph_take_log();
}

/* ---- bases and machines ---- */

static void a_wanted_base_is_used_or_refused(void **state)
{
    struct ldr_load_options options = {.name = tempdir_path("c.dll"), .base = 0x12340000};
    struct ldr_module *c, *second;
    struct pe_error err = {0};
    assert_status(ldr_load(&options, &c, NULL), STATUS_SUCCESS);
    assert_true(ldr_module_base(c) == 0x12340000);
    assert_int_equal(ldr_module_relocation(c)->outcome, RELOC_APPLIED);
    graph_write(&(struct graph_spec){.file = "d.dll"});
    options.name = tempdir_path("d.dll");
    assert_status(ldr_load(&options, &second, &err), STATUS_CONFLICTING_ADDRESSES);
    ldr_unload(c, NULL);
    graph_take_log();
}

static void without_relocations_a_taken_base_refuses(void **state)
{
    struct ldr_module *c = graph_must_load("c.dll"), *fixed;
    struct pe_error err = {0};
    struct graph_spec spec = {.file = "fixed.dll", .base = ldr_module_base(c)};
    struct pebuild *b = graph_builder(&spec, NULL);
    b->h.characteristics |= IMAGE_FILE_RELOCS_STRIPPED;
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));
    assert_status(graph_load("fixed.dll", 0, &fixed, &err), STATUS_CONFLICTING_ADDRESSES);
    assert_non_null(strstr(err.text, "stripped"));
    assert_non_null(strstr(err.text, "taken by"));
    ldr_unload(c, NULL);
    assert_non_null(fixed = graph_must_load("fixed.dll"));
    ldr_unload(fixed, NULL);
    graph_take_log();
}

static void write_foreign(const char *file, bool code, const char *export)
{
    struct graph_spec spec = {.file = file, .exports = {{.name = export}}};
    struct pebuild *b = graph_builder(&spec, NULL);
    b->h.machine = sizeof(void *) == 8 ? IMAGE_FILE_MACHINE_ARM64 : IMAGE_FILE_MACHINE_ARMNT;
    for (uint32_t i = 0; i < b->section_count && !code; i++)
        b->sections[i].characteristics &= ~(IMAGE_SCN_MEM_EXECUTE | IMAGE_SCN_CNT_CODE);
    assert_true(pebuild_finish_file(b, tempdir_path(file)));
}

static void code_of_another_machine_is_refused(void **state)
{
    struct ldr_module *module;
    struct pe_error err = {0};
    write_foreign("arm.dll", true, "fd");
    assert_status(graph_load("arm.dll", 0, &module, &err), STATUS_INVALID_IMAGE_FORMAT);
    assert_non_null(strstr(err.text, " image; this host runs "));
    assert_status(graph_load("arm.dll", LDR_MAP_ONLY, &module, NULL), STATUS_SUCCESS);
    ldr_unload(module, NULL);
}

static void data_of_another_machine_may_be_a_dependency(void **state)
{
    struct ldr_module *module;
    write_foreign("data.dll", false, "table");
    graph_write(&(struct graph_spec){
        .file = "user.dll", .id = 'u', .imports = {{.module = "data.dll", .names = {"table"}}}});
    assert_non_null(module = graph_must_load("user.dll"));
    ldr_unload(module, NULL);
    assert_status(graph_load("data.dll", 0, &module, NULL), STATUS_INVALID_IMAGE_FORMAT);
    write_foreign("data.dll", true, "table");
    assert_status(graph_load("user.dll", 0, &module, NULL), STATUS_INVALID_IMAGE_FORMAT);
    graph_take_log();
}

/* ---- memory ---- */

static void bytes_in_memory_load_under_their_name(void **state)
{
    uint64_t size;
    struct graph_spec spec = {.file = "mem.dll", .id = 'm', .exports = {{.name = "fm"}}};
    uint8_t *bytes = image_bytes(&spec, &size);
    struct ldr_load_options options = {.name = "mem.dll", .bytes = bytes, .size = size};
    struct ldr_module *mem, *second;
    assert_status(ldr_load(&options, &mem, NULL), STATUS_SUCCESS);
    assert_ptr_equal(ldr_find("MEM"), mem);
    assert_string_equal(ldr_module_path(mem), "");
    assert_status(ldr_load(&options, &second, NULL), STATUS_OBJECT_NAME_COLLISION);
    graph_write(&(struct graph_spec){
        .file = "user.dll", .id = 'u', .imports = {{.module = "mem.dll", .names = {"fm"}}}});
    assert_non_null(second = graph_must_load("user.dll"));
    assert_status(ldr_unload(mem, NULL), STATUS_SUCCESS);
    assert_ptr_equal(ldr_find("mem.dll"), mem);
    ldr_unload(second, NULL);
    assert_null(ldr_find("mem.dll"));
    assert_string_equal(graph_take_log(), "m+ u+ u- m-");
    free(bytes);
}

/* ---- an empty thunk list, unreadable directories ---- */

static void an_empty_import_table_does_not_load_its_dll(void **state)
{
    graph_write(&(struct graph_spec){.file = "empty.dll", .imports = {{.module = "nowhere.dll"}}});
    struct ldr_module *empty = graph_must_load("empty.dll");
    assert_non_null(empty);
    ldr_unload(empty, NULL);
}

static void exports_that_cannot_be_read_are_not_found(void **state)
{
    struct graph_spec spec = {.file = "dark.dll", .exports = {{.name = "fd"}}};
    struct pebuild *b = graph_builder(&spec, NULL);
    for (uint32_t i = 0; i < b->section_count; i++)
        if (strcmp(b->sections[i].name, ".edata") == 0)
            b->sections[i].characteristics = 0; /* PAGE_NOACCESS */
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));
    struct ldr_module *dark = graph_must_load("dark.dll");
    uint64_t address;
    assert_status(ldr_symbol(dark, "fd", 0, &address, NULL), STATUS_ENTRYPOINT_NOT_FOUND);
    assert_status(ldr_symbol(dark, NULL, 1, &address, NULL), STATUS_ORDINAL_NOT_FOUND);
    ldr_unload(dark, NULL);
}

/* ---- what others see of the file (facts 1.6) ---- */

static void the_file_of_an_image_says_so(void **state)
{
    static const struct {
        uint32_t flags;
        enum ob_file_use use;
        bool denies_writing;
    } ways[] = {
        {0, OB_FILE_IMAGE, true},
        {LDR_MAP_ONLY, OB_FILE_IMAGE, true},
        {LDR_AS_IMAGE_RESOURCE, OB_FILE_IMAGE, true},
        {LDR_AS_DATAFILE, OB_FILE_MAPPED, false},
        {LDR_AS_DATAFILE_EXCLUSIVE, OB_FILE_MAPPED, true},
    };
    graph_write(&(struct graph_spec){.file = "g.dll", .id = 'g', .exports = {{.name = "fg"}}});
    int fd = open(tempdir_path("g.dll"), O_RDWR | O_CLOEXEC);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        struct ldr_module *g;
        assert_status(graph_load("g.dll", ways[i].flags, &g, NULL), STATUS_SUCCESS);
        assert_int_equal(ob_fileshare_used(fd, OB_FILE_IMAGE), ways[i].use == OB_FILE_IMAGE);
        assert_int_equal(ob_fileshare_used(fd, OB_FILE_MAPPED), ways[i].use == OB_FILE_MAPPED);
        assert_int_equal(nt_ok(ob_fileshare_check(fd, OB_SHARE_WRITE)), !ways[i].denies_writing);
        assert_status(ob_fileshare_check(fd, OB_SHARE_READ), STATUS_SUCCESS);
        ldr_unload(g, NULL);
        assert_false(ob_fileshare_used(fd, ways[i].use));
        assert_status(ob_fileshare_check(fd, OB_SHARE_WRITE), STATUS_SUCCESS);
    }
    /* Nobody who writes it already is locked out. */
    struct ldr_module *g;
    assert_status(ob_fileshare_claim(fd, OB_SHARE_WRITE, OB_SHARE_READ), STATUS_SUCCESS);
    assert_status(graph_load("g.dll", LDR_AS_DATAFILE_EXCLUSIVE, &g, NULL),
                  STATUS_SHARING_VIOLATION);
    close(fd);
    graph_take_log();
}

/* ---- leaks ---- */

/* Mappings; with a sanitizer, whose allocator maps what it likes, only those of images. */
static unsigned count_mappings(void)
{
    unsigned count = 0;
    char line[PATH_MAX + 128];
    FILE *file = fopen("/proc/self/maps", "r");
    while (file && fgets(line, sizeof(line), file))
#ifdef __SANITIZE_ADDRESS__
        count += strstr(line, "memfd:") != NULL || strstr(line, tempdir) != NULL;
#else
        count++;
#endif
    fclose(file);
    return count;
}

static unsigned count_fds(void)
{
    unsigned count = 0;
    DIR *dir = opendir("/proc/self/fd");
    while (dir && readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void load_all_ways(void)
{
    static const uint32_t ways[] = {0, LDR_DONT_RESOLVE, LDR_AS_DATAFILE, LDR_AS_IMAGE_RESOURCE,
                                    LDR_MAP_ONLY};
    struct ldr_module *module;
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++)
        if (nt_ok(graph_load("leak.dll", ways[i], &module, NULL)))
            assert_status(ldr_unload(module, NULL), STATUS_SUCCESS);
    assert_false(nt_ok(graph_load("f.dll", 0, &module, NULL)));
    graph_take_log();
}

static void a_thousand_loads_leave_nothing(void **state)
{
    struct pebuild_tls tls = {.template_data = "x", .template_size = 1};
    struct ldr_thread thread;
    void *field;
    graph_write(&(struct graph_spec){.file = "leak.dll",
                                     .id = 'l',
                                     .tls_callback = 'k',
                                     .tls = &tls,
                                     .imports = {{.module = "c.dll", .names = {"fc"}}}});
    graph_write(&(struct graph_spec){.file = "c.dll", .id = 'c', .exports = {{.name = "fc"}}});
    write_with_missing_import();
    assert_status(ldr_thread_register(&thread, &field, NULL), STATUS_SUCCESS);
    /* Sections of files that were not written just now stay open for the next load. */
    nanosleep(&(struct timespec){.tv_nsec = 60000000}, NULL);
    for (int i = 0; i < 10; i++)
        load_all_ways();
    unsigned maps = count_mappings(), fds = count_fds();
    size_t used = mallinfo2().uordblks;
    for (int i = 0; i < 1000; i++)
        load_all_ways();
    assert_int_equal(count_mappings(), maps);
    assert_int_equal(count_fds(), fds);
    assert_true(mallinfo2().uordblks <= used + 4096);
    ldr_thread_unregister(&thread);
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
        cmocka_unit_test(dont_resolve_runs_nothing_and_stays_so),
        cmocka_unit_test(a_data_file_is_flat_and_unlisted),
        cmocka_unit_test(a_data_file_needs_two_signatures_only),
        cmocka_unit_test(as_datafile_of_a_loaded_dll_is_that_dll),
        cmocka_unit_test(map_only_maps_a_private_copy),
        cmocka_unit_test(an_image_resource_is_not_relocated),
        cmocka_unit_test(a_wanted_base_is_used_or_refused),
        cmocka_unit_test(without_relocations_a_taken_base_refuses),
        cmocka_unit_test(code_of_another_machine_is_refused),
        cmocka_unit_test(data_of_another_machine_may_be_a_dependency),
        cmocka_unit_test(bytes_in_memory_load_under_their_name),
        cmocka_unit_test(an_empty_import_table_does_not_load_its_dll),
        cmocka_unit_test(exports_that_cannot_be_read_are_not_found),
        cmocka_unit_test(the_file_of_an_image_says_so),
        cmocka_unit_test(a_thousand_loads_leave_nothing),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
