/*
 * The PE files written for builtin modules: accepted by the loader's own rules, every export where
 * code that parses export directories by hand looks for it, and tables that make no sense refused.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/builtin_image.h"
#include "loader/ldr/ldr.h"
#include "pe/exports.h"
#include "pe/relocs.h"
#include "pe/rules.h"

/* cmocka widens by sign, and status constants are ints. */
#define assert_status(actual, expected) assert_int_equal((nt_status)(actual), (nt_status)(expected))

#define FUNCTION(fn, ord)                              \
    {                                                  \
        .name = fn, .ordinal = ord, .address = &marker \
    }
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static const char marker;
static void *environ_location;

static const struct ldr_builtin_export heap_exports[] = {
    FUNCTION("HeapFree", 0),
    FUNCTION("HeapAlloc", 0),
    LDR_FWD(HeapReAlloc, "NTDLL.RtlReAllocateHeap"),
};
static const struct ldr_builtin_export other_exports[] = {
    FUNCTION(NULL, 7),
    FUNCTION("Fixed", 3),
    LDR_DATA(environ, 8, &environ_location),
    LDR_DATA(big, 5000, NULL),
    LDR_FWD(ByOrdinal, "NTDLL.#12"),
    FUNCTION("NotOnTheList", 0),
};
static const struct ldr_builtin_family families[] = {
    {heap_exports, COUNT(heap_exports)},
    {other_exports, COUNT(other_exports)},
};
static const char *const names[] = {"Fixed",    "HeapAlloc", "HeapFree",    "HeapReAlloc",
                                    "HeapSize", "HeapWalk",  "VirtualAlloc"};
static const struct ldr_builtin sample = {
    .name = "SAMPLE.dll",
    .preferred_base = 0x10000000,
    .families = families,
    .family_count = COUNT(families),
    .names = names,
    .name_count = COUNT(names),
};

static struct pe_image image;
static struct pe_exports exports;
static uint8_t *bytes;

static int open_image(const struct ldr_builtin *builtin)
{
    uint64_t size;
    struct pe_error err = {0};
    if (ldr_builtin_image(builtin, &bytes, &size, &err) != STATUS_SUCCESS ||
        pe_open((struct pe_span){bytes, size}, PE_LAYOUT_FILE, &image, &err) != STATUS_SUCCESS ||
        pe_rules_check(&image,
                       (struct pe_rule_query){PE_STAGE_SECTION | PE_STAGE_LOADER, PE_ROLE_DLL},
                       &err) != STATUS_SUCCESS ||
        !pe_exports_open(&image, &exports)) {
        print_error("%s: %s\n", builtin->name, err.text);
        return -1;
    }
    return 0;
}

static int open_sample(void **state)
{
    return open_image(&sample);
}

static int close_image(void **state)
{
    free(bytes);
    bytes = NULL;
    return 0;
}

static bool find(const char *name, struct pe_export *found)
{
    return pe_export_by_name(&exports, (struct pe_str){name, (uint32_t)strlen(name)}, 0, found);
}

static void section_of(uint32_t rva, struct pe_section *section)
{
    assert_true(pe_section_of_rva(&image, rva, section, NULL));
}

static void test_headers(void **state)
{
    const struct pe_headers *h = &image.h;
    assert_int_equal(h->machine, sizeof(void *) == 8 ? 0x8664 : 0x14C);
    assert_int_equal(h->pe32_plus, sizeof(void *) == 8);
    assert_int_equal(h->image_base, 0x10000000);
    assert_true(h->characteristics & IMAGE_FILE_DLL);
    assert_false(h->characteristics & IMAGE_FILE_RELOCS_STRIPPED);
    assert_int_equal(h->address_of_entry_point, 0);
    assert_int_equal(h->subsystem, IMAGE_SUBSYSTEM_WINDOWS_CUI);
    assert_int_equal(h->dll_characteristics,
                     IMAGE_DLLCHARACTERISTICS_NX_COMPAT | IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE);
    assert_int_equal(exports.module_name.len, strlen("SAMPLE.dll"));
    assert_memory_equal(exports.module_name.ptr, "SAMPLE.dll", 10);
}

/* Nothing is writable and executable, and each part has the rights that it needs. */
static void test_sections(void **state)
{
    static const struct {
        const char *name;
        uint32_t rights;
    } rows[] = {{".rdata", IMAGE_SCN_MEM_READ},
                {".reloc", IMAGE_SCN_MEM_READ},
                {".text", IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_EXECUTE},
                {".data", IMAGE_SCN_MEM_READ | IMAGE_SCN_MEM_WRITE}};
    struct pe_section section;
    assert_int_equal(image.h.number_of_sections, COUNT(rows));
    for (uint32_t i = 0; i < COUNT(rows); i++) {
        assert_true(pe_section_at(&image, i, &section));
        assert_string_equal(section.name, rows[i].name);
        assert_int_equal(section.characteristics & 0xF0000000u & ~0x10000000u, rows[i].rights);
    }
}

static void test_every_name_is_found(void **state)
{
    struct pe_export found;
    assert_int_equal(exports.name_count, 11);
    for (size_t i = 0; i < COUNT(names); i++)
        assert_true(find(names[i], &found));
    for (size_t i = 0; i < COUNT(other_exports); i++)
        if (other_exports[i].name != NULL)
            assert_true(find(other_exports[i].name, &found));
    assert_false(find("heapalloc", &found)); /* names are case-sensitive */
    assert_false(find("Nothing", &found));
}

/* Functions and traps: aligned thunks of their own in .text. */
static void test_functions(void **state)
{
    static const char *const functions[] = {"HeapAlloc", "HeapFree",     "Fixed",
                                            "HeapWalk",  "NotOnTheList", "VirtualAlloc"};
    uint32_t seen[COUNT(functions)];
    for (size_t i = 0; i < COUNT(functions); i++) {
        struct pe_export found;
        struct pe_section section;
        assert_true(find(functions[i], &found));
        assert_null(found.forwarder.ptr);
        section_of(found.rva, &section);
        assert_string_equal(section.name, ".text");
        assert_int_equal(found.rva % 16, 0);
        seen[i] = found.rva;
        for (size_t j = 0; j < i; j++)
            assert_int_not_equal(seen[j], seen[i]);
    }
}

static void test_forwarders(void **state)
{
    struct pe_export found;
    assert_true(find("HeapReAlloc", &found));
    assert_int_equal(found.forwarder.len, strlen("NTDLL.RtlReAllocateHeap"));
    assert_memory_equal(found.forwarder.ptr, "NTDLL.RtlReAllocateHeap", found.forwarder.len);
    assert_true(find("ByOrdinal", &found));
    assert_memory_equal(found.forwarder.ptr, "NTDLL.#12", 10);
}

static void test_data(void **state)
{
    struct pe_export found, big;
    struct pe_section section;
    uint8_t content[5000], zeros[5000] = {0};
    assert_true(find("environ", &found));
    assert_true(find("big", &big));
    section_of(found.rva, &section);
    assert_string_equal(section.name, ".data");
    assert_int_equal(found.rva % 16, 0);
    assert_int_equal(big.rva % 16, 0);
    assert_true(found.rva >= big.rva + 5000 || big.rva >= found.rva + 8);
    assert_true(pe_rva_copy(&image, big.rva, content, sizeof(content)));
    assert_memory_equal(content, zeros, sizeof(content));
}

/* Fixed ordinals stay; the others get the free ones in the order of their names. */
static void test_ordinals(void **state)
{
    struct pe_export found;
    assert_true(find("Fixed", &found));
    assert_int_equal(found.ordinal, 3);
    assert_true(pe_export_by_ordinal(&exports, 7, &found));
    assert_null(found.name.ptr);
    static const struct {
        const char *name;
        uint32_t ordinal;
    } rows[] = {{"ByOrdinal", 1}, {"HeapAlloc", 2}, {"HeapFree", 4},     {"HeapReAlloc", 5},
                {"HeapSize", 6},  {"HeapWalk", 8},  {"NotOnTheList", 9}, {"VirtualAlloc", 10},
                {"big", 11},      {"environ", 12}};
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_true(find(rows[i].name, &found));
        assert_int_equal(found.ordinal, rows[i].ordinal);
    }
    assert_int_equal(exports.ordinal_base, 1);
    assert_int_equal(exports.function_count, 12);
}

/* i386: one in the gate and in each thunk, all pointing into .rdata. x86-64 code is relative, and
 * its image has a directory nevertheless, so that it counts as relocatable. */
static void test_relocations(void **state)
{
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    uint32_t count = 0;
    int more;
    assert_true(pe_fixups(&image, &it));
    while ((more = pe_fixup_next(&it, &fixup)) == 1) {
        uint32_t target;
        struct pe_section section;
        if (fixup.type == 0)
            continue;
        assert_int_equal(fixup.type, 3); /* HIGHLOW */
        assert_true(pe_rva_u32(&image, fixup.rva, &target));
        section_of(target - 0x10000000, &section);
        assert_string_equal(section.name, ".rdata");
        count++;
    }
    assert_int_equal(more, 0);
    assert_int_equal(count, sizeof(void *) == 8 ? 0 : 1 + 5 + 3);
}

static void test_no_exports(void **state)
{
    static const struct ldr_builtin empty = {.name = "empty.dll"};
    assert_int_equal(open_image(&empty), 0);
    assert_int_equal(exports.name_count, 0);
    assert_int_equal(exports.function_count, 0);
    assert_int_equal(image.h.number_of_sections, 3); /* no .data */
    assert_int_equal(image.h.image_base % 0x10000, 0);
}

/* A high ordinal makes a table with holes, not one that begins at 1. */
static void test_holes(void **state)
{
    static const struct ldr_builtin_export list[] = {FUNCTION(NULL, 65535), FUNCTION("a", 60000)};
    static const struct ldr_builtin_family family = {list, COUNT(list)};
    static const struct ldr_builtin high = {
        .name = "high.dll", .families = &family, .family_count = 1};
    struct pe_export found;
    assert_int_equal(open_image(&high), 0);
    assert_int_equal(exports.ordinal_base, 60000);
    assert_int_equal(exports.function_count, 5536);
    assert_true(pe_export_by_ordinal(&exports, 65535, &found));
    assert_true(pe_export_by_ordinal(&exports, 60000, &found));
    assert_false(pe_export_by_ordinal(&exports, 60001, &found));
}

#define MANY 20000

/* Many pages of thunks and names; long names. */
static void test_many_names(void **state)
{
    static char text[MANY][16], longest[70000];
    static const char *list[MANY + 1];
    for (int i = 0; i < MANY; i++) {
        snprintf(text[i], sizeof(text[i]), "Name%05d", i);
        list[i] = text[i];
    }
    memset(longest, 'z', sizeof(longest) - 1);
    list[MANY] = longest;
    struct ldr_builtin many = {.name = "many.dll", .names = list, .name_count = MANY + 1};
    struct pe_export found;
    assert_int_equal(open_image(&many), 0);
    for (int i = 0; i < MANY; i++) {
        assert_true(find(text[i], &found));
        assert_int_equal(found.ordinal, i + 1);
    }
    assert_true(find(longest, &found));
}

static void assert_refused(const struct ldr_builtin_export *list, size_t count,
                           const char *const *name_list, size_t name_count, const char *why)
{
    const struct ldr_builtin_family family = {list, count};
    const struct ldr_builtin bad = {.name = "bad.dll",
                                    .families = &family,
                                    .family_count = 1,
                                    .names = name_list,
                                    .name_count = name_count};
    struct pe_error err = {0};
    uint64_t size;
    uint8_t *untouched = NULL;
    assert_status(ldr_builtin_image(&bad, &untouched, &size, &err), STATUS_INVALID_PARAMETER);
    assert_null(untouched);
    assert_non_null(strstr(err.text, "bad.dll"));
    assert_non_null(strstr(err.text, why));
}

static void test_bad_tables(void **state)
{
    static const struct ldr_builtin_export twice[] = {FUNCTION("a", 0), FUNCTION("a", 0)};
    static const struct ldr_builtin_export ordinals[] = {FUNCTION("a", 5), FUNCTION(NULL, 5)};
    static const struct ldr_builtin_export nameless = {.address = &marker};
    static const struct ldr_builtin_export no_address = {.name = "a"};
    static const struct ldr_builtin_export no_forward = {.name = "a", .kind = LDR_EXPORT_FORWARD};
    static const struct ldr_builtin_export bad_forward = LDR_FWD(a, "nowhere");
    static const struct ldr_builtin_export no_size = {.name = "a", .kind = LDR_EXPORT_DATA};
    static const char *const unsorted[] = {"b", "a"};
    static const char *const same[] = {"a", "a"};
    assert_refused(twice, 2, NULL, 0, "a is defined twice");
    assert_refused(ordinals, 2, NULL, 0, "ordinal 5 is used twice");
    assert_refused(&nameless, 1, NULL, 0, "neither name nor ordinal");
    assert_refused(&no_address, 1, NULL, 0, "a has no address");
    assert_refused(&no_forward, 1, NULL, 0, "a forwards to nothing");
    assert_refused(&bad_forward, 1, NULL, 0, "a forwards to nothing");
    assert_refused(&no_size, 1, NULL, 0, "a has no sane size");
    assert_refused(NULL, 0, unsorted, 2, "a is out of order");
    assert_refused(NULL, 0, same, 2, "a is out of order");
}

static void test_too_many_exports(void **state)
{
    static const char *list[70000];
    struct ldr_builtin many = {.name = "many.dll", .names = list, .name_count = 70000};
    struct pe_error err = {0};
    uint64_t size;
    assert_status(ldr_builtin_image(&many, &bytes, &size, &err), STATUS_INVALID_PARAMETER);
}

/* ---- the registry
 * -------------------------------------------------------------------------------- */

static const struct ldr_builtin first = {.name = "First.dll"};
static const struct ldr_builtin second = {.name = "second.dll"};
static const struct ldr_builtin program = {.name = "host.exe"};

static void test_registry(void **state)
{
    assert_status(ldr_builtin_register(&first), STATUS_SUCCESS);
    assert_status(ldr_builtin_register(&second), STATUS_SUCCESS);
    assert_status(ldr_builtin_register(&program), STATUS_SUCCESS);
    assert_status(ldr_builtin_register(&first), STATUS_SUCCESS); /* idempotent */
    assert_ptr_equal(ldr_builtin_next(NULL), &first);
    assert_ptr_equal(ldr_builtin_next(&first), &second);
    assert_ptr_equal(ldr_builtin_next(&second), &program);
    assert_null(ldr_builtin_next(&program));
    assert_ptr_equal(ldr_builtin_find("FIRST.DLL"), &first);
    assert_ptr_equal(ldr_builtin_find("first"), &first);
    assert_ptr_equal(ldr_builtin_find("HOST.exe"), &program);
    assert_null(ldr_builtin_find("host"));
    assert_null(ldr_builtin_find("firs"));
    assert_null(ldr_builtin_find(""));
}

static void test_bases_do_not_collide(void **state)
{
    uint64_t a = ldr_builtin_base(&first), b = ldr_builtin_base(&second);
    uint64_t distance = a > b ? a - b : b - a;
    assert_true(distance >= 0x100000);
    assert_int_equal(a % 0x10000, 0);
    assert_true(a < 0x80000000u && b < 0x80000000u);
    assert_int_equal(ldr_builtin_base(&sample), 0x10000000);
}

static void test_replacement(void **state)
{
    static const struct ldr_builtin newer = {.name = "SECOND.DLL"};
    uint64_t base = ldr_builtin_base(&second);
    assert_status(ldr_builtin_register(&newer), STATUS_SUCCESS);
    assert_ptr_equal(ldr_builtin_find("second.dll"), &newer);
    assert_int_equal(ldr_builtin_base(&newer), base);
}

static void test_bad_registrations(void **state)
{
    static const struct ldr_builtin nameless = {.name = ""};
    static const struct ldr_builtin crooked = {.name = "x.dll", .preferred_base = 0x10001000};
    static const struct ldr_builtin high = {.name = "x.dll", .preferred_base = 0x80000000u};
    assert_status(ldr_builtin_register(&nameless), STATUS_INVALID_PARAMETER);
    assert_status(ldr_builtin_register(&crooked), STATUS_INVALID_PARAMETER);
    assert_status(ldr_builtin_register(&high), STATUS_INVALID_PARAMETER);
    assert_null(ldr_builtin_find("x.dll"));
}

#define SAMPLE_TEST(test) cmocka_unit_test_setup_teardown(test, open_sample, close_image)
#define OWN_TEST(test)    cmocka_unit_test_teardown(test, close_image)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SAMPLE_TEST(test_headers),
        SAMPLE_TEST(test_sections),
        SAMPLE_TEST(test_every_name_is_found),
        SAMPLE_TEST(test_functions),
        SAMPLE_TEST(test_forwarders),
        SAMPLE_TEST(test_data),
        SAMPLE_TEST(test_ordinals),
        SAMPLE_TEST(test_relocations),
        OWN_TEST(test_no_exports),
        OWN_TEST(test_holes),
        OWN_TEST(test_many_names),
        cmocka_unit_test(test_bad_tables),
        cmocka_unit_test(test_too_many_exports),
        cmocka_unit_test(test_registry),
        cmocka_unit_test(test_bases_do_not_collide),
        cmocka_unit_test(test_replacement),
        cmocka_unit_test(test_bad_registrations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
