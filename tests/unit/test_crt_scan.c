/*
 * The scanf engine against Microsoft's scanf documents.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/win32/crt/scan.h"

static WINCDECL int scan(const char *text, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int stored = crt_scan_string(false, text, SIZE_MAX, format, CRT_SCAN_MSVCRT, args);
    win_va_end(args);
    return stored;
}

static WINCDECL int scan_modern(const char *text, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int stored = crt_scan_string(false, text, SIZE_MAX, format, CRT_SCAN_LEGACY_WIDE, args);
    win_va_end(args);
    return stored;
}

static WINCDECL int scan_secure(const char *text, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int stored =
        crt_scan_string(false, text, SIZE_MAX, format, CRT_SCAN_MSVCRT | CRT_SCAN_SECURE, args);
    win_va_end(args);
    return stored;
}

static WINCDECL int scan_part(const char *text, size_t size, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int stored = crt_scan_string(false, text, size, format, CRT_SCAN_MSVCRT, args);
    win_va_end(args);
    return stored;
}

static WINCDECL int scan_wide(const crt_wchar *text, const crt_wchar *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int stored = crt_scan_string(true, text, SIZE_MAX, format, CRT_SCAN_MSVCRT, args);
    win_va_end(args);
    return stored;
}

static void integers(void **state)
{
    int a = 0, b = 0, c = 0, d = 0;
    assert_int_equal(scan(" 12 -34 +5", "%d %d%d", &a, &b, &c), 3);
    assert_int_equal(a, 12);
    assert_int_equal(b, -34);
    assert_int_equal(c, 5);
    assert_int_equal(scan("ff 0xFf 17 0x1f", "%x %x %o %i", &a, &b, &c, &d), 4);
    assert_int_equal(a, 255);
    assert_int_equal(b, 255);
    assert_int_equal(c, 15);
    assert_int_equal(d, 31);
    assert_int_equal(scan("010 0 9", "%i %i %i", &a, &b, &c), 3);
    assert_int_equal(a, 8);
    assert_int_equal(b, 0);
    assert_int_equal(c, 9);
    assert_int_equal(scan("12345", "%2d%3d", &a, &b), 2); /* widths */
    assert_int_equal(a, 12);
    assert_int_equal(b, 345);
    assert_int_equal(scan("1,2", "%d,%d", &a, &b), 2);
    assert_int_equal(scan("1;2", "%d,%d", &a, &b), 1);
    assert_int_equal(scan("7 8", "%*d %d", &a), 1);
    assert_int_equal(a, 8);
}

static void sizes(void **state)
{
    struct {
        uint8_t value, guard;
    } byte = {0, 0xAA};
    struct {
        int16_t value, guard;
    } word = {0, 0x5555};
    struct {
        int32_t value, guard;
    } dword = {0, 0x55555555};
    int64_t qword = 0, other = 0;
    assert_int_equal(scan("200 -3 -4", "%hhu %hd %ld", &byte, &word, &dword), 3);
    assert_int_equal(byte.value, 200);
    assert_int_equal(byte.guard, 0xAA);
    assert_int_equal(word.value, -3);
    assert_int_equal(word.guard, 0x5555);
    assert_int_equal(dword.value, -4);
    assert_int_equal(dword.guard, 0x55555555); /* long has 32 bits */
    assert_int_equal(scan("1234567890123 -1", "%I64d %lld", &qword, &other), 2);
    assert_true(qword == INT64_C(1234567890123) && other == -1);
    void *pointer = NULL;
    assert_int_equal(scan("DEADBEEF", "%p", &pointer), 1);
    assert_true((uintptr_t)pointer == 0xDEADBEEF);
}

static void floating_point(void **state)
{
    float f = 0;
    double d = 0, e = 0;
    assert_int_equal(scan("1.5 -2.25e2 .5", "%f %lf %lg", &f, &d, &e), 3);
    assert_true(f == 1.5f && d == -225 && e == 0.5);
    assert_int_equal(scan("12.5.6", "%lf%lf", &d, &e), 2);
    assert_true(d == 12.5 && e == 0.6);
    assert_int_equal(scan("x", "%lf", &d), 0);
    assert_int_equal(scan_modern("inf 0x1p4", "%lf %lf", &d, &e), 2);
    assert_true(__builtin_isinf(d) && e == 16);
    assert_int_equal(scan("inf", "%lf", &d), 0); /* msvcrt knows digits only */
}

static void texts(void **state)
{
    char a[16], b[16];
    crt_wchar w[16];
    assert_int_equal(scan("  hello world", "%s %3s", a, b), 2);
    assert_string_equal(a, "hello");
    assert_string_equal(b, "wor");
    memset(a, '~', sizeof(a));
    assert_int_equal(scan("abcdef", "%c%3c", b, a), 2);
    assert_memory_equal(a, "bcd~", 4);
    assert_int_equal(scan("abc123", "%[a-z]%[^\n]", a, b), 2);
    assert_string_equal(a, "abc");
    assert_string_equal(b, "123");
    assert_int_equal(scan("]x-", "%[]x-]", a), 1);
    assert_string_equal(a, "]x-");
    assert_int_equal(scan("123", "%[a-z]", a), 0);
    assert_int_equal(scan("hey", "%S", w), 1);
    assert_true(w[0] == 'h' && w[2] == 'y' && w[3] == 0);
}

static void ends(void **state)
{
    int a = 0, n = -1;
    assert_int_equal(scan("", "%d", &a), -1);
    assert_int_equal(scan("   ", "%d", &a), -1);
    assert_int_equal(scan("x", "%d", &a), 0);
    assert_int_equal(scan("5", "%d %d", &a, &a), 1);
    assert_int_equal(scan("12 34", "%d%n", &a, &n), 1);
    assert_int_equal(n, 2);
    assert_int_equal(scan("50%", "%d%%", &a), 1);
    assert_int_equal(scan_part("12345", 3, "%d", &a), 1); /* _snscanf */
    assert_int_equal(a, 123);
}

static void secure(void **state)
{
    char a[8] = "old";
    int b = 0;
    assert_int_equal(scan_secure("abc 5", "%s %d", a, 8u, &b), 2);
    assert_string_equal(a, "abc");
    assert_int_equal(scan_secure("abcdefgh 5", "%s %d", a, 4u, &b), 0);
    assert_string_equal(a, "");
    assert_int_equal(scan_secure("abc", "%3c", a, 3u), 1);
    assert_memory_equal(a, "abc", 3);
}

static void wide_input(void **state)
{
    static const crt_wchar text[] = {'4', '2', ' ', 'h', 'i', 0};
    static const crt_wchar format[] = {'%', 'd', ' ', '%', 's', 0};
    static const crt_wchar narrow_format[] = {'%', 'd', ' ', '%', 'h', 's', 0};
    int a = 0;
    crt_wchar w[8] = {0};
    char n[8];
    assert_int_equal(scan_wide(text, format, &a, w), 2);
    assert_int_equal(a, 42);
    assert_true(w[0] == 'h' && w[1] == 'i' && w[2] == 0);
    assert_int_equal(scan_wide(text, narrow_format, &a, n), 2);
    assert_string_equal(n, "hi");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),   cmocka_unit_test(sizes), cmocka_unit_test(floating_point),
        cmocka_unit_test(texts),      cmocka_unit_test(ends),  cmocka_unit_test(secure),
        cmocka_unit_test(wide_input),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
