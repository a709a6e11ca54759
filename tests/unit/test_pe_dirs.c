/*
 * TLS, load config, exception table, debug directory, resources (facts 3.7; behaviours).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "pe/dirs.h"
#include "tests/pebuild.h"
#include "tests/unit/status.h"

struct fixture {
    uint8_t *bytes;
    uint64_t size;
    struct pe_image image;
};

static void open_image(struct fixture *f, struct pebuild *b)
{
    f->bytes = pebuild_finish(b, &f->size);
    struct pe_span span = {f->bytes, f->size};
    assert_status(pe_open(span, PE_LAYOUT_FILE, &f->image, NULL), STATUS_SUCCESS);
}

static void va_conversion(void **state)
{
    struct fixture f;
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
    open_image(&f, b);
    uint32_t rva = 1;
    assert_true(pe_va_to_rva(&f.image, 0x180000000u, &rva) && rva == 0);
    assert_true(pe_va_to_rva(&f.image, 0x180001fffu, &rva) && rva == 0x1fff);
    assert_false(pe_va_to_rva(&f.image, 0x180002000u, &rva));
    assert_false(pe_va_to_rva(&f.image, 0x17fffffffu, &rva));
    assert_false(pe_va_to_rva(&f.image, 0, &rva));
    assert_false(pe_va_to_rva(&f.image, UINT64_MAX, &rva));
    free(f.bytes);
}

static void tls(void **state)
{
    static const uint32_t callbacks[] = {0x1000, 0x1004};
    static const struct {
        uint32_t characteristics, alignment;
    } alignments[] = {
        {0, 0}, {0x00100000, 1}, {0x00500000, 16}, {0x00e00000, 8192}, {0x00f00000, 0}};
    for (size_t i = 0; i < 5; i++)
        for (unsigned flags = 0; flags <= PEBUILD_PE32_PLUS; flags += PEBUILD_PE32_PLUS) {
            struct fixture f;
            struct pe_tls t;
            uint64_t va = 0;
            struct pebuild_tls in = {.template_data = "0123456789",
                                     .template_size = 10,
                                     .zero_fill = 0x20,
                                     .characteristics = alignments[i].characteristics,
                                     .callbacks = callbacks,
                                     .callback_count = 2};
            struct pebuild *b = pebuild_new(flags);
            pebuild_section(b, ".text", PEBUILD_TEXT, "x", 1, 0);
            pebuild_tls(b, &in);
            open_image(&f, b);
            uint64_t base = f.image.h.image_base;
            assert_true(pe_tls_get(&f.image, &t));
            assert_int_equal(t.end_address_of_raw_data - t.start_address_of_raw_data, 10);
            assert_true(t.address_of_index == base + in.index_rva);
            assert_int_equal(t.size_of_zero_fill, 0x20);
            assert_int_equal(t.alignment, alignments[i].alignment);
            assert_int_equal(pe_tls_callback(&f.image, &t, 0, &va), 1);
            assert_true(va == base + 0x1000);
            assert_int_equal(pe_tls_callback(&f.image, &t, 1, &va), 1);
            assert_true(va == base + 0x1004);
            assert_int_equal(pe_tls_callback(&f.image, &t, 2, &va), 0);
            free(f.bytes);
        }
}

static void tls_at_the_edges(void **state)
{
    struct fixture f;
    struct pe_tls t;
    uint64_t va;
    struct pebuild_tls in = {0};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_tls(b, &in);
    open_image(&f, b);
    assert_true(pe_tls_get(&f.image, &t));
    assert_int_equal(pe_tls_callback(&f.image, &t, 0, &va), 0);
    t.address_of_callbacks = 0;
    assert_int_equal(pe_tls_callback(&f.image, &t, 0, &va), 0);
    t.address_of_callbacks = UINT64_MAX;
    assert_int_equal(pe_tls_callback(&f.image, &t, UINT32_MAX, &va), -1);
    t.address_of_callbacks = f.image.h.image_base + 0x2000 - 2; /* across the end */
    assert_int_equal(pe_tls_callback(&f.image, &t, 0, &va), -1);
    f.image.h.directory[IMAGE_DIRECTORY_ENTRY_TLS].rva = 0x2000 - 23;
    assert_false(pe_tls_get(&f.image, &t));
    f.image.h.directory[IMAGE_DIRECTORY_ENTRY_TLS].rva = 0;
    assert_false(pe_tls_get(&f.image, &t));
    free(f.bytes);
}

/* Every byte of the structure tells its offset; fields behind its Size are 0. */
static void load_config(void **state)
{
    for (unsigned plus = 0; plus < 2; plus++) {
        struct fixture f;
        struct pe_load_config c;
        struct pebuild *b = pebuild_new(plus ? PEBUILD_PE32_PLUS : 0);
        uint8_t data[160];
        for (uint32_t i = 0; i < sizeof(data); i++)
            data[i] = (uint8_t)i;
        pebuild_put32(data, 0, plus ? 112 : 72);
        pebuild_section(b, ".rdata", PEBUILD_RDATA, data, sizeof(data), 0);
        pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_LOAD_CONFIG, 0x1000, sizeof(data));
        open_image(&f, b);
        assert_true(pe_load_config_get(&f.image, &c));
        assert_int_equal(c.size, plus ? 112 : 72);
        assert_int_equal(c.time_date_stamp, 0x07060504);
        assert_int_equal(c.global_flags_set, 0x13121110);
        assert_int_equal(c.critical_section_default_timeout, 0x17161514);
        assert_true(c.de_commit_free_block_threshold == (plus ? 0x1f1e1d1c1b1a1918u : 0x1b1a1918u));
        assert_true(c.de_commit_total_free_threshold == (plus ? 0x2726252423222120u : 0x1f1e1d1cu));
        assert_int_equal(c.csd_version, plus ? 0x4d4c : 0x3534);
        assert_true(c.security_cookie == (plus ? 0x5f5e5d5c5b5a5958u : 0x3f3e3d3cu));
        assert_true(c.se_handler_count == (plus ? 0x6f6e6d6c6b6a6968u : 0x47464544u));
        assert_true(c.guard_cf_check_function_pointer == 0);
        pebuild_put32(f.bytes, 0x400, UINT32_MAX);
        assert_true(pe_load_config_get(&f.image, &c));
        assert_true(c.guard_cf_check_function_pointer ==
                    (plus ? 0x7776757473727170u : 0x4b4a4948u));
        assert_true(c.guard_cf_function_count == (plus ? 0x8f8e8d8c8b8a8988u : 0x57565554u));
        assert_true(c.guard_flags == (plus ? 0x93929190u : 0x5b5a5958u));
        pebuild_put32(f.bytes, 0x400, 2); /* not even its Size */
        assert_true(pe_load_config_get(&f.image, &c));
        assert_true(c.size == 2 && c.time_date_stamp == 0);
        free(f.bytes);
    }
}

static void runtime_functions(void **state)
{
    struct fixture f;
    struct pe_runtime_function r;
    struct pebuild *b = pebuild_new(PEBUILD_DLL | PEBUILD_PE32_PLUS);
    struct pebuild_buffer buf = pebuild_buffer(b);
    for (uint32_t i = 0; i < 9; i++)
        pebuild_u32(&buf, 0x1000 + i);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_EXCEPTION, buf.rva, 35); /* two and a bit */
    pebuild_buffer_section(&buf, ".pdata", PEBUILD_RDATA);
    open_image(&f, b);
    assert_int_equal(pe_runtime_function_count(&f.image), 2);
    assert_true(pe_runtime_function_at(&f.image, 1, &r));
    assert_true(r.begin == 0x1003 && r.end == 0x1004 && r.unwind_info == 0x1005);
    assert_false(pe_runtime_function_at(&f.image, 2, &r));
    f.image.h.machine = IMAGE_FILE_MACHINE_ARM64; /* entries of another form */
    assert_int_equal(pe_runtime_function_count(&f.image), 0);
    free(f.bytes);
}

static void debug_directory(void **state)
{
    struct fixture f;
    struct pe_debug_entry e;
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pebuild_buffer buf = pebuild_buffer(b);
    uint32_t rsds = pebuild_bytes(&buf, "RSDS", 4);
    pebuild_zeroes(&buf, 20);
    pebuild_str(&buf, "C:\\new.pdb");
    uint32_t nb10 = pebuild_bytes(&buf, "NB10", 4);
    pebuild_zeroes(&buf, 12);
    pebuild_str(&buf, "old.pdb");
    pebuild_align(&buf, 4);
    uint32_t entries = pebuild_here(&buf);
    const uint32_t rows[3][7] = {{0, 0x5e, 0, 2, 35, rsds, 0},
                                 {0, 0x5f, 0, 2, 24, 0, nb10 - 0x1000 + 0x400}, /* not mapped */
                                 {0, 0x60, 0, 2, 34, rsds, 0}};                 /* path cut off */
    for (uint32_t i = 0; i < 21; i++)
        pebuild_u32(&buf, rows[i / 7][i % 7]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_DEBUG, entries, 84);
    pebuild_buffer_section(&buf, ".rdata", PEBUILD_RDATA);
    open_image(&f, b);
    assert_int_equal(pe_debug_count(&f.image), 3);
    assert_true(pe_debug_at(&f.image, 0, &e));
    assert_int_equal(e.time_date_stamp, 0x5e);
    assert_string_equal(pe_debug_type_name(e.type), "codeview");
    assert_int_equal(e.pdb_path.len, 10);
    assert_memory_equal(e.pdb_path.ptr, "C:\\new.pdb", 10);
    assert_true(pe_debug_at(&f.image, 1, &e) && e.pdb_path.len == 7);
    assert_memory_equal(e.pdb_path.ptr, "old.pdb", 7);
    assert_true(pe_debug_at(&f.image, 2, &e) && e.pdb_path.len == 0);
    assert_false(pe_debug_at(&f.image, 3, &e));
    assert_string_equal(pe_debug_type_name(99), "unknown");
    free(f.bytes);
}

/*
 * Types "Tÿpe" and 3; names below 3: 7; languages: a leaf, and an entry that leads back to the
 * root.
 */
static void open_resources(struct fixture *f, uint32_t directory_size)
{
    static const uint32_t words[] = {
        0,
        0,
        0,
        1u | 1u << 16,
        0x80000000u | 104,
        0x80000000u | 32,
        3,
        0x80000000u | 32, /* 0 */
        0,
        0,
        0,
        1u << 16,
        7,
        0x80000000u | 56, /* 32 */
        0,
        0,
        0,
        2u << 16,
        0x409,
        88,
        0x40a,
        0x80000000u, /* 56 */
        0x10c0,
        5,
        1252,
        0, /* 88 */
    };
    static const uint16_t name[] = {4, 'T', 0xff, 'P', 'E'};
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    struct pebuild_buffer buf = pebuild_buffer(b);
    for (uint32_t i = 0; i < sizeof(words) / 4; i++)
        pebuild_u32(&buf, words[i]);
    for (uint32_t i = 0; i < 5; i++)
        pebuild_u16(&buf, name[i]);
    pebuild_directory(b, IMAGE_DIRECTORY_ENTRY_RESOURCE, buf.rva, directory_size);
    pebuild_buffer_section(&buf, ".rsrc", PEBUILD_RDATA);
    open_image(f, b);
}

static void resource_path(void **state)
{
    struct fixture f;
    struct pe_resource_dir root, names, languages;
    struct pe_resource_entry e;
    struct pe_resource_data data;
    open_resources(&f, 0); /* the directory's size may be 0 (behaviours, Resources) */
    assert_true(pe_resource_root(&f.image, &root));
    assert_true(root.named_count == 1 && root.id_count == 1);
    assert_true(pe_resource_find(&root, NULL, 0, 3, &e) && e.is_dir && !e.named);
    assert_false(pe_resource_data_of(&root, &e, &data));
    assert_true(pe_resource_enter(&root, &e, &names));
    assert_true(pe_resource_find(&names, NULL, 0, 7, &e));
    assert_true(pe_resource_enter(&names, &e, &languages));
    assert_true(pe_resource_entry_at(&languages, 0, &e) && e.id == 0x409 && !e.is_dir);
    assert_false(pe_resource_enter(&languages, &e, &names));
    assert_true(pe_resource_data_of(&languages, &e, &data));
    assert_true(data.rva == 0x10c0 && data.size == 5 && data.code_page == 1252);
    assert_true(pe_resource_entry_at(&languages, 1, &e)); /* the loop is harmless */
    assert_true(pe_resource_enter(&languages, &e, &names) && names.offset == 0);
    assert_false(pe_resource_entry_at(&languages, 2, &e));
    assert_false(pe_resource_find(&root, NULL, 0, 4, &e));
    free(f.bytes);
}

static void resource_names(void **state)
{
    static const uint16_t same[] = {'t', 0xff, 'p', 'e'}, other[] = {'T', 0xdf, 'P', 'E'};
    struct fixture f;
    struct pe_resource_dir root;
    struct pe_resource_entry e;
    open_resources(&f, 0x100);
    assert_true(pe_resource_root(&f.image, &root));
    assert_true(pe_resource_find(&root, same, 4, 0, &e) && e.named && e.name_len == 4);
    assert_int_equal(e.name_rva, 0x1000 + 106);
    assert_int_equal(e.id, 0);
    assert_false(pe_resource_find(&root, same, 3, 0, &e));
    assert_false(pe_resource_find(&root, other, 4, 0, &e));
    f.bytes[0x400 + 106] = 't'; /* stored in lower case: nobody asks for that */
    assert_false(pe_resource_find(&root, same, 4, 0, &e));
    f.bytes[0x400 + 106] = 'T';
    pebuild_put32(f.bytes, 0x400 + 16, 0xffffffff); /* a name outside the image */
    assert_false(pe_resource_find(&root, same, 4, 0, &e));
    assert_false(pe_resource_entry_at(&root, 0, &e));
    free(f.bytes);
}

/* Counts without substance are cut to what the image can hold. */
static void absurd_resource_counts(void **state)
{
    struct fixture f;
    struct pe_resource_dir root;
    struct pe_resource_entry e;
    open_resources(&f, 0x100);
    pebuild_put32(f.bytes, 0x400 + 12, UINT32_MAX);
    assert_true(pe_resource_root(&f.image, &root));
    assert_int_equal(root.named_count + root.id_count, f.size / 8);
    assert_false(pe_resource_entry_at(&root, (uint32_t)(f.size / 8), &e));
    free(f.bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(va_conversion),          cmocka_unit_test(tls),
        cmocka_unit_test(tls_at_the_edges),       cmocka_unit_test(load_config),
        cmocka_unit_test(runtime_functions),      cmocka_unit_test(debug_directory),
        cmocka_unit_test(resource_path),          cmocka_unit_test(resource_names),
        cmocka_unit_test(absurd_resource_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
