/*
 * Import and export directories made to cost time or to crash: each ends in a refusal, quickly, and
 * with nothing left (facts 3.4; design, Failures).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

#include "tests/unit/shared_tables.h"

#define WORD ((uint32_t)sizeof(void *))

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* Loads, expects a refusal within a time that only an endless walk exceeds. */
static void must_be_refused(const char *file, nt_status expected)
{
    struct ldr_module *module;
    struct pe_error err = {0};
    double begin = seconds();
    nt_status status = graph_load(file, 0, &module, &err);
    if (status != expected)
        fail_msg("%s", err.text);
    assert_true(seconds() - begin < 20);
    assert_null(ldr_find(file));
    assert_string_equal(graph_take_log(), "");
}

/* `descriptors` descriptors that name `dll` and share one table of `entries` imports of `name`. */
static void write_shared_tables(const char *file, const char *dll, uint32_t descriptors,
                                uint32_t entries, const char *name)
{
    struct graph_spec spec = {.file = file, .exports = {{.name = "mine"}}};
    struct pebuild *b = graph_builder(&spec, NULL);
    shared_tables_add(b, &(struct shared_tables){dll, name, descriptors, entries});
    assert_true(pebuild_finish_file(b, tempdir_path(file)));
}

static void tables_that_are_shared_by_thousands_of_descriptors(void **state)
{
    write_shared_tables("many.dll", "many.dll", 1000, 60000, "mine");
    must_be_refused("many.dll", STATUS_INVALID_IMAGE_FORMAT);
    write_shared_tables("few.dll", "few.dll", 10, 1000, "mine");
    struct ldr_module *few = graph_must_load("few.dll");
    assert_non_null(few);
    ldr_unload(few, NULL);
}

static void thousands_of_missing_dlls_and_names(void **state)
{
    write_shared_tables("gone.dll", "nowhere.dll", 1000, 10, "x");
    must_be_refused("gone.dll", STATUS_DLL_NOT_FOUND);
    write_shared_tables("lost.dll", "lost.dll", 1000, 60000, "not_mine");
    must_be_refused("lost.dll", STATUS_ENTRYPOINT_NOT_FOUND);
}

/* All export names are one string of 200000 bytes, which every comparison would measure. */
static void long_export_names_do_not_cost_their_length(void **state)
{
    enum { NAMES = 4096, LENGTH = 200000 };
    write_shared_tables("long.dll", "names.dll", 1, 60000, "wanted");
    struct pebuild *b = pebuild_new(PEBUILD_DLL | GRAPH_WORD);
    struct pebuild_buffer buf = pebuild_buffer(b);
    char *text = calloc(1, LENGTH + 1);
    assert_non_null(text);
    memset(text, 'z', LENGTH);
    uint32_t name = pebuild_str(&buf, text);
    free(text);
    pebuild_align(&buf, 4);
    uint32_t functions = pebuild_u32(&buf, 0x1000), names = pebuild_here(&buf);
    for (uint32_t i = 0; i < NAMES; i++)
        pebuild_u32(&buf, name);
    uint32_t ordinals = pebuild_zeroes(&buf, NAMES * 2);
    const uint32_t fields[] = {0, 0, 0, name, 1, 1, NAMES, functions, names, ordinals};
    uint32_t directory = pebuild_here(&buf);
    for (size_t i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        pebuild_u32(&buf, fields[i]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXPORT, directory, 40);
    pebuild_buffer_section(&buf, ".edata", PEBUILD_RDATA);
    assert_true(pebuild_finish_file(b, tempdir_path("names.dll")));
    must_be_refused("long.dll", STATUS_ENTRYPOINT_NOT_FOUND);
}

/* Each DLL imports the next; the walk gives up long before the stack does. */
static void a_chain_of_imports_that_is_too_deep(void **state)
{
    char name[16], next[16];
    for (int i = 0; i < 300; i++) {
        snprintf(name, sizeof(name), "d%d.dll", i);
        snprintf(next, sizeof(next), "d%d.dll", i + 1);
        struct graph_spec spec = {.file = name, .exports = {{.name = "f"}}};
        if (i < 299)
            spec.imports[0] = (struct pebuild_import){.module = next, .names = {"f"}};
        graph_write(&spec);
    }
    struct ldr_module *module = graph_must_load("d200.dll");
    assert_non_null(module);
    ldr_unload(module, NULL);
    must_be_refused("d0.dll", STATUS_INSUFFICIENT_RESOURCES);
    assert_null(ldr_find("d100.dll"));
}

static void an_index_outside_the_image_is_refused(void **state)
{
    struct pebuild_tls tls = {.template_data = "x", .template_size = 1};
    struct graph_spec spec = {.file = "index.dll", .id = 'i', .tls = &tls};
    struct pebuild *b = graph_builder(&spec, NULL);
    for (uint32_t i = 0; i < b->section_count; i++) {
        struct pebuild_section *s = &b->sections[i];
        if (tls.directory_rva - s->virtual_address < s->data_size)
            pebuild_put32(s->data, tls.directory_rva - s->virtual_address + 2 * WORD, 0x10000);
    }
    assert_true(pebuild_finish_file(b, tempdir_path("index.dll")));
    must_be_refused("index.dll", STATUS_INVALID_IMAGE_FORMAT);
}

/* Truncations of a file that has everything: no crash, and nothing stays. */
static void truncations_are_refused_or_loaded(void **state)
{
    struct pebuild_tls tls = {.template_data = "xyz", .template_size = 3};
    struct graph_spec spec = {.file = "whole.dll",
                              .tls_callback = 'k',
                              .tls = &tls,
                              .imports = {{.module = "host.exe", .names = {"Answer", "#1"}}},
                              .exports = {{.name = "a"}, {.name = "b", .forwarder = "whole.a"}}};
    uint64_t size;
    uint8_t *bytes = pebuild_finish(graph_builder(&spec, NULL), &size);
    for (uint64_t cut = 0; cut <= size; cut += 16) {
        struct ldr_load_options options = {.name = "whole.dll", .bytes = bytes, .size = cut};
        struct ldr_module *module;
        uint64_t address;
        if (nt_ok(ldr_load(&options, &module, NULL))) {
            ldr_symbol(module, "b", 0, &address, NULL);
            ldr_unload(module, NULL);
        }
        assert_null(ldr_find("whole.dll"));
    }
    free(bytes);
    graph_take_log();
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
        cmocka_unit_test(tables_that_are_shared_by_thousands_of_descriptors),
        cmocka_unit_test(thousands_of_missing_dlls_and_names),
        cmocka_unit_test(long_export_names_do_not_cost_their_length),
        cmocka_unit_test(a_chain_of_imports_that_is_too_deep),
        cmocka_unit_test(an_index_outside_the_image_is_refused),
        cmocka_unit_test(truncations_are_refused_or_loaded),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
