/*
 * The registry, of which there is none: predefined keys exist and are empty.
 *
 * Registry functions return their Win32 error and leave the last error alone. ADVAPI32 exports
 * them, and KERNELBASE for the API sets.
 */
#include "loader/win32/errors.h"
#include "loader/win32/smalldlls.h"

enum { ERROR_NO_MORE_ITEMS = 259 };

/* HKEY_CLASSES_ROOT ... HKEY_CURRENT_USER_LOCAL_SETTINGS, sign-extended as on Windows. */
static bool is_predefined(HANDLE key)
{
    uintptr_t value = (uintptr_t)key;
    return value >= (uintptr_t)(intptr_t)(int32_t)0x80000000 &&
           value <= (uintptr_t)(intptr_t)(int32_t)0x80000007;
}

/* Only a predefined key opens, as its own empty subkey. */
static LONG open_key(HANDLE key, bool itself, HANDLE *out)
{
    if (!out)
        return ERROR_INVALID_PARAMETER;
    *out = NULL;
    if (!is_predefined(key))
        return ERROR_INVALID_HANDLE;
    if (!itself)
        return ERROR_FILE_NOT_FOUND;
    *out = key;
    return ERROR_SUCCESS;
}

static LONG WINAPI_DEF reg_RegOpenKeyExW(HANDLE key, const WCHAR *name, DWORD options, DWORD access,
                                         HANDLE *out)
{
    return open_key(key, !name || !name[0], out);
}

static LONG WINAPI_DEF reg_RegOpenKeyExA(HANDLE key, const char *name, DWORD options, DWORD access,
                                         HANDLE *out)
{
    return open_key(key, !name || !name[0], out);
}

static LONG WINAPI_DEF reg_RegOpenKeyW(HANDLE key, const WCHAR *name, HANDLE *out)
{
    return open_key(key, !name || !name[0], out);
}

static LONG WINAPI_DEF reg_RegOpenKeyA(HANDLE key, const char *name, HANDLE *out)
{
    return open_key(key, !name || !name[0], out);
}

static LONG WINAPI_DEF reg_RegCloseKey(HANDLE key)
{
    return is_predefined(key) ? ERROR_SUCCESS : ERROR_INVALID_HANDLE;
}

/* Values: names of either width, since none exists. */
static LONG WINAPI_DEF reg_query_value(HANDLE key, const void *name, DWORD *reserved, DWORD *type,
                                       BYTE *data, DWORD *size)
{
    if (!is_predefined(key))
        return ERROR_INVALID_HANDLE;
    if (reserved || (data && !size))
        return ERROR_INVALID_PARAMETER;
    return ERROR_FILE_NOT_FOUND;
}

static LONG WINAPI_DEF reg_get_value(HANDLE key, const void *subkey, const void *name, DWORD flags,
                                     DWORD *type, void *data, DWORD *size)
{
    if (!is_predefined(key))
        return ERROR_INVALID_HANDLE;
    return data && !size ? ERROR_INVALID_PARAMETER : ERROR_FILE_NOT_FOUND;
}

static LONG WINAPI_DEF reg_enum_key(HANDLE key, DWORD index, void *name, DWORD *name_size,
                                    DWORD *reserved, void *class_name, DWORD *class_size,
                                    FILETIME *written)
{
    return is_predefined(key) ? ERROR_NO_MORE_ITEMS : ERROR_INVALID_HANDLE;
}

static LONG WINAPI_DEF reg_enum_value(HANDLE key, DWORD index, void *name, DWORD *name_size,
                                      DWORD *reserved, DWORD *type, BYTE *data, DWORD *size)
{
    return is_predefined(key) ? ERROR_NO_MORE_ITEMS : ERROR_INVALID_HANDLE;
}

#define BOTH(fn, function)                                                                \
    {.name = #fn "A", .kind = LDR_EXPORT_FUNCTION, .address = (const void *)(function)},  \
    {                                                                                     \
        .name = #fn "W", .kind = LDR_EXPORT_FUNCTION, .address = (const void *)(function) \
    }

const struct ldr_builtin_export registry_exports[] = {
    LDR_FN(reg_, RegOpenKeyExA),        LDR_FN(reg_, RegOpenKeyExW),
    LDR_FN(reg_, RegOpenKeyA),          LDR_FN(reg_, RegOpenKeyW),
    LDR_FN(reg_, RegCloseKey),          BOTH(RegQueryValueEx, reg_query_value),
    BOTH(RegGetValue, reg_get_value),   BOTH(RegEnumKeyEx, reg_enum_key),
    BOTH(RegEnumValue, reg_enum_value),
};
const size_t registry_count = sizeof(registry_exports) / sizeof(*registry_exports);
