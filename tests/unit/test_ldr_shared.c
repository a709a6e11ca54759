/*
 * SHARED PE sections under the loader: whose addresses stand in them (facts 1.6).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/graphimage.h"

static uintptr_t *word_at(const struct ldr_module *module, uint32_t rva)
{
    return (uintptr_t *)(uintptr_t)(ldr_module_base(module) + rva);
}

/* An IAT in a SHARED PE section holds this process's addresses: nobody else may see them. */
static void an_iat_in_a_shared_section_is_private(void **state)
{
    uint32_t iats[GRAPH_MAX];
    struct graph_spec spec = {.file = "iat.dll",
                              .imports = {{.module = "host.exe", .names = {"Answer"}}}};
    struct pebuild *b = graph_builder(&spec, iats);
    for (uint32_t i = 0; i < b->section_count; i++)
        if (iats[0] - b->sections[i].virtual_address < b->sections[i].virtual_size)
            b->sections[i].characteristics |= IMAGE_SCN_MEM_SHARED;
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));
    struct ldr_module *iat = graph_must_load("iat.dll");
    assert_non_null(iat);
    assert_false(mm_view_is_shared(ldr_module_view(iat), iats[0], sizeof(void *)));
    assert_int_equal(((int(WINAPI *)(void)) * word_at(iat, iats[0]))(), 42);
    ldr_unload(iat, NULL);
}

/*
 * A pointer in a SHARED PE section is fixed up by the process that makes the content, for its own
 * base; a view at another base leaves it alone, but has its private pointers right.
 */
static void fixups_of_shared_pages_are_written_once(void **state)
{
    struct graph_spec spec = {.file = "ptr.dll"};
    struct pebuild *b = graph_builder(&spec, NULL);
    struct pebuild_buffer shared = pebuild_buffer(b);
    uint32_t shared_rva = pebuild_va(&shared, 0x1000);
    pebuild_buffer_section(&shared, "Shared", PEBUILD_DATA | IMAGE_SCN_MEM_SHARED);
    struct pebuild_buffer data = pebuild_buffer(b);
    uint32_t private_rva = pebuild_va(&data, 0x1000);
    pebuild_buffer_section(&data, ".data", PEBUILD_DATA);
    pebuild_relocs(b);
    assert_true(pebuild_finish_file(b, tempdir_path(spec.file)));

    struct ldr_load_options options = {.name = tempdir_path("ptr.dll"), .base = 0x12340000};
    struct ldr_module *first, *second;
    assert_status(ldr_load(&options, &first, NULL), STATUS_SUCCESS);
    options = (struct ldr_load_options){.name = tempdir_path("ptr.dll"), .flags = LDR_MAP_ONLY};
    assert_status(ldr_load(&options, &second, NULL), STATUS_SUCCESS);
    assert_true(ldr_module_base(second) != 0x12340000);
    assert_true(*word_at(first, shared_rva) == 0x12340000 + 0x1000);
    assert_true(*word_at(second, shared_rva) == 0x12340000 + 0x1000);
    assert_true(*word_at(first, private_rva) == 0x12340000 + 0x1000);
    assert_true(*word_at(second, private_rva) == ldr_module_base(second) + 0x1000);
    ldr_unload(second, NULL);
    ldr_unload(first, NULL);
}

static int set_up(void **state)
{
    int failed = tempdir_create() | graph_register_host();
    return failed | setenv("XDG_RUNTIME_DIR", tempdir, 1);
}

static int tear_down(void **state)
{
    ldr_shutdown();
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_iat_in_a_shared_section_is_private),
        cmocka_unit_test(fixups_of_shared_pages_are_written_once),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
