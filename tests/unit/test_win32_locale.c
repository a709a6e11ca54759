/*
 * Locale data, dates and times as text. The user's locale is US English; values are those that
 * Microsoft's "Locale Information Constants" pages name for it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "loader/ke/ke.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "tests/unit/builtin_fn.h"
#include "tests/unit/wide.h"

enum {
    LOCALE_SDECIMAL = 0x0E,
    LOCALE_IDEFAULTANSICODEPAGE = 0x1004,
    LOCALE_SENGLISHLANGUAGENAME = 0x1001,
    LOCALE_SNAME = 0x5C,
    LOCALE_ILANGUAGE = 0x01,
    LOCALE_RETURN_NUMBER = 0x20000000,
};

typedef BOOL(WINAPI *enum_locales_ex)(WCHAR *name, DWORD flags, LONG_PTR parameter);

FN(GetLocaleInfoW, INT, LCID locale, DWORD type, WCHAR *buffer, INT size);
FN(GetLocaleInfoA, INT, LCID locale, DWORD type, char *buffer, INT size);
FN(GetLocaleInfoEx, INT, const WCHAR *name, DWORD type, WCHAR *buffer, INT size);
FN(LocaleNameToLCID, LCID, const WCHAR *name, DWORD flags);
FN(LCIDToLocaleName, INT, LCID locale, WCHAR *buffer, INT size, DWORD flags);
FN(IsValidLocaleName, BOOL, const WCHAR *name);
FN(GetUserDefaultLocaleName, INT, WCHAR *buffer, INT size);
FN(SetThreadLocale, BOOL, LCID locale);
FN(GetThreadLocale, LCID, void);
FN(EnumSystemLocalesEx, BOOL, enum_locales_ex callback, DWORD flags, LONG_PTR parameter,
   void *reserved);
FN(GetDateFormatEx, INT, const WCHAR *locale, DWORD flags, const SYSTEMTIME *date,
   const WCHAR *format, WCHAR *out, INT size, const WCHAR *calendar);
FN(GetTimeFormatEx, INT, const WCHAR *locale, DWORD flags, const SYSTEMTIME *time,
   const WCHAR *format, WCHAR *out, INT size);
FN(GetDateFormatA, INT, LCID locale, DWORD flags, const SYSTEMTIME *date, const char *format,
   char *out, INT size);

static int load(void **state)
{
    if (!nt_ok(ke_thread_attach(NULL)))
        return -1;
    LOAD_FN(kernel32_locale, GetLocaleInfoA);
    LOAD_FN(kernel32_locale, GetLocaleInfoW);
    LOAD_FN(kernel32_locale, GetLocaleInfoEx);
    LOAD_FN(kernel32_locale, LocaleNameToLCID);
    LOAD_FN(kernel32_locale, LCIDToLocaleName);
    LOAD_FN(kernel32_locale, IsValidLocaleName);
    LOAD_FN(kernel32_locale, GetUserDefaultLocaleName);
    LOAD_FN(kernel32_locale, SetThreadLocale);
    LOAD_FN(kernel32_locale, GetThreadLocale);
    LOAD_FN(kernel32_locale, EnumSystemLocalesEx);
    LOAD_FN(kernel32_datefmt, GetDateFormatA);
    LOAD_FN(kernel32_datefmt, GetDateFormatEx);
    LOAD_FN(kernel32_datefmt, GetTimeFormatEx);
    return 0;
}

static void information_is_counted_with_its_nul(void **state)
{
    WCHAR wide[80];
    char ansi[80];
    assert_int_equal(GetLocaleInfoW(0x409, LOCALE_SENGLISHLANGUAGENAME, NULL, 0), 8);
    assert_int_equal(GetLocaleInfoW(0x409, LOCALE_SENGLISHLANGUAGENAME, wide, 80), 8);
    assert_string_equal(narrow(wide), "English");
    assert_int_equal(GetLocaleInfoA(0x400, LOCALE_SDECIMAL, ansi, 80), 2);
    assert_string_equal(ansi, ".");
    assert_int_equal(GetLocaleInfoW(0x409, LOCALE_SENGLISHLANGUAGENAME, wide, 7), 0);
    assert_int_equal(ke_last_error(), ERROR_INSUFFICIENT_BUFFER);
    assert_int_equal(GetLocaleInfoEx(NULL, LOCALE_SNAME, wide, 80), 6);
    assert_string_equal(narrow(wide), "en-US");
    assert_int_equal(GetLocaleInfoEx(W(""), LOCALE_SNAME, wide, 80), 1);
    assert_int_equal(wide[0], 0);
}

static void numbers_are_returned_as_a_dword(void **state)
{
    DWORD number = 0;
    WCHAR *out = (WCHAR *)&number;
    assert_int_equal(
        GetLocaleInfoW(0x409, LOCALE_IDEFAULTANSICODEPAGE | LOCALE_RETURN_NUMBER, out, 2), 2);
    assert_int_equal(number, 1252);
    assert_int_equal(GetLocaleInfoW(0x409, LOCALE_ILANGUAGE | LOCALE_RETURN_NUMBER, out, 2), 2);
    assert_int_equal(number, 0x409);
    assert_int_equal(
        GetLocaleInfoA(0x409, LOCALE_IDEFAULTANSICODEPAGE | LOCALE_RETURN_NUMBER, (char *)out, 4),
        4);
    assert_int_equal(number, 1252);
}

static void unknown_locales_and_types_differ(void **state)
{
    WCHAR wide[80];
    assert_int_equal(GetLocaleInfoW(0x407, LOCALE_SDECIMAL, wide, 80), 0);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_int_equal(GetLocaleInfoEx(W("xx-YY"), LOCALE_SDECIMAL, wide, 80), 0);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_int_equal(GetLocaleInfoW(0x409, 0xFFFF, wide, 80), 0);
    assert_int_equal(ke_last_error(), ERROR_INVALID_FLAGS);
}

static void names_and_identifiers_translate(void **state)
{
    WCHAR name[85];
    assert_int_equal(LocaleNameToLCID(W("EN-us"), 0), 0x409);
    assert_int_equal(LocaleNameToLCID(W("en"), 0), 0x409);
    assert_int_equal(LocaleNameToLCID(W("en"), 0x08000000), 0x9); /* ALLOW_NEUTRAL_NAMES */
    assert_int_equal(LocaleNameToLCID(W(""), 0), 0x7F);
    assert_int_equal(LocaleNameToLCID(W("zz-ZZ"), 0), 0);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_int_equal(LCIDToLocaleName(0x409, name, 85, 0), 6);
    assert_string_equal(narrow(name), "en-US");
    assert_int_equal(LCIDToLocaleName(0x409, name, 5, 0), 0);
    assert_int_equal(ke_last_error(), ERROR_INSUFFICIENT_BUFFER);
    assert_int_equal(GetUserDefaultLocaleName(name, 85), 6);
    assert_true(IsValidLocaleName(W("en-US")));
    assert_false(IsValidLocaleName(W("qq")));
    assert_true(SetThreadLocale(0x7F));
    assert_int_equal(GetThreadLocale(), 0x7F);
    assert_false(SetThreadLocale(0x407));
    assert_true(SetThreadLocale(0x409));
}

static BOOL WINAPI_DEF find_us(WCHAR *name, DWORD flags, LONG_PTR parameter)
{
    bool *found = (bool *)parameter;
    *found = !strcmp(narrow(name), "en-US");
    return !*found; /* the enumeration ends here */
}

static void locales_are_enumerated_until_told_to_stop(void **state)
{
    bool found = false;
    assert_true(EnumSystemLocalesEx(find_us, 0, (LONG_PTR)&found, NULL));
    assert_true(found);
    assert_false(EnumSystemLocalesEx(NULL, 0, 0, NULL));
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
}

static const SYSTEMTIME moment = {
    .wYear = 2009, .wMonth = 3, .wDay = 5, .wHour = 15, .wMinute = 4, .wSecond = 7};

static void check_date(DWORD flags, const char *format, const char *expected)
{
    WCHAR out[128];
    INT size =
        GetDateFormatEx(W("en-US"), flags, &moment, format ? W(format) : NULL, out, 128, NULL);
    assert_int_equal(size, strlen(expected) + 1);
    assert_string_equal(narrow(out), expected);
}

static void dates_follow_their_picture(void **state)
{
    char ansi[32];
    check_date(0, NULL, "3/5/2009"); /* the short date */
    check_date(2, NULL, "Thursday, March 5, 2009");
    check_date(0, "ddd dd MMM yy", "Thu 05 Mar 09");
    check_date(0, "dddd, d MMMM yyyy", "Thursday, 5 March 2009");
    check_date(0, "yyyy'-year'M", "2009-year3");
    assert_int_equal(GetDateFormatA(0x409, 0, &moment, "yyyyMMdd", ansi, 32), 9);
    assert_string_equal(ansi, "20090305");
    assert_int_equal(GetDateFormatA(0x409, 0, &moment, "yyyyMMdd", NULL, 0), 9);
    assert_int_equal(GetDateFormatA(0x409, 0, &moment, "yyyyMMdd", ansi, 8), 0);
    assert_int_equal(ke_last_error(), ERROR_INSUFFICIENT_BUFFER);
    SYSTEMTIME bad = {.wYear = 2009, .wMonth = 2, .wDay = 30};
    assert_int_equal(GetDateFormatA(0x409, 0, &bad, "yyyy", ansi, 32), 0);
    assert_int_equal(ke_last_error(), ERROR_INVALID_PARAMETER);
    assert_int_equal(GetDateFormatA(0x409, 2, &moment, "yyyy", ansi, 32), 0); /* flag and picture */
    assert_int_equal(ke_last_error(), ERROR_INVALID_FLAGS);
}

static void check_time(DWORD flags, const char *format, const char *expected)
{
    WCHAR out[128];
    INT size = GetTimeFormatEx(W("en-US"), flags, &moment, format ? W(format) : NULL, out, 128);
    assert_int_equal(size, strlen(expected) + 1);
    assert_string_equal(narrow(out), expected);
}

static void times_follow_their_picture(void **state)
{
    check_time(0, NULL, "3:04:07 PM");
    check_time(2, NULL, "3:04 PM");      /* TIME_NOSECONDS */
    check_time(8, NULL, "15:04:07 PM");  /* TIME_FORCE24HOURFORMAT leaves the marker */
    check_time(8 | 4, NULL, "15:04:07"); /* and TIME_NOTIMEMARKER */
    check_time(0, "HH'h'mm ss", "15h04 07");
    check_time(0, "h:m t", "3:4 P");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(information_is_counted_with_its_nul),
        cmocka_unit_test(numbers_are_returned_as_a_dword),
        cmocka_unit_test(unknown_locales_and_types_differ),
        cmocka_unit_test(names_and_identifiers_translate),
        cmocka_unit_test(locales_are_enumerated_until_told_to_stop),
        cmocka_unit_test(dates_follow_their_picture),
        cmocka_unit_test(times_follow_their_picture),
    };
    return cmocka_run_group_tests(tests, load, NULL);
}
