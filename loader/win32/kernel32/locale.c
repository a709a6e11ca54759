/*
 * Locales: the user's is US English; the neutral "en" and the invariant locale are known beside it.
 *
 * The values are those that Windows 10 reports for en-US (LCTYPE constants: Microsoft, "Locale
 * Information Constants").
 */
#include "loader/win32/locale.h"

#include <stdlib.h>
#include <string.h>

#include "loader/ke/teb.h"
#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

enum {
    LCID_INVARIANT = 0x7F,
    LCID_NEUTRAL_EN = 0x9,
    LCID_EN_US = 0x409,
    LOCALE_RETURN_NUMBER = 0x20000000,
    LOCALE_NAME_MAX_LENGTH = 85,
    GEOID_US = 244,
};

struct value {
    uint16_t type;
    const char *text;
};

/* ascending LCTYPEs */
static const struct value us_english[] = {
    {0x01, "0409"},
    {0x02, "English (United States)"},
    {0x03, "ENU"},
    {0x04, "English"},
    {0x05, "1"},
    {0x06, "United States"},
    {0x07, "USA"},
    {0x08, "United States"},
    {0x09, "0409"},
    {0x0A, "1"},
    {0x0B, "437"},
    {0x0C, ","},
    {0x0D, "1"},
    {0x0E, "."},
    {0x0F, ","},
    {0x10, "3;0"},
    {0x11, "2"},
    {0x12, "1"},
    {0x13, "0123456789"},
    {0x14, "$"},
    {0x15, "USD"},
    {0x16, "."},
    {0x17, ","},
    {0x18, "3;0"},
    {0x19, "2"},
    {0x1A, "2"},
    {0x1B, "0"},
    {0x1C, "0"},
    {0x1D, "/"},
    {0x1E, ":"},
    {0x1F, "M/d/yyyy"},
    {0x20, "dddd, MMMM d, yyyy"},
    {0x21, "0"},
    {0x22, "0"},
    {0x23, "0"},
    {0x24, "1"},
    {0x25, "0"},
    {0x26, "0"},
    {0x27, "0"},
    {0x28, "AM"},
    {0x29, "PM"},
    {0x2A, "Monday"},
    {0x2B, "Tuesday"},
    {0x2C, "Wednesday"},
    {0x2D, "Thursday"},
    {0x2E, "Friday"},
    {0x2F, "Saturday"},
    {0x30, "Sunday"},
    {0x31, "Mon"},
    {0x32, "Tue"},
    {0x33, "Wed"},
    {0x34, "Thu"},
    {0x35, "Fri"},
    {0x36, "Sat"},
    {0x37, "Sun"},
    {0x38, "January"},
    {0x39, "February"},
    {0x3A, "March"},
    {0x3B, "April"},
    {0x3C, "May"},
    {0x3D, "June"},
    {0x3E, "July"},
    {0x3F, "August"},
    {0x40, "September"},
    {0x41, "October"},
    {0x42, "November"},
    {0x43, "December"},
    {0x44, "Jan"},
    {0x45, "Feb"},
    {0x46, "Mar"},
    {0x47, "Apr"},
    {0x48, "May"},
    {0x49, "Jun"},
    {0x4A, "Jul"},
    {0x4B, "Aug"},
    {0x4C, "Sep"},
    {0x4D, "Oct"},
    {0x4E, "Nov"},
    {0x4F, "Dec"},
    {0x50, ""},
    {0x51, "-"},
    {0x52, "3"},
    {0x53, "0"},
    {0x54, "1"},
    {0x55, "0"},
    {0x56, "1"},
    {0x57, "0"},
    {0x59, "en"},
    {0x5A, "US"},
    {0x5B, "244"},
    {0x5C, "en-US"},
    {0x67, "eng"},
    {0x68, "USA"},
    {0x69, "NaN"},
    {0x6D, "en"},
    {0x71, "0"},
    {0x72, "English (United States)"},
    {0x73, "English (United States)"},
    {0x78, "MMMM d"},
    {0x79, "h:mm tt"},
    {0x1001, "English"},
    {0x1002, "United States"},
    {0x1003, "h:mm:ss tt"},
    {0x1004, "1252"},
    {0x1005, "0"},
    {0x1006, "MMMM yyyy"},
    {0x1007, "US Dollar"},
    {0x1008, "US Dollar"},
    {0x1009, "1"},
    {0x100A, "1"},
    {0x100B, "0"},
    {0x100C, "6"},
    {0x100D, "0"},
    {0x1010, "1"},
    {0x1011, "10000"},
    {0x1012, "37"},
    {0x1014, "1"},
};

/* Where the invariant locale differs. */
static const struct value invariant[] = {
    {0x01, "007f"},
    {0x02, "Invariant Language (Invariant Country)"},
    {0x03, "IVL"},
    {0x09, "0409"},
    {0x0D, "0"},
    {0x15, "XDR"},
    {0x1F, "MM/dd/yyyy"},
    {0x20, "dddd, dd MMMM yyyy"},
    {0x23, "1"},
    {0x25, "1"},
    {0x26, "1"},
    {0x27, "1"},
    {0x59, "iv"},
    {0x5A, "IV"},
    {0x5C, ""},
    {0x67, "ivl"},
    {0x68, "ivc"},
    {0x6D, ""},
    {0x72, "Invariant Language (Invariant Country)"},
    {0x73, "Invariant Language (Invariant Country)"},
    {0x78, "MMMM dd"},
    {0x79, "HH:mm"},
    {0x1003, "HH:mm:ss"},
    {0x1006, "yyyy MMMM"},
};

static int compare_values(const void *key, const void *member)
{
    return (int)*(const uint16_t *)key - (int)((const struct value *)member)->type;
}

static const char *find_value(const struct value *values, size_t count, uint16_t type)
{
    const struct value *found = bsearch(&type, values, count, sizeof(*values), compare_values);
    return found ? found->text : NULL;
}

/* 0 = no locale of ours. */
static LCID resolve_lcid(LCID locale)
{
    switch (locale & 0xFFFFF) {
    case 0x0:    /* LOCALE_NEUTRAL */
    case 0x400:  /* LOCALE_USER_DEFAULT */
    case 0x800:  /* LOCALE_SYSTEM_DEFAULT */
    case 0xC00:  /* LOCALE_CUSTOM_DEFAULT */
    case 0x1400: /* LOCALE_CUSTOM_UI_DEFAULT */
    case LCID_EN_US:
        return LCID_EN_US;
    case LCID_NEUTRAL_EN:
    case LCID_INVARIANT:
        return locale & 0xFFFFF;
    default:
        return 0;
    }
}

static const struct {
    const char *name;
    LCID locale;
} names[] = {
    {"en-US", LCID_EN_US},
    {"en", LCID_NEUTRAL_EN},
    {"", LCID_INVARIANT},
    {"!x-sys-default-locale", LCID_EN_US},
};

static bool equals_name(const WCHAR *name, const char *ascii)
{
    size_t i = 0;
    for (; ascii[i]; i++) {
        if ((name[i] | 0x20) != ((WCHAR)ascii[i] | 0x20))
            return false;
    }
    return !name[i];
}

LCID win32_locale_of_name(const WCHAR *name)
{
    if (!name) /* LOCALE_NAME_USER_DEFAULT */
        return LCID_EN_US;
    for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++) {
        if (equals_name(name, names[i].name))
            return names[i].locale;
    }
    return 0;
}

const char *win32_locale_value(LCID locale, LCTYPE type)
{
    const char *text = NULL;
    uint16_t key = (uint16_t)type;
    locale = resolve_lcid(locale);
    if (!locale || (type & 0xFFFF) > 0x2000)
        return NULL;
    if (locale == LCID_INVARIANT)
        text = find_value(invariant, sizeof(invariant) / sizeof(*invariant), key);
    if (locale == LCID_NEUTRAL_EN && key == 0x5C)
        text = "en";
    if (!text)
        text = find_value(us_english, sizeof(us_english) / sizeof(*us_english), key);
    return text;
}

/* ---- GetLocaleInfo -----------------------------------------------------------------------------
 */

static INT return_text(const char *text, WCHAR *buffer, INT size)
{
    INT length = (INT)strlen(text) + 1;
    if (!size)
        return length;
    if (size < length)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    for (INT i = 0; i < length; i++)
        buffer[i] = (uint8_t)text[i];
    return length;
}

/* The 0 type, the ILANGUAGE family, is written in hexadecimal. */
static DWORD number_of(LCTYPE type, const char *text)
{
    uint16_t key = (uint16_t)type;
    return (DWORD)strtoul(text, NULL, key == 0x01 || key == 0x09 ? 16 : 10);
}

static INT locale_info(LCID locale, LCTYPE type, WCHAR *buffer, INT size)
{
    if (size < 0 || (size && !buffer) || !resolve_lcid(locale))
        return win32_fail(ERROR_INVALID_PARAMETER);
    const char *text = win32_locale_value(locale, type);
    if (!text)
        return win32_fail(ERROR_INVALID_FLAGS);
    if (!(type & LOCALE_RETURN_NUMBER))
        return return_text(text, buffer, size);
    if (!size)
        return 2;
    if (size < 2)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    DWORD number = number_of(type, text);
    memcpy(buffer, &number, sizeof(number));
    return 2;
}

static INT WINAPI_DEF k32_GetLocaleInfoW(LCID locale, LCTYPE type, WCHAR *buffer, INT size)
{
    return locale_info(locale, type, buffer, size);
}

static INT WINAPI_DEF k32_GetLocaleInfoEx(const WCHAR *name, LCTYPE type, WCHAR *buffer, INT size)
{
    LCID locale = win32_locale_of_name(name);
    return locale ? locale_info(locale, type, buffer, size) : win32_fail(ERROR_INVALID_PARAMETER);
}

static INT WINAPI_DEF k32_GetLocaleInfoA(LCID locale, LCTYPE type, char *buffer, INT size)
{
    if (size < 0 || (size && !buffer) || !resolve_lcid(locale))
        return win32_fail(ERROR_INVALID_PARAMETER);
    const char *text = win32_locale_value(locale, type);
    if (!text)
        return win32_fail(ERROR_INVALID_FLAGS);
    DWORD number = number_of(type, text);
    bool numeric = type & LOCALE_RETURN_NUMBER;
    INT length = numeric ? (INT)sizeof(number) : (INT)strlen(text) + 1;
    if (size && size < length)
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    if (size)
        memcpy(buffer, numeric ? (const void *)&number : text, (size_t)length);
    return length;
}

/* ---- identities
 * --------------------------------------------------------------------------------------- */

static LCID WINAPI_DEF k32_GetUserDefaultLCID(void)
{
    return LCID_EN_US;
}

static LANGID WINAPI_DEF k32_GetUserDefaultLangID(void)
{
    return LCID_EN_US;
}

static LCID WINAPI_DEF k32_GetThreadLocale(void)
{
    LCID locale = ke_teb()->CurrentLocale;
    return locale ? locale : LCID_EN_US;
}

static BOOL WINAPI_DEF k32_SetThreadLocale(LCID locale)
{
    LCID resolved = resolve_lcid(locale);
    if (!resolved)
        return win32_fail(ERROR_INVALID_PARAMETER);
    ke_teb()->CurrentLocale = resolved;
    return TRUE;
}

static BOOL WINAPI_DEF k32_IsValidLocale(LCID locale, DWORD flags)
{
    return resolve_lcid(locale) != 0;
}

static BOOL WINAPI_DEF k32_IsValidLocaleName(const WCHAR *name)
{
    return name && win32_locale_of_name(name);
}

static LCID WINAPI_DEF k32_ConvertDefaultLocale(LCID locale)
{
    LCID resolved = resolve_lcid(locale);
    return resolved == LCID_NEUTRAL_EN ? LCID_EN_US : resolved ? resolved : locale;
}

static INT WINAPI_DEF k32_GetUserDefaultLocaleName(WCHAR *buffer, INT size)
{
    if (!buffer || size <= 0)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return return_text("en-US", buffer, size);
}

static INT WINAPI_DEF k32_LCIDToLocaleName(LCID locale, WCHAR *buffer, INT size, DWORD flags)
{
    const char *name = win32_locale_value(locale, 0x5C);
    if (!name || size < 0 || (size && !buffer))
        return win32_fail(ERROR_INVALID_PARAMETER);
    return return_text(name, buffer, size);
}

static LCID WINAPI_DEF k32_LocaleNameToLCID(const WCHAR *name, DWORD flags)
{
    LCID locale = win32_locale_of_name(name);
    if (locale == LCID_NEUTRAL_EN && !(flags & 0x08000000)) /* LOCALE_ALLOW_NEUTRAL_NAMES */
        locale = LCID_EN_US;
    return locale ? locale : (LCID)win32_fail(ERROR_INVALID_PARAMETER);
}

typedef BOOL(WINAPI *enum_locales_ex)(WCHAR *name, DWORD flags, LONG_PTR parameter);
typedef BOOL(WINAPI *enum_locales)(WCHAR *lcid);

static BOOL WINAPI_DEF k32_EnumSystemLocalesEx(enum_locales_ex callback, DWORD flags,
                                               LONG_PTR parameter, void *reserved)
{
    static const struct {
        const char *name;
        DWORD flags; /* LOCALE_WINDOWS with LOCALE_NEUTRALDATA or LOCALE_SPECIFICDATA */
    } known[] = {{"", 0x1 | 0x20}, {"en", 0x1 | 0x10}, {"en-US", 0x1 | 0x20}};
    WCHAR name[LOCALE_NAME_MAX_LENGTH];
    if (!callback || reserved)
        return win32_fail(ERROR_INVALID_PARAMETER);
    for (size_t i = 0; i < sizeof(known) / sizeof(*known); i++) {
        if (flags && !(flags & known[i].flags))
            continue;
        return_text(known[i].name, name, LOCALE_NAME_MAX_LENGTH);
        if (!callback(name, known[i].flags, parameter))
            break;
    }
    return TRUE;
}

static BOOL WINAPI_DEF k32_EnumSystemLocalesW(enum_locales callback, DWORD flags)
{
    WCHAR lcid[9];
    if (!callback)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return_text("00000409", lcid, 9);
    callback(lcid);
    return TRUE;
}

static LONG WINAPI_DEF k32_GetUserGeoID(DWORD class)
{
    return class == 16 ? GEOID_US : -1; /* GEOCLASS_NATION; GEOID_NOT_AVAILABLE */
}

static INT WINAPI_DEF k32_GetGeoInfoW(LONG location, DWORD type, WCHAR *buffer, INT size,
                                      LANGID language)
{
    static const char *const values[] = {
        [1] = "244", [4] = "US", [5] = "USA", [8] = "United States", [11] = "840"};
    if (location != GEOID_US || size < 0 || (size && !buffer))
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (type >= sizeof(values) / sizeof(*values) || !values[type])
        return win32_fail(ERROR_INVALID_FLAGS);
    return return_text(values[type], buffer, size);
}

#define ALIAS(alias, fn)                                                               \
    {                                                                                  \
        .name = #alias, .kind = LDR_EXPORT_FUNCTION, .address = (const void *)k32_##fn \
    }

const struct ldr_builtin_export kernel32_locale_exports[] = {
    LDR_FN(k32_, GetLocaleInfoA),
    LDR_FN(k32_, GetLocaleInfoW),
    LDR_FN(k32_, GetLocaleInfoEx),
    LDR_FN(k32_, GetUserDefaultLCID),
    ALIAS(GetSystemDefaultLCID, GetUserDefaultLCID),
    LDR_FN(k32_, GetUserDefaultLangID),
    ALIAS(GetSystemDefaultLangID, GetUserDefaultLangID),
    ALIAS(GetUserDefaultUILanguage, GetUserDefaultLangID),
    ALIAS(GetSystemDefaultUILanguage, GetUserDefaultLangID),
    ALIAS(GetThreadUILanguage, GetUserDefaultLangID),
    LDR_FN(k32_, GetThreadLocale),
    LDR_FN(k32_, SetThreadLocale),
    LDR_FN(k32_, IsValidLocale),
    LDR_FN(k32_, IsValidLocaleName),
    LDR_FN(k32_, ConvertDefaultLocale),
    LDR_FN(k32_, GetUserDefaultLocaleName),
    ALIAS(GetSystemDefaultLocaleName, GetUserDefaultLocaleName),
    LDR_FN(k32_, LCIDToLocaleName),
    LDR_FN(k32_, LocaleNameToLCID),
    LDR_FN(k32_, EnumSystemLocalesEx),
    LDR_FN(k32_, EnumSystemLocalesW),
    LDR_FN(k32_, GetUserGeoID),
    LDR_FN(k32_, GetGeoInfoW),
};
const size_t kernel32_locale_count =
    sizeof(kernel32_locale_exports) / sizeof(*kernel32_locale_exports);
