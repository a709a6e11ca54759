/*
 * File mapping (memoryapi.h; facts 4.1-4.4): what KERNEL32 adds to section objects, which is the
 * translation of its arguments, and the last error.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/process.h"
#include "loader/win32/section.h"
#include "loader/win32/strings.h"

/* ---- creation -----------------------------------------------------------------------------------
 */

/* `access` 0 = what the protection allows. */
static HANDLE create_mapping(HANDLE file, const SECURITY_ATTRIBUTES *security, uint32_t access,
                             uint32_t protect, uint32_t attributes, uint64_t size,
                             const WCHAR *name)
{
    HANDLE handle = NULL;
    struct win32_section_create how = {
        .file = file == INVALID_HANDLE_VALUE ? NULL : file,
        .size = size,
        .protect = protect,
        .attributes = attributes ? attributes : (uint32_t)SEC_COMMIT,
        .access = access ? access : win32_section_rights(protect),
        .flags = security && security->bInheritHandle ? 1 : 0,
    };
    nt_status status = ob_name_parse(name, &how.name, &how.global);
    if (nt_ok(status))
        status = win32_section_create(&how, &handle);
    if (!win32_result(status))
        return NULL;
    ke_set_last_error(status == STATUS_OBJECT_NAME_EXISTS ? ERROR_ALREADY_EXISTS : ERROR_SUCCESS);
    return handle;
}

static HANDLE WINAPI_DEF k32_CreateFileMappingNumaW(HANDLE file,
                                                    const SECURITY_ATTRIBUTES *security,
                                                    DWORD protect, DWORD high, DWORD low,
                                                    const WCHAR *name, DWORD node)
{
    return create_mapping(file, security, 0, protect & ~WIN32_SEC_BITS, protect & WIN32_SEC_BITS,
                          ((uint64_t)high << 32) | low, name);
}

static HANDLE WINAPI_DEF k32_CreateFileMappingW(HANDLE file, const SECURITY_ATTRIBUTES *security,
                                                DWORD protect, DWORD high, DWORD low,
                                                const WCHAR *name)
{
    return k32_CreateFileMappingNumaW(file, security, protect, high, low, name, 0);
}

static HANDLE WINAPI_DEF k32_CreateFileMappingNumaA(HANDLE file,
                                                    const SECURITY_ATTRIBUTES *security,
                                                    DWORD protect, DWORD high, DWORD low,
                                                    const char *name, DWORD node)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_CreateFileMappingNumaW(file, security, protect, high, low, wide, node);
    free(wide);
    return handle;
}

static HANDLE WINAPI_DEF k32_CreateFileMappingA(HANDLE file, const SECURITY_ATTRIBUTES *security,
                                                DWORD protect, DWORD high, DWORD low,
                                                const char *name)
{
    return k32_CreateFileMappingNumaA(file, security, protect, high, low, name, 0);
}

static HANDLE WINAPI_DEF k32_CreateFileMappingFromApp(HANDLE file,
                                                      const SECURITY_ATTRIBUTES *security,
                                                      ULONG protect, ULONGLONG size,
                                                      const WCHAR *name)
{
    return create_mapping(file, security, 0, protect & ~WIN32_SEC_BITS, protect & WIN32_SEC_BITS,
                          size, name);
}

static HANDLE WINAPI_DEF k32_CreateFileMapping2(HANDLE file, const SECURITY_ATTRIBUTES *security,
                                                ULONG access, ULONG protect, ULONG attributes,
                                                ULONGLONG size, const WCHAR *name,
                                                const void *extended, ULONG extended_count)
{
    if (extended_count)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    return create_mapping(file, security, access, protect, attributes, size, name);
}

/* ---- opening ------------------------------------------------------------------------------------
 */

static HANDLE WINAPI_DEF k32_OpenFileMappingW(DWORD access, BOOL inherit, const WCHAR *name)
{
    struct ob_name parsed;
    bool global;
    HANDLE handle = NULL;
    if (!name)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    nt_status status = ob_name_parse(name, &parsed, &global);
    /* The empty name is that of the directory that the names are in. */
    if (nt_ok(status) && parsed.length == 0)
        status = STATUS_OBJECT_TYPE_MISMATCH;
    if (nt_ok(status))
        status = win32_section_open(&parsed, global, win32_section_access(access), inherit ? 1 : 0,
                                    &handle);
    win32_result(status);
    return handle;
}

static HANDLE WINAPI_DEF k32_OpenFileMappingA(DWORD access, BOOL inherit, const char *name)
{
    WCHAR *wide;
    if (!win32_widen(name, &wide))
        return NULL;
    HANDLE handle = k32_OpenFileMappingW(access, inherit, wide);
    free(wide);
    return handle;
}

/* ---- views --------------------------------------------------------------------------------------
 */

static void *map_view(HANDLE section, HANDLE process, const void *wanted, uint64_t offset,
                      SIZE_T size, uint32_t protect)
{
    struct mm_data_map how = {
        .base = (uint64_t)(uintptr_t)wanted, .offset = offset, .size = size, .protect = protect};
    uint64_t base, mapped;
    if (!win32_result(win32_section_map(section, process, &how, &base, &mapped)))
        return NULL;
    return (void *)(uintptr_t)base;
}

static void *WINAPI_DEF k32_MapViewOfFileExNuma(HANDLE mapping, DWORD access, DWORD high, DWORD low,
                                                SIZE_T size, void *base, DWORD node)
{
    return map_view(mapping, CURRENT_PROCESS, base, ((uint64_t)high << 32) | low, size,
                    win32_view_protect(access));
}

static void *WINAPI_DEF k32_MapViewOfFileEx(HANDLE mapping, DWORD access, DWORD high, DWORD low,
                                            SIZE_T size, void *base)
{
    return k32_MapViewOfFileExNuma(mapping, access, high, low, size, base, 0);
}

static void *WINAPI_DEF k32_MapViewOfFile(HANDLE mapping, DWORD access, DWORD high, DWORD low,
                                          SIZE_T size)
{
    return k32_MapViewOfFileExNuma(mapping, access, high, low, size, NULL, 0);
}

static void *WINAPI_DEF k32_MapViewOfFileFromApp(HANDLE mapping, ULONG access, ULONGLONG offset,
                                                 SIZE_T size)
{
    return map_view(mapping, CURRENT_PROCESS, NULL, offset, size, win32_view_protect(access));
}

/* Placeholders and large pages, which `type` could ask for, do not exist here. */
static void *WINAPI_DEF k32_MapViewOfFileNuma2(HANDLE mapping, HANDLE process, ULONGLONG offset,
                                               void *base, SIZE_T size, ULONG type, ULONG protect,
                                               ULONG node)
{
    if (type & ~(ULONG)MEM_RESERVE)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    return map_view(mapping, process, base, offset, size, protect);
}

static void *WINAPI_DEF k32_MapViewOfFile3(HANDLE mapping, HANDLE process, void *base,
                                           ULONGLONG offset, SIZE_T size, ULONG type, ULONG protect,
                                           const void *extended, ULONG extended_count)
{
    if (extended_count)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    return k32_MapViewOfFileNuma2(mapping, process, offset, base, size, type, protect, 0);
}

static BOOL WINAPI_DEF k32_UnmapViewOfFile(const void *base)
{
    return win32_result(win32_section_unmap(CURRENT_PROCESS, base));
}

static BOOL unmap(HANDLE process, const void *base, ULONG flags)
{
    enum { MEM_UNMAP_WITH_TRANSIENT_BOOST = 1 };
    if (flags & ~(ULONG)MEM_UNMAP_WITH_TRANSIENT_BOOST)
        return win32_fail(ERROR_INVALID_PARAMETER);
    return win32_result(win32_section_unmap(process, base));
}

static BOOL WINAPI_DEF k32_UnmapViewOfFileEx(void *base, ULONG flags)
{
    return unmap(CURRENT_PROCESS, base, flags);
}

static BOOL WINAPI_DEF k32_UnmapViewOfFile2(HANDLE process, void *base, ULONG flags)
{
    return unmap(process, base, flags);
}

static BOOL WINAPI_DEF k32_FlushViewOfFile(const void *base, SIZE_T size)
{
    uint64_t at = (uint64_t)(uintptr_t)base, bytes = size;
    return win32_result(mm_flush_view(&at, &bytes, NULL));
}

/* ---- names ------------------------------------------------------------------------------------
 */

static DWORD WINAPI_DEF k32_K32GetMappedFileNameW(HANDLE process, void *address, WCHAR *buffer,
                                                  DWORD size)
{
    WCHAR *name;
    if (!win32_is_this_process(process) || !win32_result(win32_mapped_name(address, &name)))
        return 0;
    DWORD length = (DWORD)win32_wlen(name), fits = length < size ? length : size ? size - 1 : 0;
    if (size) {
        memcpy(buffer, name, fits * sizeof *buffer);
        buffer[fits] = 0;
    }
    free(name);
    /* A name that does not fit is cut, which the last error alone tells. */
    if (fits < length)
        ke_set_last_error(ERROR_INSUFFICIENT_BUFFER);
    return fits;
}

static DWORD WINAPI_DEF k32_K32GetMappedFileNameA(HANDLE process, void *address, char *buffer,
                                                  DWORD size)
{
    WCHAR *name;
    if (!win32_is_this_process(process) || !win32_result(win32_mapped_name(address, &name)))
        return 0;
    DWORD length = win32_return_ansi(name, win32_wlen(name), buffer, size);
    free(name);
    if (length >= size) {
        ke_set_last_error(ERROR_INSUFFICIENT_BUFFER);
        return 0;
    }
    return length;
}

const struct ldr_builtin_export kernel32_mapping_exports[] = {
    LDR_FN(k32_, CreateFileMappingA),       LDR_FN(k32_, CreateFileMappingW),
    LDR_FN(k32_, CreateFileMappingNumaA),   LDR_FN(k32_, CreateFileMappingNumaW),
    LDR_FN(k32_, CreateFileMappingFromApp), LDR_FN(k32_, OpenFileMappingA),
    LDR_FN(k32_, OpenFileMappingW),         LDR_FN(k32_, MapViewOfFile),
    LDR_FN(k32_, MapViewOfFileEx),          LDR_FN(k32_, MapViewOfFileExNuma),
    LDR_FN(k32_, MapViewOfFileFromApp),     LDR_FN(k32_, UnmapViewOfFile),
    LDR_FN(k32_, UnmapViewOfFileEx),        LDR_FN(k32_, FlushViewOfFile),
    LDR_FN(k32_, K32GetMappedFileNameA),    LDR_FN(k32_, K32GetMappedFileNameW),
};
const size_t kernel32_mapping_count =
    sizeof(kernel32_mapping_exports) / sizeof(*kernel32_mapping_exports);

const struct ldr_builtin_export kernelbase_mapping_exports[] = {
    LDR_FN(k32_, CreateFileMapping2),
    {.name = "OpenFileMappingFromApp",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_OpenFileMappingW},
    LDR_FN(k32_, MapViewOfFile3),
    {.name = "MapViewOfFile3FromApp",
     .kind = LDR_EXPORT_FUNCTION,
     .address = (const void *)k32_MapViewOfFile3},
    LDR_FN(k32_, MapViewOfFileNuma2),
    LDR_FN(k32_, UnmapViewOfFile2),
};
const size_t kernelbase_mapping_count =
    sizeof(kernelbase_mapping_exports) / sizeof(*kernelbase_mapping_exports);
