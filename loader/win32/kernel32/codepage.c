/*
 * MultiByteToWideChar, WideCharToMultiByte and the questions about code pages.
 *
 * Flags and error codes follow Microsoft's documentation of the two functions. UTF-7 and the
 * double-byte pages are not provided: they count as not installed (ERROR_INVALID_PARAMETER).
 */
#include "loader/win32/codepage.h"

#include <stdio.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/strings.h"

enum {
    MB_PRECOMPOSED = 0x1,
    MB_ERR_INVALID_CHARS = 0x8,
    WC_DISCARDNS = 0x10,
    WC_SEPCHARS = 0x20,
    WC_DEFAULTCHAR = 0x40,
    WC_ERR_INVALID_CHARS = 0x80,
    WC_COMPOSITECHECK = 0x200,
    WC_NO_BEST_FIT_CHARS = 0x400,
};

/* What both functions check of their buffers. */
static uint32_t check_buffers(const void *in, int in_length, const void *out, int out_length)
{
    if (!in || in_length == 0 || in_length < -1 || out_length < 0 || (out_length && !out) ||
        in == out)
        return ERROR_INVALID_PARAMETER;
    return ERROR_SUCCESS;
}

static INT WINAPI_DEF k32_MultiByteToWideChar(UINT codepage, DWORD flags, const char *in,
                                              INT in_length, WCHAR *out, INT out_length)
{
    uint32_t error = check_buffers(in, in_length, out, out_length);
    if (error || !win32_codepage_valid(codepage))
        return win32_fail(ERROR_INVALID_PARAMETER);
    DWORD allowed = MB_ERR_INVALID_CHARS | (codepage == CP_UTF8 ? 0 : MB_PRECOMPOSED);
    if (flags & ~allowed)
        return win32_fail(ERROR_INVALID_FLAGS);
    size_t length = in_length < 0 ? strlen(in) + 1 : (size_t)in_length, units;
    error = win32_to_wide(codepage, flags & MB_ERR_INVALID_CHARS, in, length, out,
                          (size_t)out_length, &units);
    return error ? win32_fail(error) : (INT)units;
}

static INT WINAPI_DEF k32_WideCharToMultiByte(UINT codepage, DWORD flags, const WCHAR *in,
                                              INT in_length, char *out, INT out_length,
                                              const char *fallback, BOOL *used_fallback)
{
    uint32_t error = check_buffers(in, in_length, out, out_length);
    if (error || !win32_codepage_valid(codepage))
        return win32_fail(ERROR_INVALID_PARAMETER);
    bool utf8 = codepage == CP_UTF8;
    DWORD allowed = utf8 ? WC_ERR_INVALID_CHARS
                         : WC_DISCARDNS | WC_SEPCHARS | WC_DEFAULTCHAR | WC_COMPOSITECHECK |
                               WC_NO_BEST_FIT_CHARS;
    if (flags & ~allowed)
        return win32_fail(ERROR_INVALID_FLAGS);
    if (utf8 && (fallback || used_fallback))
        return win32_fail(ERROR_INVALID_PARAMETER);
    size_t length = in_length < 0 ? win32_wlen(in) + 1 : (size_t)in_length, units;
    bool used = false;
    error = win32_from_wide(codepage, flags & WC_ERR_INVALID_CHARS, in, length, out,
                            (size_t)out_length, fallback ? *fallback : '?', &used, &units);
    if (used_fallback)
        *used_fallback = used;
    return error ? win32_fail(error) : (INT)units;
}

static UINT WINAPI_DEF k32_GetACP(void)
{
    return CP_ANSI_PAGE;
}

static UINT WINAPI_DEF k32_GetOEMCP(void)
{
    return CP_OEM_PAGE;
}

static BOOL WINAPI_DEF k32_IsValidCodePage(UINT codepage)
{
    /* The pseudo pages CP_ACP ... are not valid here, as on Windows. */
    return codepage > CP_THREAD_ACP && win32_codepage_valid(codepage);
}

struct cpinfo {
    UINT MaxCharSize;
    BYTE DefaultChar[2];
    BYTE LeadByte[12];
};

static bool fill_cpinfo(UINT codepage, struct cpinfo *info)
{
    if (!info || !win32_codepage_valid(codepage))
        return win32_fail(ERROR_INVALID_PARAMETER);
    memset(info, 0, sizeof(*info));
    info->MaxCharSize = codepage == CP_UTF8 ? 4 : 1;
    info->DefaultChar[0] = '?';
    return true;
}

static BOOL WINAPI_DEF k32_GetCPInfo(UINT codepage, struct cpinfo *info)
{
    return fill_cpinfo(codepage, info);
}

struct cpinfoexw {
    struct cpinfo base;
    WCHAR UnicodeDefaultChar;
    UINT CodePage;
    WCHAR CodePageName[MAX_PATH];
};

static BOOL WINAPI_DEF k32_GetCPInfoExW(UINT codepage, DWORD flags, struct cpinfoexw *info)
{
    if (flags || !info)
        return win32_fail(ERROR_INVALID_PARAMETER);
    if (!fill_cpinfo(codepage, &info->base))
        return FALSE;
    char name[32];
    UINT page = win32_codepage_resolve(codepage);
    int length = snprintf(name, sizeof(name), "%u", page);
    info->UnicodeDefaultChar = page == CP_UTF8 ? 0xFFFD : '?';
    info->CodePage = page;
    memset(info->CodePageName, 0, sizeof(info->CodePageName));
    for (int i = 0; i < length; i++)
        info->CodePageName[i] = (WCHAR)name[i];
    return TRUE;
}

/* None of the pages here has lead bytes. */
static BOOL WINAPI_DEF k32_IsDBCSLeadByte(BYTE byte)
{
    return FALSE;
}

static BOOL WINAPI_DEF k32_IsDBCSLeadByteEx(UINT codepage, BYTE byte)
{
    return win32_codepage_valid(codepage) ? FALSE : win32_fail(ERROR_INVALID_PARAMETER);
}

static BOOL WINAPI_DEF k32_AreFileApisANSI(void)
{
    return !win32_file_apis_oem;
}

static void WINAPI_DEF k32_SetFileApisToOEM(void)
{
    win32_file_apis_oem = true;
}

static void WINAPI_DEF k32_SetFileApisToANSI(void)
{
    win32_file_apis_oem = false;
}

typedef BOOL(WINAPI *enum_codepages_w)(WCHAR *name);

static BOOL WINAPI_DEF k32_EnumSystemCodePagesW(enum_codepages_w callback, DWORD flags)
{
    if (!callback)
        return win32_fail(ERROR_INVALID_PARAMETER);
    for (size_t i = 0; i <= win32_codepage_count; i++) {
        char name[8];
        WCHAR wide[8] = {0};
        UINT page = i < win32_codepage_count ? win32_codepages[i].id : CP_UTF8;
        int length = snprintf(name, sizeof(name), "%u", page);
        for (int k = 0; k < length; k++)
            wide[k] = (WCHAR)name[k];
        if (!callback(wide))
            break;
    }
    return TRUE;
}

const struct ldr_builtin_export kernel32_codepage_exports[] = {
    LDR_FN(k32_, MultiByteToWideChar),
    LDR_FN(k32_, WideCharToMultiByte),
    LDR_FN(k32_, GetACP),
    LDR_FN(k32_, GetOEMCP),
    LDR_FN(k32_, IsValidCodePage),
    LDR_FN(k32_, GetCPInfo),
    LDR_FN(k32_, GetCPInfoExW),
    LDR_FN(k32_, IsDBCSLeadByte),
    LDR_FN(k32_, IsDBCSLeadByteEx),
    LDR_FN(k32_, AreFileApisANSI),
    LDR_FN(k32_, SetFileApisToOEM),
    LDR_FN(k32_, SetFileApisToANSI),
    LDR_FN(k32_, EnumSystemCodePagesW),
};
const size_t kernel32_codepage_count =
    sizeof(kernel32_codepage_exports) / sizeof(*kernel32_codepage_exports);
