/*
 * Page protections: the table of PE section characteristics (facts 1.1) and its way to the host.
 */
#include "tests/unit/mm_test.h"

/* Index: SHARED 8, EXECUTE 4, WRITE 2, READ 1; then after the first write to a page. */
static const struct {
    uint32_t initial, written;
} expected[16] = {
    {PAGE_NOACCESS, PAGE_NOACCESS},
    {PAGE_READONLY, PAGE_READONLY},
    {PAGE_WRITECOPY, PAGE_READWRITE},
    {PAGE_WRITECOPY, PAGE_READWRITE},
    {PAGE_EXECUTE, PAGE_EXECUTE},
    {PAGE_EXECUTE_READ, PAGE_EXECUTE_READ},
    {PAGE_EXECUTE_WRITECOPY, PAGE_EXECUTE_READWRITE},
    {PAGE_EXECUTE_WRITECOPY, PAGE_EXECUTE_READWRITE},
    {PAGE_NOACCESS, PAGE_NOACCESS},
    {PAGE_READONLY, PAGE_READONLY},
    {PAGE_READWRITE, PAGE_READWRITE},
    {PAGE_READWRITE, PAGE_READWRITE},
    {PAGE_EXECUTE, PAGE_EXECUTE},
    {PAGE_EXECUTE_READ, PAGE_EXECUTE_READ},
    {PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_READWRITE},
    {PAGE_EXECUTE_READWRITE, PAGE_EXECUTE_READWRITE},
};

static uint32_t characteristics_of(unsigned i)
{
    return (i & 8 ? IMAGE_SCN_MEM_SHARED : 0u) | (i & 4 ? IMAGE_SCN_MEM_EXECUTE : 0u) |
           (i & 2 ? IMAGE_SCN_MEM_WRITE : 0u) | (i & 1 ? IMAGE_SCN_MEM_READ : 0u);
}

/* Content and alignment bits must not matter. */
static void section_table(void **state)
{
    for (unsigned i = 0; i < 16; i++) {
        uint32_t plain = mm_protect_of_section(characteristics_of(i));
        uint32_t noisy = mm_protect_of_section(characteristics_of(i) | 0x02F000E0u);

        assert_int_equal(plain, expected[i].initial);
        assert_int_equal(noisy, plain);
        assert_int_equal(mm_protect_after_write(plain), expected[i].written);
    }
}

static void host_table(void **state)
{
    assert_int_equal(mm_prot_of_protect(PAGE_NOACCESS), PROT_NONE);
    assert_int_equal(mm_prot_of_protect(PAGE_READONLY), PROT_READ);
    assert_int_equal(mm_prot_of_protect(PAGE_READWRITE), PROT_READ | PROT_WRITE);
    assert_int_equal(mm_prot_of_protect(PAGE_WRITECOPY), PROT_READ | PROT_WRITE);
    assert_int_equal(mm_prot_of_protect(PAGE_EXECUTE_READ), PROT_READ | PROT_EXEC);
    assert_int_equal(mm_prot_of_protect(PAGE_EXECUTE_READWRITE),
                     PROT_READ | PROT_WRITE | PROT_EXEC);
    assert_int_equal(mm_prot_of_protect(PAGE_EXECUTE_WRITECOPY),
                     PROT_READ | PROT_WRITE | PROT_EXEC);
    assert_true(mm_prot_of_protect(PAGE_EXECUTE) & PROT_EXEC);
    assert_false(mm_prot_of_protect(PAGE_EXECUTE) & PROT_WRITE);
    assert_int_equal(mm_prot_of_protect(PAGE_READWRITE | PAGE_GUARD), PROT_NONE);
    assert_int_equal(mm_prot_of_protect(PAGE_READWRITE | PAGE_NOCACHE), PROT_READ | PROT_WRITE);
    assert_int_equal(mm_prot_of_protect(0), -1);
    assert_int_equal(mm_prot_of_protect(PAGE_READONLY | PAGE_READWRITE), -1);
}

static void validity(void **state)
{
    for (uint32_t bit = 1; bit <= 0x80; bit <<= 1)
        assert_true(mm_protect_valid(bit));
    assert_true(mm_protect_valid(PAGE_READWRITE | PAGE_GUARD));
    assert_true(mm_protect_valid(PAGE_READWRITE | PAGE_NOCACHE));
    assert_false(mm_protect_valid(0));
    assert_false(mm_protect_valid(PAGE_GUARD));
    assert_false(mm_protect_valid(PAGE_READONLY | PAGE_READWRITE));
    assert_false(mm_protect_valid(PAGE_NOACCESS | PAGE_GUARD));
    assert_false(mm_protect_valid(PAGE_READWRITE | PAGE_GUARD | PAGE_NOCACHE));
    assert_false(mm_protect_valid(PAGE_READWRITE | 0x800));
    assert_false(mm_protect_valid(PAGE_READWRITE | 0x80000000u));
}

/* Facts 1.4. */
static void virtual_protect_on_images(void **state)
{
    assert_int_equal(mm_protect_for_image(PAGE_READWRITE), PAGE_WRITECOPY);
    assert_int_equal(mm_protect_for_image(PAGE_EXECUTE_READWRITE), PAGE_EXECUTE_WRITECOPY);
    assert_int_equal(mm_protect_for_image(PAGE_READWRITE | PAGE_GUARD),
                     PAGE_WRITECOPY | PAGE_GUARD);
    assert_int_equal(mm_protect_for_image(PAGE_READONLY), PAGE_READONLY);
    assert_int_equal(mm_protect_for_image(PAGE_EXECUTE_READ), PAGE_EXECUTE_READ);
}

static void names(void **state)
{
    assert_string_equal(mm_protect_name(0), "0");
    assert_string_equal(mm_protect_name(PAGE_EXECUTE_WRITECOPY), "PAGE_EXECUTE_WRITECOPY");
    assert_string_equal(mm_protect_name(PAGE_READWRITE | PAGE_GUARD),
                        "PAGE_READWRITE | PAGE_GUARD");
    assert_string_equal(mm_protect_name(PAGE_READONLY | PAGE_WRITECOMBINE),
                        "PAGE_READONLY | PAGE_WRITECOMBINE");
    assert_string_equal(mm_protect_name(3), "invalid");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(section_table), cmocka_unit_test(host_table),
        cmocka_unit_test(validity),      cmocka_unit_test(virtual_protect_on_images),
        cmocka_unit_test(names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
