/*
 * The printf engine against what Windows's runtimes print (Microsoft's printf documents; the
 * special values are what msvcrt.dll is known to print).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "loader/win32/crt/format.h"

enum { MSVCRT = CRT_FORMAT_MSVCRT, UCRT = CRT_FORMAT_LEGACY_WIDE };

static int last_length;

/* Formats into a big buffer with the given options. */
static WINCDECL const char *narrow(unsigned options, const char *format, ...)
{
    static char out[4096];
    win_va_list args;
    memset(out, '~', sizeof(out));
    win_va_start(args, format);
    last_length = crt_format_buffer(false, out, sizeof(out), format, options, args);
    win_va_end(args);
    return out;
}

static WINCDECL const char *wide(unsigned options, const crt_wchar *format, ...)
{
    static crt_wchar out[256];
    static char ascii[256];
    win_va_list args;
    win_va_start(args, format);
    last_length = crt_format_buffer(true, out, CRT_COUNT(out), format, options, args);
    win_va_end(args);
    for (size_t i = 0; i < CRT_COUNT(ascii); i++) {
        ascii[i] = out[i] < 128 ? (char)out[i] : '?';
    }
    return ascii;
}

#define SAME(expected, ...)                                 \
    do {                                                    \
        assert_string_equal(narrow(__VA_ARGS__), expected); \
        assert_int_equal(last_length, strlen(expected));    \
    } while (0)

static void integers(void **state)
{
    SAME("0 -1 4294967295", MSVCRT, "%d %i %u", 0, -1, -1);
    SAME("ff FF 0xff 0XFF 377 0377", MSVCRT, "%x %X %#x %#X %o %#o", 255, 255, 255, 255, 255, 255);
    SAME("[   42] [42   ] [00042] [  +42] [ 42]", MSVCRT, "[%5d] [%-5d] [%05d] [%+5d] [% d]", 42,
         42, 42, 42, 42);
    SAME("[  007] [-00042] []", MSVCRT, "[%5.3d] [%06d] [%.0d]", 7, -42, 0);
    SAME("[   42]", MSVCRT, "[%0*.*d]", 5, 2, 42); /* a precision turns the zeros off */
    SAME("[42   ]", MSVCRT, "[%*d]", -5, 42);
    SAME("0", MSVCRT, "%#.0o", 0);
    SAME("-128 255", UCRT, "%hhd %hhu", 128, 255);
    SAME("-1 65535", MSVCRT, "%hd %hu", 65535, -1);
    SAME("%", MSVCRT, "%%");
}

static void sizes(void **state)
{
    SAME("1311768467463790320", MSVCRT, "%I64d", INT64_C(0x123456789abcdef0));
    SAME("1311768467463790320 7", MSVCRT, "%lld %d", INT64_C(0x123456789abcdef0), 7);
    SAME("123456789abcdef0 -5", UCRT, "%I64x %I32d", UINT64_C(0x123456789abcdef0), -5);
    /* long has 32 bits: the next argument is the next one */
    SAME("-1 2", MSVCRT, "%ld %d", (int32_t)-1, 2);
    SAME("9 8 7 6", UCRT, "%zu %td %jd %Iu", (size_t)9, (ptrdiff_t)8, INT64_C(7), (size_t)6);
}

static void pointers(void **state)
{
    if (sizeof(void *) == 8) {
        SAME("00000000DEADBEEF", MSVCRT, "%p", (void *)(uintptr_t)0xdeadbeef);
        SAME("0000000000000000", UCRT, "%p", NULL);
    } else {
        SAME("DEADBEEF", MSVCRT, "%p", (void *)(uintptr_t)0xdeadbeef);
        SAME("00000000", UCRT, "%p", NULL);
    }
}

static void floating_point(void **state)
{
    SAME("1.500000e+000", MSVCRT, "%e", 1.5);
    SAME("1.500000e+00", UCRT, "%e", 1.5);
    SAME("1E-100", UCRT, "%G", 1e-100);
    SAME("1e+010", MSVCRT, "%g", 1e10);
    SAME("1e+10 3.14 -0.5", UCRT, "%g %.2f %g", 1e10, 3.14159, -0.5);
    SAME("[   3.142] [3.142   ] [0003.142] [+3.142]", UCRT, "[%8.3f] [%-8.3f] [%08.3f] [%+.3f]",
         3.1416, 3.1416, 3.1416, 3.1416);
    SAME("-0.000000 3.", UCRT, "%f %#.0f", -0.0, 3.0);
    SAME("2.5 7", MSVCRT, "%Lg %d", 2.5, 7); /* long double is double */
    SAME("0x1.8000000000000p+0", UCRT, "%a", 1.5);
    SAME("[-0x0001.8p+1]", UCRT, "[%012.1a]", -3.0);
    /* every digit, and memory for them */
    narrow(UCRT, "%.400f", 1e300);
    assert_int_equal(last_length, 301 + 1 + 400);
}

static void special_values(void **state)
{
    double infinity = __builtin_inf(), nan = __builtin_nan(""), indefinite = -nan;
    SAME("inf -inf nan -nan(ind) INF", UCRT, "%f %f %f %f %F", infinity, -infinity, nan, indefinite,
         infinity);
    SAME("[     inf]", UCRT, "[%08f]", infinity);
    SAME("1.#INF00 -1.#INF00 1.#QNAN0 -1.#IND00", MSVCRT, "%f %f %f %f", infinity, -infinity, nan,
         indefinite);
    SAME("1.#J 1.#INF 1.#INF00e+000 1.#R", MSVCRT, "%.2f %g %e %.2f", infinity, infinity, infinity,
         nan);
}

static const crt_wchar hello[] = {'h', 'e', 'l', 'l', 'o', 0};
static const crt_wchar e_acute[] = {0xE9, 0};
static const crt_wchar beyond[] = {0x20AC, 0};

static void strings(void **state)
{
    SAME("[hello] [  hel] [hello   ]", MSVCRT, "[%s] [%5.3s] [%-8s]", "hello", "hello", "hello");
    SAME("hello hello hello hel", MSVCRT, "%S %ls %ws %.3S", hello, hello, hello, hello);
    SAME("(null) (null)", MSVCRT, "%s %S", NULL, NULL);
    SAME("A B C", MSVCRT, "%c %C %hc", 'A', 'B', 'C');
    SAME("\xE9", MSVCRT, "%S", e_acute); /* the "C" locale: bytes are characters */
    narrow(MSVCRT, "%S", beyond);
    assert_int_equal(last_length, -1);
    assert_int_equal(crt_thread()->error, CRT_EILSEQ);
    narrow(MSVCRT, "a%cb", 0);
    assert_int_equal(last_length, 3);
    /* an unterminated buffer is not read beyond the precision */
    char part[3] = {'a', 'b', 'c'};
    SAME("abc", MSVCRT, "%.3s", part);
}

static void counted_strings(void **state)
{
    struct {
        uint16_t length, maximum;
        const void *buffer;
    } ansi = {3, 4, "hello"}, unicode = {4, 10, hello};
    SAME("hel he", MSVCRT, "%Z %wZ", &ansi, &unicode);
}

static void wide_formats(void **state)
{
    static const crt_wchar lower[] = {'%', 's', '|', '%', 'd', 0};
    static const crt_wchar upper[] = {'%', 'S', '|', '%', 'h', 's', 0};
    assert_string_equal(wide(MSVCRT, lower, hello, 5), "hello|5");
    assert_string_equal(wide(MSVCRT, upper, "abc", "def"), "abc|def");
    /* ISO's meaning, without the option that UCRT's headers set by default */
    assert_string_equal(wide(0, lower, "abc", 5), "abc|5");
}

static void refused(void **state)
{
    int count = 77;
    narrow(MSVCRT, "abc%n", &count);
    assert_int_equal(last_length, -1);
    assert_int_equal(count, 77);
    narrow(UCRT, "%y", 1); /* UCRT refuses unknown conversions, msvcrt prints them */
    assert_int_equal(last_length, -1);
    SAME("y", MSVCRT, "%y", 1);
    narrow(UCRT, "%99999999999d", 1);
    assert_int_equal(last_length, -1);
}

static WINCDECL int into(char *out, size_t size, unsigned options, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int length = crt_format_buffer(false, out, size, format, options, args);
    win_va_end(args);
    return length;
}

static void buffer_ends(void **state)
{
    const unsigned legacy = CRT_FORMAT_LEGACY_NULL_TERMINATION;
    const unsigned standard = CRT_FORMAT_STANDARD_SNPRINTF;
    char out[8];
    memset(out, '~', sizeof(out));
    assert_int_equal(into(out, 5, legacy, "%s", "abcd"), 4);
    assert_memory_equal(out, "abcd\0~", 6);
    assert_int_equal(into(out, 5, legacy, "%s", "ABCDE"), 5); /* fits without its NUL */
    assert_memory_equal(out, "ABCDE~", 6);
    assert_int_equal(into(out, 5, legacy, "%s", "123456"), -1);
    assert_memory_equal(out, "12345~", 6);
    assert_int_equal(into(out, 5, standard, "%s", "123456"), 6);
    assert_memory_equal(out, "1234\0~", 6);
    assert_int_equal(into(out, 5, 0, "%s", "abcdef"), -1);
    assert_memory_equal(out, "abcd\0~", 6);
    assert_int_equal(into(NULL, 0, 0, "%s", "abcdef"), 6); /* _vscprintf */
    assert_int_equal(into(NULL, 0, standard, "%s", "abcdef"), 6);
}

static WINCDECL int secure(char *out, size_t size, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int length = crt_format_secure(false, out, size, format, MSVCRT, args);
    win_va_end(args);
    return length;
}

static WINCDECL int bounded(char *out, size_t size, size_t maximum, const char *format, ...)
{
    win_va_list args;
    win_va_start(args, format);
    int length = crt_format_bounded(false, out, size, maximum, format, MSVCRT, args);
    win_va_end(args);
    return length;
}

static void secure_buffers(void **state)
{
    char out[8];
    assert_int_equal(secure(out, 4, "%s", "abc"), 3);
    assert_string_equal(out, "abc");
    assert_int_equal(secure(out, 4, "%s", "abcd"), -1);
    assert_string_equal(out, "");
    assert_int_equal(crt_thread()->error, CRT_ERANGE);
    assert_int_equal(bounded(out, 4, CRT_TRUNCATE, "%s", "abcd"), -1);
    assert_string_equal(out, "abc");
    assert_int_equal(bounded(out, 8, 2, "%s", "abcd"), -1);
    assert_string_equal(out, "ab");
    assert_int_equal(bounded(out, 4, 5, "%s", "abcdefg"), -1);
    assert_string_equal(out, "");
    assert_int_equal(bounded(out, 8, 5, "%s", "abcd"), 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),        cmocka_unit_test(sizes),
        cmocka_unit_test(pointers),        cmocka_unit_test(floating_point),
        cmocka_unit_test(special_values),  cmocka_unit_test(strings),
        cmocka_unit_test(counted_strings), cmocka_unit_test(wide_formats),
        cmocka_unit_test(refused),         cmocka_unit_test(buffer_ends),
        cmocka_unit_test(secure_buffers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
