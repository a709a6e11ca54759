/*
 * The region table of every sample is what Windows reports (facts 1.1 to 1.3), before and after a
 * write; a relocated image has private pages exactly where it has fixups.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "loader/peldr.h"
#include "pe/relocs.h"
#include "tests/samples.h"
#include "tests/unit/tempdir.h"

enum { COMMIT = 0x1000, RESERVE = 0x2000, IMAGE = 0x1000000 };
enum { NOACCESS = 1, READONLY = 2, READWRITE = 4, WRITECOPY = 8 };
enum { EXECUTE = 0x10, EXECUTE_READ = 0x20, EXECUTE_READWRITE = 0x40, EXECUTE_WRITECOPY = 0x80 };

/* Facts 1.1, written out: [shared][execute][write][read]. */
static const uint32_t windows_table[2][2][2][2] = {
    {{{NOACCESS, READONLY}, {WRITECOPY, WRITECOPY}},
     {{EXECUTE, EXECUTE_READ}, {EXECUTE_WRITECOPY, EXECUTE_WRITECOPY}}},
    {{{NOACCESS, READONLY}, {READWRITE, READWRITE}},
     {{EXECUTE, EXECUTE_READ}, {EXECUTE_READWRITE, EXECUTE_READWRITE}}}};

struct sample {
    struct pe_span bytes;
    struct pe_image image;
    peldr_module *module;
    struct peldr_module_info info;
};

static void sample_open(const char *set, const char *name, struct sample *s)
{
    char path[SAMPLE_PATH_MAX];
    size_t size;
    if (!sample_path(set, name, path))
        fail_msg("%s is missing", path);
    s->bytes.data = sample_read(path, &size);
    s->bytes.size = size;
    assert_true(nt_ok(pe_open(s->bytes, PE_LAYOUT_FILE, &s->image, NULL)));
    s->module = peldr_open(path, PELDR_MAP_ONLY);
    if (!s->module)
        fail_msg("%s: %s", path, peldr_error());
    assert_int_equal(peldr_module_info(s->module, &s->info), 0);
}

static void sample_close(struct sample *s)
{
    assert_int_equal(peldr_close(s->module), 0);
    free((void *)s->bytes.data);
}

/* What Windows shows for the page at `rva` of a freshly mapped image; 0 = reserved. */
static uint32_t windows_protect(const struct pe_image *image, uint32_t rva)
{
    struct pe_section s;
    uint32_t headers = (image->h.size_of_headers + 0xfff) & ~0xfffu;
    if (rva < headers)
        return READONLY;
    for (uint32_t i = 0; pe_section_at(image, i, &s); i++) {
        uint32_t size = s.virtual_size ? s.virtual_size : s.size_of_raw_data;
        if (rva >= s.virtual_address && rva - s.virtual_address < ((size + 0xfff) & ~0xfffu))
            return windows_table[!!(s.characteristics & IMAGE_SCN_MEM_SHARED)]
                                [!!(s.characteristics & IMAGE_SCN_MEM_EXECUTE)]
                                [!!(s.characteristics & IMAGE_SCN_MEM_WRITE)]
                                [!!(s.characteristics & IMAGE_SCN_MEM_READ)];
    }
    return 0;
}

static void check_query(const struct sample *s, uint32_t rva, uint32_t expected)
{
    struct peldr_region r;
    assert_int_equal(peldr_query(s->info.base + rva, &r), 0);
    assert_int_equal(r.protect, expected);
    assert_int_equal(r.state, expected ? COMMIT : RESERVE);
    assert_int_equal(r.type, IMAGE);
    assert_int_equal(r.allocation_protect, EXECUTE_WRITECOPY);
    assert_int_equal(r.allocation_base, s->info.base);
    assert_true(r.address <= s->info.base + rva && s->info.base + rva < r.address + r.size);
}

/* `written`: RVA of the one page that was written, or UINT32_MAX. */
static void check_table(const struct sample *s, uint32_t written)
{
    struct peldr_region r;
    uint32_t cursor = 0, next = 0;
    while (peldr_next_region(s->module, &cursor, &r) > 0) {
        assert_int_equal(r.rva, next);
        for (uint32_t rva = r.rva; rva < r.rva + r.size; rva += 0x1000) {
            uint32_t expected = windows_protect(&s->image, rva);
            assert_int_equal(r.initial_protect, expected);
            if (rva == written)
                expected = expected == WRITECOPY ? READWRITE : EXECUTE_READWRITE;
            assert_int_equal(r.protect, expected);
            check_query(s, rva, expected);
        }
        next = r.rva + (uint32_t)r.size;
    }
    assert_int_equal(next, s->info.size);
}

static void write_to_data(struct sample *s)
{
    struct pe_section data;
    for (uint32_t i = 0; pe_section_at(&s->image, i, &data); i++)
        if (windows_protect(&s->image, data.virtual_address) == WRITECOPY) {
            volatile char *page = (volatile char *)(uintptr_t)(s->info.base + data.virtual_address);
            page[1] = (char)(page[1] + 1);
            check_table(s, data.virtual_address);
            return;
        }
}

static void test_region_tables(void **state)
{
    for (const char *const *set = sample_sets; *set; set++)
        for (char *const *name = sample_dlls(*set); *name; name++) {
            struct sample s;
            struct peldr_relocation relocation;
            sample_open(*set, *name, &s);
            assert_int_equal(peldr_relocation(s.module, &relocation), 0);
            /* A moved image (its base was taken) has written pages of its own: not this test. */
            if (relocation.pages_dirtied == 0) {
                check_table(&s, UINT32_MAX);
                write_to_data(&s);
            }
            sample_close(&s);
        }
}

/* Pages with at least one fixup, from the file alone. */
static uint32_t pages_with_fixups(const struct pe_image *image, uint8_t *pages)
{
    struct pe_fixup_iter it;
    struct pe_fixup fixup;
    uint32_t count = 0;
    if (!pe_fixups(image, &it))
        return 0;
    while (pe_fixup_next(&it, &fixup) > 0) {
        uint32_t width = fixup.type == 10 ? 8 : fixup.type == 3 ? 4 : 0;
        for (uint32_t k = 0; k < width; k++) {
            count += !pages[(fixup.rva + k) / 0x1000];
            pages[(fixup.rva + k) / 0x1000] = 1;
        }
    }
    return count;
}

/* Private are the pages with fixups and no others; with the cache none, since every process that
 * moves the image has the same pages. */
static void check_private_pages(const char *set, bool cached)
{
    struct sample left, right;
    struct peldr_relocation relocation;
    struct peldr_region r;
    uint32_t cursor = 0, expected, total = 0;
    uint8_t *pages;
    sample_open(set, "left.dll", &left);
    sample_open(set, "right.dll", &right);
    assert_int_equal(left.info.preferred_base, right.info.preferred_base);
    assert_int_not_equal(right.info.base, right.info.preferred_base);
    assert_int_equal(right.info.base % 0x10000, 0);
    pages = calloc(right.info.size / 0x1000, 1);
    expected = pages_with_fixups(&right.image, pages);
    assert_true(expected > 1);
    assert_int_equal(peldr_relocation(right.module, &relocation), 0);
    assert_string_equal(relocation.outcome, "applied");
    assert_int_equal(relocation.pages_dirtied, expected);
    while (peldr_next_region(right.module, &cursor, &r) > 0) {
        uint32_t fixed_up = 0;
        for (uint32_t rva = r.rva; rva < r.rva + r.size; rva += 0x1000)
            fixed_up += pages[rva / 0x1000];
        assert_int_equal(r.pages_private, cached ? 0 : fixed_up);
        total += (uint32_t)r.pages_private;
    }
    assert_int_equal(total, cached ? 0 : expected);
    assert_true(total < right.info.size / 0x1000);
    free(pages);
    sample_close(&right);
    sample_close(&left);
}

static void test_private_pages_after_relocation(void **state)
{
    for (const char *const *set = sample_sets; *set; set++)
        if (sample_dlls(*set)[0]) {
            assert_int_equal(peldr_set_cache("off", 0), 0);
            check_private_pages(*set, false);
            assert_int_equal(peldr_set_cache(tempdir_path("cache"), 0), 0);
            check_private_pages(*set, true);
            check_private_pages(*set, true); /* now it is there */
        }
}

static int setup(void **state)
{
    return tempdir_create();
}

static int teardown(void **state)
{
    peldr_set_cache("off", 0);
    return tempdir_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_region_tables),
        cmocka_unit_test(test_private_pages_after_relocation),
    };
    setenv("PELDR_CACHE", "off", 1); /* relocated for this process alone */
    return cmocka_run_group_tests(tests, setup, teardown);
}
