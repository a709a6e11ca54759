/*
 * Modules: LoadLibrary, GetProcAddress, GetModuleHandle and what belongs to them (facts 3).
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "loader/ke/teb.h"
#include "loader/ldr/path.h"
#include "loader/win32/errors.h"
#include "loader/win32/file.h"
#include "loader/win32/filename.h"
#include "loader/win32/kernel32/families.h"
#include "loader/win32/modhandle.h"
#include "loader/win32/process.h"
#include "loader/win32/strings.h"

enum {
    GET_MODULE_HANDLE_EX_FLAG_PIN = 1,
    GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT = 2,
    GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS = 4,
};

/* ---- loading
 * ------------------------------------------------------------------------------------- */

static HMODULE load(const WCHAR *name, HANDLE file, DWORD flags)
{
    HMODULE handle = NULL;
    if (!name || file)
        return win32_fail_null(name ? ERROR_INVALID_PARAMETER : ERROR_MOD_NOT_FOUND);
    return win32_result(win32_library_load(name, flags, &handle)) ? handle : NULL;
}

static HMODULE load_a(const char *name, HANDLE file, DWORD flags)
{
    WCHAR *wide;
    HMODULE handle = win32_widen_path(name, &wide) ? load(wide, file, flags) : NULL;
    free(wide);
    return handle;
}

static HMODULE WINAPI_DEF k32_LoadLibraryW(const WCHAR *name)
{
    return load(name, NULL, 0);
}

static HMODULE WINAPI_DEF k32_LoadLibraryA(const char *name)
{
    return load_a(name, NULL, 0);
}

static HMODULE WINAPI_DEF k32_LoadLibraryExW(const WCHAR *name, HANDLE file, DWORD flags)
{
    return load(name, file, flags);
}

static HMODULE WINAPI_DEF k32_LoadLibraryExA(const char *name, HANDLE file, DWORD flags)
{
    return load_a(name, file, flags);
}

static BOOL WINAPI_DEF k32_FreeLibrary(HMODULE handle)
{
    /* Not a module of this process: ERROR_MOD_NOT_FOUND on Windows. */
    return win32_result(win32_library_free(handle));
}

static BOOL WINAPI_DEF k32_DisableThreadLibraryCalls(HMODULE handle)
{
    struct ldr_module *module = handle ? win32_module_of(handle) : NULL;
    return module ? win32_result(ldr_disable_thread_calls(module))
                  : win32_fail(ERROR_MOD_NOT_FOUND);
}

/* ---- looking up
 * ---------------------------------------------------------------------------------- */

static void *WINAPI_DEF k32_GetProcAddress(HMODULE handle, const char *name)
{
    uint64_t address = 0;
    struct ldr_module *module = win32_module_of(handle);
    if (!module)
        return win32_fail_null(ERROR_MOD_NOT_FOUND);
    /* A "name" below 64 KiB is an ordinal. */
    bool by_ordinal = (uintptr_t)name <= 0xFFFF;
    nt_status status = ldr_symbol(module, by_ordinal ? NULL : name,
                                  by_ordinal ? (uint16_t)(uintptr_t)name : 0, &address, NULL);
    return win32_result(status) ? (void *)(uintptr_t)address : NULL;
}

static HMODULE handle_of_name(const WCHAR *name)
{
    if (!name) {
        HMODULE program = ke_peb()->ImageBaseAddress;
        return program ? program : win32_fail_null(ERROR_MOD_NOT_FOUND);
    }
    struct ldr_module *module = win32_library_find(name);
    return module ? win32_module_handle(module) : win32_fail_null(ERROR_MOD_NOT_FOUND);
}

static HMODULE WINAPI_DEF k32_GetModuleHandleW(const WCHAR *name)
{
    return handle_of_name(name);
}

static HMODULE WINAPI_DEF k32_GetModuleHandleA(const char *name)
{
    WCHAR *wide;
    HMODULE handle = win32_widen_path(name, &wide) ? handle_of_name(wide) : NULL;
    free(wide);
    return handle;
}

static BOOL get_module_handle_ex(DWORD flags, struct ldr_module *module, HMODULE *out)
{
    *out = NULL;
    if (!module)
        return win32_fail(ERROR_MOD_NOT_FOUND);
    if (flags & GET_MODULE_HANDLE_EX_FLAG_PIN)
        ldr_module_pin(module);
    else if (!(flags & GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT))
        ldr_module_addref(module);
    *out = win32_module_handle(module);
    return TRUE;
}

static BOOL check_ex_flags(DWORD flags, HMODULE *out)
{
    DWORD both = GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_UNCHANGED_REFCOUNT;
    DWORD all = both | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS;
    if (out && !(flags & ~all) && (flags & both) != both)
        return TRUE;
    if (out)
        *out = NULL;
    return win32_fail(ERROR_INVALID_PARAMETER);
}

static BOOL WINAPI_DEF k32_GetModuleHandleExW(DWORD flags, const WCHAR *name, HMODULE *out)
{
    struct ldr_module *module;
    if (!check_ex_flags(flags, out))
        return FALSE;
    ldr_lock();
    if (!name)
        module = win32_module_of(NULL);
    else if (flags & GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS)
        module = ldr_find_by_address((uintptr_t)name);
    else
        module = win32_library_find(name);
    BOOL ok = get_module_handle_ex(flags, module, out);
    ldr_unlock();
    return ok;
}

static BOOL WINAPI_DEF k32_GetModuleHandleExA(DWORD flags, const char *name, HMODULE *out)
{
    WCHAR *wide;
    if (!name || (flags & GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS))
        return k32_GetModuleHandleExW(flags, (const WCHAR *)name, out);
    BOOL ok = win32_widen_path(name, &wide) && k32_GetModuleHandleExW(flags, wide, out);
    free(wide);
    return ok;
}

/* The full path of a module; NULL with the last error set. Not a copy. */
static const WCHAR *file_name_of(HMODULE handle, size_t *length)
{
    struct ldr_module *module = win32_module_of(handle);
    const WCHAR *path = NULL;
    if (module)
        path = ldr_module_windows_path(module);
    else if (!handle) /* no program was loaded: the host is the process */
        path = ke_peb()->ProcessParameters->ImagePathName.Buffer;
    else
        return win32_fail_null(ERROR_MOD_NOT_FOUND);
    *length = win32_wlen(path);
    return path;
}

/* A name that does not fit is cut, NUL-terminated, and reported by the last error (since Vista). */
static DWORD WINAPI_DEF k32_GetModuleFileNameW(HMODULE handle, WCHAR *buffer, DWORD size)
{
    size_t length = 0;
    const WCHAR *path = file_name_of(handle, &length);
    if (!path)
        return 0;
    bool cut = length >= size;
    size_t copy = cut ? (size ? size - 1 : 0) : length;
    if (size) {
        memcpy(buffer, path, copy * sizeof(WCHAR));
        buffer[copy] = 0;
    }
    ke_set_last_error(cut ? ERROR_INSUFFICIENT_BUFFER : ERROR_SUCCESS);
    return cut ? size : (DWORD)length;
}

static DWORD WINAPI_DEF k32_GetModuleFileNameA(HMODULE handle, char *buffer, DWORD size)
{
    size_t length = 0;
    const WCHAR *path = file_name_of(handle, &length);
    if (!path)
        return 0;
    bool cut = length >= size;
    if (size)
        win32_return_path(path, cut ? size - 1 : length, buffer, size);
    ke_set_last_error(cut ? ERROR_INSUFFICIENT_BUFFER : ERROR_SUCCESS);
    return cut ? size : (DWORD)length;
}

/* ---- search
 * --------------------------------------------------------------------------------------- */

static BOOL WINAPI_DEF k32_SetDllDirectoryW(const WCHAR *path)
{
    char *utf8 = path ? win32_utf8_of_wide(path, SIZE_MAX) : NULL;
    if (path && !utf8)
        return win32_fail(ERROR_NOT_ENOUGH_MEMORY);
    nt_status status = ldr_set_dll_directory(utf8);
    free(utf8);
    return win32_result(status);
}

static BOOL WINAPI_DEF k32_SetDllDirectoryA(const char *path)
{
    WCHAR *wide;
    BOOL ok = win32_widen_path(path, &wide) && k32_SetDllDirectoryW(wide);
    free(wide);
    return ok;
}

static BOOL WINAPI_DEF k32_SetDefaultDllDirectories(DWORD flags)
{
    DWORD known = LDR_SEARCH_APPLICATION_DIR | LDR_SEARCH_USER_DIRS | LDR_SEARCH_SYSTEM32 |
                  LDR_SEARCH_DEFAULT_DIRS;
    if (!flags || (flags & ~known))
        return win32_fail(ERROR_INVALID_PARAMETER);
    ldr_set_default_flags(flags);
    return TRUE;
}

/* The cookie is the address of a copy of the path; ldr/ keeps its directories for good. */
static void *WINAPI_DEF k32_AddDllDirectory(const WCHAR *path)
{
    char *host = NULL;
    WCHAR *full = path ? win32_full_path(path) : NULL;
    bool absolute = full && !win32_wicmp(full, path);
    free(full);
    if (!absolute)
        return win32_fail_null(ERROR_INVALID_PARAMETER);
    if (!win32_result(win32_host_path(path, true, &host)))
        return NULL;
    if (win32_result(ldr_add_directory(host, NULL)))
        return host;
    free(host);
    return NULL;
}

/* SearchPath for a file: the given path, or the application's directory, system, current, PATH. */
static WCHAR *search_one(const WCHAR *directory, size_t length, const WCHAR *name,
                         const WCHAR *extension)
{
    char *host = NULL;
    size_t name_length = win32_wlen(name), more = extension ? win32_wlen(extension) : 0;
    WCHAR *path = malloc((length + name_length + more + 2) * sizeof(WCHAR));
    if (!path)
        return NULL;
    memcpy(path, directory, length * sizeof(WCHAR));
    size_t at = length;
    if (at && path[at - 1] != '\\' && path[at - 1] != '/')
        path[at++] = '\\';
    memcpy(path + at, name, (name_length + 1) * sizeof(WCHAR));
    if (extension && !win32_wchr(name, '.'))
        memcpy(path + at + name_length, extension, (more + 1) * sizeof(WCHAR));
    WCHAR *full = nt_ok(win32_host_path(path, true, &host)) ? win32_full_path(path) : NULL;
    free(host);
    free(path);
    return full;
}

static WCHAR *search_list(const WCHAR *list, const WCHAR *name, const WCHAR *extension)
{
    WCHAR *found = NULL;
    while (list && *list && !found) {
        const WCHAR *end = win32_wchr(list, ';');
        size_t length = end ? (size_t)(end - list) : win32_wlen(list);
        if (length)
            found = search_one(list, length, name, extension);
        list += length + (end ? 1 : 0);
    }
    return found;
}

static DWORD WINAPI_DEF k32_SearchPathW(const WCHAR *path, const WCHAR *name,
                                        const WCHAR *extension, DWORD size, WCHAR *buffer,
                                        WCHAR **part)
{
    static const WCHAR path_name[] = {'P', 'A', 'T', 'H'};
    if (!name || !name[0])
        return (DWORD)win32_fail(ERROR_INVALID_PARAMETER);
    WCHAR *found = NULL, *variable = NULL;
    if (win32_wchr(name, '\\') || win32_wchr(name, '/')) {
        found = search_one(name, 0, name, extension);
    } else if (path) {
        found = search_list(path, name, extension);
    } else {
        const WCHAR *program = ke_peb()->ProcessParameters->ImagePathName.Buffer;
        size_t length = win32_wlen(program);
        while (length && program[length - 1] != '\\')
            length--;
        found = search_one(program, length, name, extension);
        if (!found)
            found = search_one(name, 0, name, extension);
        if (!found)
            found = search_list(variable = win32_getenv(path_name, 4), name, extension);
    }
    free(variable);
    if (!found)
        return (DWORD)win32_fail(ERROR_FILE_NOT_FOUND);
    DWORD result = win32_return_wide(found, win32_wlen(found), buffer, size);
    free(found);
    if (part && result < size) {
        *part = buffer + result;
        while (*part > buffer && (*part)[-1] != '\\')
            --*part;
    }
    return result;
}

/* ---- enumeration (PSAPI in KERNEL32)
 * --------------------------------------------------------------- */

static BOOL WINAPI_DEF k32_K32EnumProcessModules(HANDLE process, HMODULE *out, DWORD size,
                                                 DWORD *needed)
{
    DWORD count = 0;
    if (!win32_is_this_process(process))
        return FALSE;
    ldr_lock();
    for (struct ldr_module *m = ldr_next(NULL); m; m = ldr_next(m), count++) {
        if ((count + 1) * sizeof(HMODULE) <= size)
            out[count] = win32_module_handle(m);
    }
    ldr_unlock();
    if (needed)
        *needed = count * (DWORD)sizeof(HMODULE);
    return TRUE;
}

struct module_info {
    void *lpBaseOfDll;
    DWORD SizeOfImage;
    void *EntryPoint;
};

static BOOL WINAPI_DEF k32_K32GetModuleInformation(HANDLE process, HMODULE handle,
                                                   struct module_info *out, DWORD size)
{
    struct ldr_module *module = win32_is_this_process(process) ? win32_module_of(handle) : NULL;
    if (!module)
        return win32_fail(ERROR_INVALID_HANDLE);
    if (size < sizeof(*out))
        return win32_fail(ERROR_INSUFFICIENT_BUFFER);
    out->lpBaseOfDll = win32_module_handle(module);
    out->SizeOfImage = mm_view_size(ldr_module_view(module));
    out->EntryPoint = (void *)(uintptr_t)ldr_module_entry_point(module);
    return TRUE;
}

static DWORD WINAPI_DEF k32_K32GetModuleFileNameExW(HANDLE process, HMODULE handle, WCHAR *buffer,
                                                    DWORD size)
{
    return win32_is_this_process(process) ? k32_GetModuleFileNameW(handle, buffer, size) : 0;
}

static DWORD WINAPI_DEF k32_K32GetModuleBaseNameW(HANDLE process, HMODULE handle, WCHAR *buffer,
                                                  DWORD size)
{
    size_t length = 0;
    const WCHAR *path = win32_is_this_process(process) ? file_name_of(handle, &length) : NULL;
    if (!path)
        return 0;
    size_t base = length;
    while (base && path[base - 1] != '\\')
        base--;
    length -= base;
    if (length >= size)
        return (DWORD)win32_fail(ERROR_INSUFFICIENT_BUFFER);
    return win32_return_wide(path + base, length, buffer, size);
}

static DWORD WINAPI_DEF k32_K32GetModuleFileNameExA(HANDLE process, HMODULE handle, char *buffer,
                                                    DWORD size)
{
    return win32_is_this_process(process) ? k32_GetModuleFileNameA(handle, buffer, size) : 0;
}

static DWORD WINAPI_DEF k32_K32GetModuleBaseNameA(HANDLE process, HMODULE handle, char *buffer,
                                                  DWORD size)
{
    WCHAR wide[MAX_PATH];
    DWORD length = k32_K32GetModuleBaseNameW(process, handle, wide, MAX_PATH);
    if (length >= size)
        return (DWORD)win32_fail(ERROR_INSUFFICIENT_BUFFER);
    return length ? win32_return_path(wide, length, buffer, size) : 0;
}

const struct ldr_builtin_export kernel32_module_exports[] = {
    LDR_FN(k32_, K32GetModuleFileNameExA),
    LDR_FN(k32_, K32GetModuleBaseNameA),
    LDR_FN(k32_, LoadLibraryA),
    LDR_FN(k32_, LoadLibraryW),
    LDR_FN(k32_, LoadLibraryExA),
    LDR_FN(k32_, LoadLibraryExW),
    LDR_FN(k32_, FreeLibrary),
    LDR_FN(k32_, DisableThreadLibraryCalls),
    LDR_FN(k32_, GetProcAddress),
    LDR_FN(k32_, GetModuleHandleA),
    LDR_FN(k32_, GetModuleHandleW),
    LDR_FN(k32_, GetModuleHandleExA),
    LDR_FN(k32_, GetModuleHandleExW),
    LDR_FN(k32_, GetModuleFileNameA),
    LDR_FN(k32_, GetModuleFileNameW),
    LDR_FN(k32_, SetDllDirectoryA),
    LDR_FN(k32_, SetDllDirectoryW),
    LDR_FN(k32_, SetDefaultDllDirectories),
    LDR_FN(k32_, AddDllDirectory),
    LDR_FN(k32_, SearchPathW),
    LDR_FN(k32_, K32EnumProcessModules),
    LDR_FN(k32_, K32GetModuleInformation),
    LDR_FN(k32_, K32GetModuleFileNameExW),
    LDR_FN(k32_, K32GetModuleBaseNameW),
    LDR_FWD(ResolveDelayLoadedAPI, "NTDLL.LdrResolveDelayLoadedAPI"),
};
const size_t kernel32_module_count =
    sizeof(kernel32_module_exports) / sizeof(*kernel32_module_exports);
