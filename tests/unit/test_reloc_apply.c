/*
 * Applying: blocks are read as they are reached, pages can be withheld, and nothing is written when
 * nothing is to be done.
 */
#include "tests/unit/reloc_image.h"

static uint32_t read32(const struct test_image *t, uint32_t rva)
{
    uint32_t value = 0;
    assert_true(pe_rva_u32(&t->mapped, rva, &value));
    return value;
}

static struct test_image two_pages(void)
{
    static const uint8_t data[0x2000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    pebuild_fixup(b, 0x1010, 3);
    pebuild_fixup(b, 0x1ffe, 3);
    pebuild_fixup(b, 0x2010, 3);
    pebuild_relocs(b);
    return test_image_make(b);
}

static void test_nothing_to_do_writes_nothing(void **state)
{
    struct test_image t = two_pages();
    uint8_t *before = malloc(t.size);
    struct reloc_plan plan;
    memcpy(before, t.bytes, t.size);
    assert_int_equal(mprotect(t.bytes, t.size, PROT_READ), 0); /* a write would crash */
    assert_int_equal(reloc_apply(&t.mapped, 0, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(plan.outcome, RELOC_NOT_NEEDED);
    assert_memory_equal(before, t.bytes, t.size);
    free(before);
    test_image_free(&t);
}

static void test_only_fields_change(void **state)
{
    struct test_image t = two_pages();
    uint8_t *expected = malloc(t.size);
    struct reloc_plan plan;
    memcpy(expected, t.bytes, t.size);
    pebuild_put32(expected, 0x1010, 0x40000);
    pebuild_put32(expected, 0x1ffe, 0x40000);
    pebuild_put32(expected, 0x2010, 0x40000);
    assert_int_equal(reloc_apply(&t.mapped, 0x40000, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
    assert_memory_equal(expected, t.bytes, t.size);
    free(expected);
    test_image_free(&t);
}

/* `user` points to the page that must not be written. */
static bool outside_page(void *user, uint32_t rva, uint32_t len)
{
    uint32_t page = *(const uint32_t *)user;
    return rva + len <= page || rva >= page + 0x1000;
}

static void test_withheld_pages(void **state)
{
    struct test_image t = two_pages();
    struct reloc_plan plan;
    uint32_t page = 0x2000;
    assert_int_equal(reloc_apply(&t.mapped, 0x40000, outside_page, &page, &plan, NULL),
                     STATUS_SUCCESS);
    assert_int_equal(plan.fixups_total, 3);
    assert_int_equal(plan.pages_dirtied, 1);
    assert_int_equal(read32(&t, 0x1010), 0x40000);
    assert_int_equal(read32(&t, 0x1ffe), 0); /* it would reach into the page */
    assert_int_equal(read32(&t, 0x2010), 0);
    test_image_free(&t);
}

/*
 * "Blocks are applied in order and re-read from memory: a block may change the size of the next"
 * (behaviours). Here the first block's HIGH fixup adds 1 to the upper half of the second one's
 * PageRVA.
 */
static void test_a_block_may_patch_the_next(void **state)
{
    const uint32_t reloc = 0x3000;
    const uint16_t words[] = {
        0x3000, 0, 12, 0, 1 << 12 | 14,   0, /* HIGH on the word at +14, its PageRVA's upper half */
        0x1000, 0, 12, 0, 3 << 12 | 0x20, 0,
    };
    static const uint8_t data[0x2000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    test_reloc_section(b, words, 12);
    pebuild_section(b, ".bss", PEBUILD_BSS, NULL, 0, 0x20000);
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    assert_int_equal(t.mapped.h.directory[IMAGE_DIRECTORY_ENTRY_BASERELOC].rva, reloc);
    assert_int_equal(reloc_apply(&t.mapped, 0x10000, NULL, NULL, &plan, NULL), STATUS_SUCCESS);
    assert_int_equal(read32(&t, 0x1020), 0);
    assert_int_equal(read32(&t, 0x11020), 0x10000);
    test_image_free(&t);
}

static void test_refusal_in_the_middle(void **state)
{
    const uint16_t words[] = {0x1000, 0, 12, 0, 3 << 12 | 0x20, 12 << 12};
    static const uint8_t data[0x1000];
    struct pebuild *b = pebuild_new(PEBUILD_DLL);
    pebuild_section(b, ".data", PEBUILD_DATA, data, sizeof data, 0);
    test_reloc_section(b, words, 6);
    struct test_image t = test_image_make(b);
    struct reloc_plan plan;
    struct pe_error err = {0};
    assert_int_equal(reloc_apply(&t.mapped, 0x10000, NULL, NULL, &plan, &err),
                     (nt_status)STATUS_INVALID_IMAGE_FORMAT);
    assert_int_equal(plan.outcome, RELOC_REFUSED);
    assert_int_equal(plan.fixups_total, 0);
    assert_non_null(strstr(err.text, "TYPE_12"));
    assert_non_null(strstr(err.text, "0x1000"));
    assert_non_null(strstr(err.text, "i386"));
    test_image_free(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_to_do_writes_nothing),
        cmocka_unit_test(test_only_fields_change),
        cmocka_unit_test(test_withheld_pages),
        cmocka_unit_test(test_a_block_may_patch_the_next),
        cmocka_unit_test(test_refusal_in_the_middle),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
