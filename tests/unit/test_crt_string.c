/*
 * Strings, wide strings, character classes and numbers of the C runtime.
 */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "crt_function.h"
#include "loader/win32/crt/internal.h"

static void comparisons(void **state)
{
    FUNCTION(crt_string_family, strcmp, int, (const char *, const char *));
    FUNCTION(crt_string_family, _stricmp, int, (const char *, const char *));
    FUNCTION(crt_string_family, _strnicmp, int, (const char *, const char *, size_t));
    assert_int_equal(strcmp_("a", "b"), -1); /* msvcrt gives -1, 0, 1 */
    assert_int_equal(strcmp_("b", "a"), 1);
    assert_int_equal(strcmp_("\x80", "a"), 1);
    assert_int_equal(_stricmp_("HeLLo", "hEllO"), 0);
    assert_true(_stricmp_("a", "B") < 0);
    assert_true(_stricmp_("_", "A") < 0); /* lower case is compared: '_' before 'a' */
    assert_int_equal(_strnicmp_("abcX", "ABCy", 3), 0);
    assert_int_equal(_stricmp_(NULL, "a"), INT_MAX);
    assert_int_equal(crt_thread()->error, CRT_EINVAL);
}

static void secure_copies(void **state)
{
    FUNCTION(crt_string_family, strcpy_s, int, (char *, size_t, const char *));
    FUNCTION(crt_string_family, strncpy_s, int, (char *, size_t, const char *, size_t));
    FUNCTION(crt_string_family, strcat_s, int, (char *, size_t, const char *));
    FUNCTION(crt_string_family, strncat_s, int, (char *, size_t, const char *, size_t));
    char out[6] = "xxxxx";
    assert_int_equal(strcpy_s_(out, 6, "hello"), 0);
    assert_string_equal(out, "hello");
    assert_int_equal(strcpy_s_(out, 5, "hello"), CRT_ERANGE);
    assert_string_equal(out, "");
    assert_int_equal(strncpy_s_(out, 6, "hello", 2), 0);
    assert_string_equal(out, "he");
    assert_int_equal(strncpy_s_(out, 4, "hello", SIZE_MAX), CRT_STRUNCATE);
    assert_string_equal(out, "hel");
    assert_int_equal(strcat_s_(out, 6, "lo"), 0);
    assert_string_equal(out, "hello");
    assert_int_equal(strcat_s_(out, 6, "!"), CRT_ERANGE);
    assert_string_equal(out, "");
    assert_int_equal(strncat_s_(out, 6, "abcdefgh", 3), 0);
    assert_string_equal(out, "abc");
    assert_int_equal(strcpy_s_(NULL, 6, "a"), CRT_EINVAL);
}

static void tokens(void **state)
{
    FUNCTION(crt_string_family, strtok, char *, (char *, const char *));
    FUNCTION(crt_string_family, _strrev, char *, (char *));
    FUNCTION(crt_string_family, _strset, char *, (char *, int));
    FUNCTION(crt_string_family, strncpy, char *, (char *, const char *, size_t));
    char text[] = ",a,,b c", padded[6];
    assert_string_equal(strtok_(text, ","), "a");
    assert_string_equal(strtok_(NULL, ", "), "b");
    assert_string_equal(strtok_(NULL, ", "), "c");
    assert_null(strtok_(NULL, ", "));
    char word[] = "abc";
    assert_string_equal(_strrev_(word), "cba");
    assert_string_equal(_strset_(word, 'z'), "zzz");
    memset(padded, '~', sizeof(padded));
    strncpy_(padded, "ab", 5);
    assert_memory_equal(padded, "ab\0\0\0~", 6);
}

static bool wide_is(const crt_wchar *w, const char *s)
{
    for (; *s != 0 && *w == (unsigned char)*s; w++, s++) {
    }
    return *w == (unsigned char)*s;
}

static void wide_strings(void **state)
{
    FUNCTION(crt_wstring_family, wcslen, size_t, (const crt_wchar *));
    FUNCTION(crt_wstring_family, wcsstr, crt_wchar *, (const crt_wchar *, const crt_wchar *));
    FUNCTION(crt_wstring_family, wcsrchr, crt_wchar *, (const crt_wchar *, crt_wchar));
    FUNCTION(crt_wstring_family, _wcsicmp, int, (const crt_wchar *, const crt_wchar *));
    FUNCTION(crt_wstring_family, wcscpy_s, int, (crt_wchar *, size_t, const crt_wchar *));
    FUNCTION(crt_wstring_family, wcsncpy_s, int, (crt_wchar *, size_t, const crt_wchar *, size_t));
    FUNCTION(crt_wstring_family, _wcsupr, crt_wchar *, (crt_wchar *));
    static const crt_wchar abcab[] = {'a', 'b', 'c', 'a', 'b', 0}, ca[] = {'c', 'a', 0};
    static const crt_wchar upper[] = {'A', 'B', 'C', 'A', 'B', 0}, none[] = {0};
    crt_wchar out[6];
    assert_int_equal(wcslen_(abcab), 5);
    assert_ptr_equal(wcsstr_(abcab, ca), abcab + 2);
    assert_ptr_equal(wcsstr_(abcab, none), abcab);
    assert_null(wcsstr_(ca, abcab));
    assert_ptr_equal(wcsrchr_(abcab, 'a'), abcab + 3);
    assert_null(wcsrchr_(abcab, 'x'));
    assert_ptr_equal(wcsrchr_(abcab, 0), abcab + 5);
    assert_int_equal(_wcsicmp_(abcab, upper), 0);
    assert_int_equal(wcscpy_s_(out, 6, abcab), 0);
    assert_true(wide_is(_wcsupr_(out), "ABCAB"));
    assert_int_equal(wcscpy_s_(out, 5, abcab), CRT_ERANGE);
    assert_int_equal(out[0], 0);
    assert_int_equal(wcsncpy_s_(out, 4, abcab, SIZE_MAX), CRT_STRUNCATE);
    assert_true(wide_is(out, "abc"));
}

static void classes(void **state)
{
    FUNCTION(crt_ctype_family, isalpha, int, (int));
    FUNCTION(crt_ctype_family, isspace, int, (int));
    FUNCTION(crt_ctype_family, isprint, int, (int));
    FUNCTION(crt_ctype_family, isxdigit, int, (int));
    FUNCTION(crt_ctype_family, __pctype_func, const uint16_t *, (void));
    FUNCTION(crt_ctype_family, iswalpha, int, (crt_wchar));
    FUNCTION(crt_ctype_family, iswctype, int, (crt_wchar, uint16_t));
    FUNCTION(crt_ctype_family, toupper, int, (int));
    assert_true(isalpha_('z') && !isalpha_('1') && !isalpha_(-1) && !isalpha_(300));
    assert_true(isspace_('\t') && isspace_(' ') && !isspace_('a'));
    assert_true(isprint_(' ') && !isprint_('\t') && !isprint_(127));
    assert_true(isxdigit_('f') && !isxdigit_('g'));
    assert_int_equal(__pctype_func_()[-1], 0);
    assert_int_equal(__pctype_func_()['A'], 0x181);
    assert_int_equal(__pctype_func_()['5'], 0x84);
    assert_int_equal(__pctype_func_()[' '], 0x48);
    assert_true(iswalpha_(0xE9) && !iswalpha_('5'));
    assert_true(iswctype_('5', 4) && !iswctype_('x', 4));
    assert_int_equal(toupper_('q'), 'Q');
    assert_int_equal(toupper_(0xE9), 0xE9); /* the "C" locale */
}

static void text_to_integers(void **state)
{
    FUNCTION(crt_number_family, strtol, int32_t, (const char *, char **, int));
    FUNCTION(crt_number_family, strtoul, uint32_t, (const char *, char **, int));
    FUNCTION(crt_number_family, _strtoi64, int64_t, (const char *, char **, int));
    FUNCTION(crt_number_family, _strtoui64, uint64_t, (const char *, char **, int));
    FUNCTION(crt_number_family, wcstol, int32_t, (const crt_wchar *, crt_wchar **, int));
    const char *text = "  -0x1fz";
    char *end;
    assert_int_equal(strtol_(text, &end, 0), -31);
    assert_ptr_equal(end, text + 7);
    assert_int_equal(strtol_("0x", &end, 16), 0);
    assert_string_equal(end, "x");
    assert_int_equal(strtol_("zz", &end, 36), 35 * 36 + 35);
    crt_set_errno(0);
    assert_int_equal(strtol_("2147483647", NULL, 10), INT32_MAX);
    assert_int_equal(crt_thread()->error, 0);
    assert_int_equal(strtol_("2147483648", NULL, 10), INT32_MAX); /* long has 32 bits */
    assert_int_equal(crt_thread()->error, CRT_ERANGE);
    assert_int_equal(strtol_("-2147483648", NULL, 10), INT32_MIN);
    assert_int_equal(strtol_("-99999999999999999999", NULL, 10), INT32_MIN);
    assert_int_equal(strtoul_("4294967295", NULL, 10), UINT32_MAX);
    assert_int_equal(strtoul_("4294967296", NULL, 10), UINT32_MAX);
    assert_int_equal(strtoul_("-1", NULL, 10), UINT32_MAX);
    assert_true(_strtoi64_("-9223372036854775808", NULL, 10) == INT64_MIN);
    assert_true(_strtoi64_("9223372036854775808", NULL, 10) == INT64_MAX);
    assert_true(_strtoui64_("18446744073709551615", NULL, 10) == UINT64_MAX);
    text = "none";
    assert_int_equal(strtol_(text, &end, 10), 0);
    assert_ptr_equal(end, text);
    static const crt_wchar wide[] = {'4', '2', '!', 0};
    crt_wchar *wide_end;
    assert_int_equal(wcstol_(wide, &wide_end, 10), 42);
    assert_ptr_equal(wide_end, wide + 2);
}

static void integers_to_text(void **state)
{
    FUNCTION(crt_number_family, _itoa, char *, (int, char *, int));
    FUNCTION(crt_number_family, _ultoa, char *, (uint32_t, char *, int));
    FUNCTION(crt_number_family, _i64toa, char *, (int64_t, char *, int));
    FUNCTION(crt_number_family, _itoa_s, int, (int, char *, size_t, int));
    FUNCTION(crt_number_family, _gcvt, char *, (double, int, char *));
    char out[72];
    assert_string_equal(_itoa_(-42, out, 10), "-42");
    assert_string_equal(_itoa_(-1, out, 16), "ffffffff");
    assert_string_equal(_itoa_(0, out, 2), "0");
    assert_string_equal(_ultoa_(0x80000000u, out, 10), "2147483648");
    assert_string_equal(_i64toa_(INT64_MIN, out, 10), "-9223372036854775808");
    assert_int_equal(_itoa_s_(1234, out, 5, 10), 0);
    assert_string_equal(out, "1234");
    assert_int_equal(_itoa_s_(12345, out, 5, 10), CRT_ERANGE);
    assert_string_equal(out, "");
    assert_string_equal(_gcvt_(1.5, 10, out), "1.5");
    assert_string_equal(_gcvt_(12, 10, out), "12.");
    assert_string_equal(_gcvt_(1e20, 5, out), "1.e+020");
}

static void text_to_doubles(void **state)
{
    FUNCTION(crt_number_family, strtod, double, (const char *, char **));
    FUNCTION(crt_number_family, wcstod, double, (const crt_wchar *, crt_wchar **));
    static const crt_wchar wide[] = {' ', '-', '2', '.', '5', 0x20AC, 0};
    char *end;
    crt_wchar *wide_end;
    assert_true(strtod_("1.5e3x", &end) == 1500);
    assert_string_equal(end, "x");
    crt_set_errno(0);
    assert_true(__builtin_isinf(strtod_("1e999", NULL)));
    assert_int_equal(crt_thread()->error, CRT_ERANGE);
    assert_true(wcstod_(wide, &wide_end) == -2.5);
    assert_ptr_equal(wide_end, wide + 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(comparisons),      cmocka_unit_test(secure_copies),
        cmocka_unit_test(tokens),           cmocka_unit_test(wide_strings),
        cmocka_unit_test(classes),          cmocka_unit_test(text_to_integers),
        cmocka_unit_test(integers_to_text), cmocka_unit_test(text_to_doubles),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
