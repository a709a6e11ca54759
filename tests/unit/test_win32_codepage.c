/*
 * Code pages, comparison, case and character types with Windows's documented results.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "tests/unit/win32_fn.h"

K32(MultiByteToWideChar, INT, UINT page, DWORD flags, const char *in, INT length, WCHAR *out,
    INT size)
K32(WideCharToMultiByte, INT, UINT page, DWORD flags, const WCHAR *in, INT length, char *out,
    INT size, const char *fallback, BOOL *used)
K32(IsValidCodePage, BOOL, UINT page)
K32(GetACP, UINT, void)
K32(GetCPInfo, BOOL, UINT page, void *info)
K32(GetStringTypeW, BOOL, DWORD kind, const WCHAR *in, INT length, WORD *out)
K32(LCMapStringW, INT, LCID locale, DWORD flags, const WCHAR *in, INT in_length, WCHAR *out,
    INT size)
K32(LCMapStringA, INT, LCID locale, DWORD flags, const char *in, INT in_length, char *out, INT size)
K32(CompareStringW, INT, LCID locale, DWORD flags, const WCHAR *a, INT na, const WCHAR *b, INT nb)
K32(CompareStringOrdinal, INT, const WCHAR *a, INT na, const WCHAR *b, INT nb, BOOL ignore_case)
K32(lstrcmpiA, INT, const char *a, const char *b)
K32(lstrcmpW, INT, const WCHAR *a, const WCHAR *b)
K32(lstrcpynA, char *, char *out, const char *in, INT size)
K32(lstrlenW, INT, const WCHAR *s)

#define UTF8 65001

static void test_length_rules(void **state)
{
    WCHAR out[16];
    assert_int_equal(MultiByteToWideChar(1252, 0, "abc", -1, NULL, 0), 4); /* the NUL counts */
    assert_int_equal(MultiByteToWideChar(1252, 0, "abc", 2, NULL, 0), 2);
    assert_int_equal(MultiByteToWideChar(1252, 0, "abc", -1, out, 16), 4);
    assert_wide_equal(out, u"abc");
    assert_fails(MultiByteToWideChar(1252, 0, "abc", -1, out, 3), ERROR_INSUFFICIENT_BUFFER);
    assert_fails(MultiByteToWideChar(1252, 0, "abc", 0, out, 3), ERROR_INVALID_PARAMETER);
    assert_fails(MultiByteToWideChar(1252, 0, NULL, 3, out, 3), ERROR_INVALID_PARAMETER);
    assert_fails(MultiByteToWideChar(1252, 0, "abc", 3, NULL, 3), ERROR_INVALID_PARAMETER);
    assert_fails(MultiByteToWideChar(12345, 0, "abc", 3, out, 3), ERROR_INVALID_PARAMETER);
    assert_fails(MultiByteToWideChar(1252, 0x100, "abc", 3, out, 3), ERROR_INVALID_FLAGS);
    assert_fails(MultiByteToWideChar(UTF8, 1, "abc", 3, out, 3), ERROR_INVALID_FLAGS);
}

static void test_single_byte_pages(void **state)
{
    WCHAR wide[8];
    char narrow[8];
    BOOL used = TRUE;
    assert_int_equal(MultiByteToWideChar(1252, 0, "\x80\xE4\x81", 3, wide, 8), 3);
    assert_int_equal(wide[0], 0x20AC);
    assert_int_equal(wide[1], 0xE4);
    assert_int_equal(wide[2], 0x81); /* unassigned bytes are C1 controls */
    assert_int_equal(MultiByteToWideChar(437, 0, "\x84\xC9", 2, wide, 8), 2);
    assert_int_equal(wide[0], 0xE4);
    assert_int_equal(wide[1], 0x2554);
    assert_int_equal(WideCharToMultiByte(0, 0, u"\u20AC\u00E4", 2, narrow, 8, NULL, &used), 2);
    assert_memory_equal(narrow, "\x80\xE4", 2);
    assert_false(used);
    assert_int_equal(WideCharToMultiByte(1252, 0, u"a\u4E2Db", 3, narrow, 8, "#", &used), 3);
    assert_memory_equal(narrow, "a#b", 3);
    assert_true(used);
    assert_int_equal(WideCharToMultiByte(1252, 0, u"\u4E2D", 1, narrow, 8, NULL, NULL), 1);
    assert_int_equal(narrow[0], '?');
}

static void test_utf8(void **state)
{
    WCHAR wide[8];
    char narrow[16];
    BOOL used;
    assert_int_equal(MultiByteToWideChar(UTF8, 0, "\xC3\xA4\xF0\x9F\x98\x80", 6, wide, 8), 3);
    assert_int_equal(wide[0], 0xE4);
    assert_int_equal(wide[1], 0xD83D);
    assert_int_equal(wide[2], 0xDE00);
    assert_int_equal(WideCharToMultiByte(UTF8, 0, wide, 3, narrow, 16, NULL, NULL), 6);
    assert_memory_equal(narrow, "\xC3\xA4\xF0\x9F\x98\x80", 6);
    /* A default character makes no sense for UTF-8. */
    assert_fails(WideCharToMultiByte(UTF8, 0, wide, 3, narrow, 16, "?", NULL),
                 ERROR_INVALID_PARAMETER);
    assert_fails(WideCharToMultiByte(UTF8, 0, wide, 3, narrow, 16, NULL, &used),
                 ERROR_INVALID_PARAMETER);
    /* A character that does not fit whole is not begun. */
    assert_fails(WideCharToMultiByte(UTF8, 0, wide, 3, narrow, 5, NULL, NULL),
                 ERROR_INSUFFICIENT_BUFFER);
}

static void test_ill_formed_utf8(void **state)
{
    WCHAR wide[8];
    /* One U+FFFD for each maximal subpart (Unicode, table 3-8). */
    static const struct {
        const char *bytes;
        int count;
    } rows[] = {{"\xC0\xAF", 2}, {"\xE1\x80", 1}, {"\xED\xA0\x80", 3}, {"\xF0\x90\x80", 1},
                {"\xF5", 1},     {"\x80", 1},     {"\xC3", 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        int length = (int)strlen(rows[i].bytes);
        assert_int_equal(MultiByteToWideChar(UTF8, 0, rows[i].bytes, length, wide, 8),
                         rows[i].count);
        for (int k = 0; k < rows[i].count; k++)
            assert_int_equal(wide[k], 0xFFFD);
        assert_fails(MultiByteToWideChar(UTF8, 8, rows[i].bytes, length, wide, 8),
                     ERROR_NO_UNICODE_TRANSLATION);
    }
}

static void test_lone_surrogates(void **state)
{
    char narrow[8];
    const WCHAR lone[] = {0xDC00};
    assert_int_equal(WideCharToMultiByte(UTF8, 0, lone, 1, narrow, 8, NULL, NULL), 3);
    assert_memory_equal(narrow, "\xEF\xBF\xBD", 3);
    assert_fails(WideCharToMultiByte(UTF8, 0x80, lone, 1, narrow, 8, NULL, NULL),
                 ERROR_NO_UNICODE_TRANSLATION);
}

static void test_page_questions(void **state)
{
    struct {
        UINT max;
        BYTE fallback[2], lead[12];
    } info;
    assert_int_equal(GetACP(), 1252);
    assert_true(IsValidCodePage(437));
    assert_true(IsValidCodePage(UTF8));
    assert_false(IsValidCodePage(0));
    assert_false(IsValidCodePage(12345));
    assert_true(GetCPInfo(UTF8, &info));
    assert_int_equal(info.max, 4);
    assert_true(GetCPInfo(0, &info));
    assert_int_equal(info.max, 1);
    assert_int_equal(info.fallback[0], '?');
    assert_fails(GetCPInfo(12345, &info), ERROR_INVALID_PARAMETER);
}

static void test_string_types(void **state)
{
    enum { UPPER = 1, LOWER = 2, DIGIT = 4, SPACE = 8, PUNCT = 0x10, CNTRL = 0x20, BLANK = 0x40 };
    enum { XDIGIT = 0x80, ALPHA = 0x100, DEFINED = 0x200 };
    WORD type[8];
    assert_true(GetStringTypeW(1, u"Az9 \t!\u00E4G", 8, type));
    assert_int_equal(type[0], UPPER | XDIGIT | ALPHA | DEFINED);
    assert_int_equal(type[1], LOWER | ALPHA | DEFINED);
    assert_int_equal(type[2], DIGIT | XDIGIT | DEFINED);
    assert_int_equal(type[3], SPACE | BLANK | DEFINED);
    assert_int_equal(type[4], SPACE | CNTRL | BLANK | DEFINED);
    assert_int_equal(type[5], PUNCT | DEFINED);
    assert_int_equal(type[6], LOWER | ALPHA | DEFINED);
    assert_int_equal(type[7], UPPER | ALPHA | DEFINED);
    assert_fails(GetStringTypeW(3, u"a", 1, type), ERROR_INVALID_PARAMETER);
}

static void test_case_mapping(void **state)
{
    WCHAR wide[16];
    char narrow[16];
    assert_int_equal(LCMapStringW(0x409, 0x200, u"stra\u00DFe \u00E4\u03B1", -1, wide, 16), 10);
    assert_wide_equal(wide, u"STRA\u00DFE \u00C4\u0391");
    assert_int_equal(LCMapStringW(0x409, 0x100, u"ABC", 3, NULL, 0), 3);
    assert_int_equal(LCMapStringA(0x409, 0x100, "HELLO \xC4", -1, narrow, 16), 8);
    assert_string_equal(narrow, "hello \xE4");
    assert_fails(LCMapStringW(0x409, 0x300, u"a", 1, wide, 16), ERROR_INVALID_FLAGS);
    assert_fails(LCMapStringW(0x409, 0x200, u"abc", 3, wide, 2), ERROR_INSUFFICIENT_BUFFER);
    assert_fails(LCMapStringW(0x409, 0x200, NULL, 3, wide, 2), ERROR_INVALID_PARAMETER);
}

static void test_comparison(void **state)
{
    enum { LESS = 1, EQUAL, GREATER };
    assert_int_equal(CompareStringW(0x409, 0, u"abc", -1, u"abd", -1), LESS);
    assert_int_equal(CompareStringW(0x409, 1, u"ABC", -1, u"abc", -1), EQUAL);
    assert_int_equal(CompareStringW(0x409, 0, u"abc", -1, u"ABC", -1), LESS);
    /* Letters decide before case does. */
    assert_int_equal(CompareStringW(0x409, 0, u"Apple", -1, u"banana", -1), LESS);
    assert_int_equal(CompareStringW(0x409, 0, u"ab", 2, u"abc", 3), LESS);
    assert_fails(CompareStringW(0x409, 0, NULL, 1, u"a", 1), ERROR_INVALID_PARAMETER);
    assert_int_equal(CompareStringOrdinal(u"B", 1, u"a", 1, FALSE), LESS);
    assert_int_equal(CompareStringOrdinal(u"B", 1, u"a", 1, TRUE), GREATER);
    assert_true(lstrcmpiA("Hello", "hELLO") == 0);
    assert_true(lstrcmpW(u"a", u"b") < 0);
}

static void test_lstr(void **state)
{
    char out[8] = "xxxxxxx";
    assert_ptr_equal(lstrcpynA(out, "hello", 4), out);
    assert_string_equal(out, "hel");
    assert_int_equal(lstrlenW(NULL), 0);
    assert_int_equal(lstrlenW(u"four"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_length_rules),
        cmocka_unit_test(test_single_byte_pages),
        cmocka_unit_test(test_utf8),
        cmocka_unit_test(test_ill_formed_utf8),
        cmocka_unit_test(test_lone_surrogates),
        cmocka_unit_test(test_page_questions),
        cmocka_unit_test(test_string_types),
        cmocka_unit_test(test_case_mapping),
        cmocka_unit_test(test_comparison),
        cmocka_unit_test(test_lstr),
    };
    return cmocka_run_group_tests(tests, win32_test_setup, NULL);
}
