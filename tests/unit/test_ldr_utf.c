/*
 * UTF conversions: well-formed text both ways, ill-formed text (Unicode Standard, table 3-8), and
 * buffers that are too small.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/ldr/path.h"

struct pair {
    const char *utf8;
    uint16_t utf16[8];
};

static const struct pair well_formed[] = {
    {"", {0}},
    {"abc", {'a', 'b', 'c'}},
    {"\x7F\xC2\x80\xDF\xBF", {0x7F, 0x80, 0x7FF}},
    {"\xE0\xA0\x80\xED\x9F\xBF\xEE\x80\x80\xEF\xBF\xBF", {0x800, 0xD7FF, 0xE000, 0xFFFF}},
    {"\xF0\x90\x80\x80", {0xD800, 0xDC00}},
    {"\xF4\x8F\xBF\xBF", {0xDBFF, 0xDFFF}},
    {"x\xF0\x9F\x98\x80y", {'x', 0xD83D, 0xDE00, 'y'}},
};

static size_t units(const uint16_t *text)
{
    size_t n = 0;
    while (text[n] != 0)
        n++;
    return n;
}

static void test_both_ways(void **state)
{
    for (size_t i = 0; i < sizeof(well_formed) / sizeof(well_formed[0]); i++) {
        const struct pair *p = &well_formed[i];
        uint16_t wide[16];
        char narrow[16];
        size_t n = units(p->utf16);
        assert_int_equal(ldr_utf8_to_utf16(p->utf8, strlen(p->utf8), wide, 16), n);
        assert_memory_equal(wide, p->utf16, (n + 1) * 2);
        assert_int_equal(ldr_utf16_to_utf8(p->utf16, n, narrow, 16), strlen(p->utf8));
        assert_string_equal(narrow, p->utf8);
    }
}

/* One U+FFFD for each maximal ill-formed part. */
static const struct pair ill_formed[] = {
    {"\x80", {0xFFFD}},
    {"\xC0\xAF", {0xFFFD, 0xFFFD}},                         /* overlong "/" */
    {"\xE0\x80\xAF", {0xFFFD, 0xFFFD, 0xFFFD}},             /* overlong "/" */
    {"\xED\xA0\x80", {0xFFFD, 0xFFFD, 0xFFFD}},             /* a surrogate */
    {"\xF4\x90\x80\x80", {0xFFFD, 0xFFFD, 0xFFFD, 0xFFFD}}, /* above U+10FFFF */
    {"\xFF\xFE", {0xFFFD, 0xFFFD}},
    {"a\xE2\x82", {'a', 0xFFFD}}, /* cut short at the end */
    {"\xE2\x82z", {0xFFFD, 'z'}}, /* cut short in the middle */
    {"\xF0\x9F\x98\xC3\xA9", {0xFFFD, 0xE9}},
};

static void test_ill_formed_utf8(void **state)
{
    for (size_t i = 0; i < sizeof(ill_formed) / sizeof(ill_formed[0]); i++) {
        const struct pair *p = &ill_formed[i];
        uint16_t wide[16];
        size_t n = units(p->utf16);
        assert_int_equal(ldr_utf8_to_utf16(p->utf8, strlen(p->utf8), wide, 16), n);
        assert_memory_equal(wide, p->utf16, (n + 1) * 2);
    }
}

static void test_lone_surrogates(void **state)
{
    static const uint16_t wide[] = {0xD83D, 'a', 0xDE00, 0xD83D};
    char narrow[16];
    assert_int_equal(ldr_utf16_to_utf8(wide, 4, narrow, 16), 10);
    assert_string_equal(narrow, "\xEF\xBF\xBD"
                                "a\xEF\xBF\xBD\xEF\xBF\xBD");
}

/* Truncation falls between characters, and the length says what was needed. */
static void test_small_buffers(void **state)
{
    const char *text = "a\xF0\x9F\x98\x80z";
    uint16_t wide[4] = {9, 9, 9, 9};
    char narrow[6];
    assert_int_equal(ldr_utf8_to_utf16(text, 6, NULL, 0), 4);
    assert_int_equal(ldr_utf8_to_utf16(text, 6, wide, 3), 4);
    assert_int_equal(wide[0], 'a');
    assert_int_equal(wide[1], 0);
    assert_int_equal(wide[3], 9);
    static const uint16_t in[] = {'a', 0xD83D, 0xDE00, 'z'};
    memset(narrow, 'x', sizeof(narrow));
    assert_int_equal(ldr_utf16_to_utf8(in, 4, narrow, 4), 6);
    assert_memory_equal(narrow, "a\0xxxx", 6);
    assert_int_equal(ldr_utf16_to_utf8(in, 4, narrow, 6), 6);
    assert_memory_equal(narrow, "a\xF0\x9F\x98\x80\0", 6);
}

static void test_embedded_nul(void **state)
{
    uint16_t wide[4];
    assert_int_equal(ldr_utf8_to_utf16("a\0b", 3, wide, 4), 3);
    assert_int_equal(wide[1], 0);
    assert_int_equal(wide[2], 'b');
}

static void test_casecmp(void **state)
{
    assert_int_equal(ldr_casecmp("KERNEL32.dll", "kernel32.DLL"), 0);
    assert_true(ldr_casecmp("a", "B") < 0);
    assert_true(ldr_casecmp("ab", "A") > 0);
    assert_true(ldr_casecmp("", "a") < 0);
    assert_true(ldr_casecmp("a[", "A{") < 0); /* only letters fold */
    assert_true(ldr_casecmp("\xC3\x84", "\xC3\xA4") != 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_both_ways),       cmocka_unit_test(test_ill_formed_utf8),
        cmocka_unit_test(test_lone_surrogates), cmocka_unit_test(test_small_buffers),
        cmocka_unit_test(test_embedded_nul),    cmocka_unit_test(test_casecmp),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
