/*
 * The Ldr functions: what LoadLibrary and its family are made of on Windows (facts 3), over ldr/
 * and the module handles that KERNEL32 uses.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/modhandle.h"
#include "loader/win32/ntdll/families.h"
#include "loader/win32/resource.h"
#include "loader/win32/strings.h"

enum {
    STATUS_INVALID_PARAMETER_1 = (int)0xC00000EF,
    STATUS_INVALID_PARAMETER_2 = (int)0xC00000F0,
    STATUS_INVALID_PARAMETER_3 = (int)0xC00000F1,
};

/* ---- modules ------------------------------------------------------------------------------------
 */

/* A NUL-terminated copy, or NULL without memory. */
static WCHAR *name_of(const UNICODE_STRING *name)
{
    return win32_wdup(name->Buffer, name->Length / sizeof(WCHAR));
}

/* `path` and the characteristics: a search path is not taken over; IMAGE_FILE_EXECUTABLE_IMAGE
 * stands for DONT_RESOLVE_DLL_REFERENCES. */
static nt_status WINAPI_DEF nt_LdrLoadDll(const WCHAR *path, const ULONG *characteristics,
                                          const UNICODE_STRING *name, HMODULE *out)
{
    bool unresolved = characteristics && (*characteristics & IMAGE_FILE_EXECUTABLE_IMAGE);
    *out = NULL;
    WCHAR *copy = name_of(name);
    if (!copy)
        return STATUS_NO_MEMORY;
    nt_status status = win32_library_load(copy, unresolved ? LDR_DONT_RESOLVE : 0, out);
    free(copy);
    return status;
}

static nt_status WINAPI_DEF nt_LdrUnloadDll(HMODULE handle)
{
    return win32_library_free(handle);
}

enum { LDR_GET_DLL_HANDLE_EX_UNCHANGED_REFCOUNT = 1, LDR_GET_DLL_HANDLE_EX_PIN = 2 };

static nt_status WINAPI_DEF nt_LdrGetDllHandleEx(ULONG flags, const WCHAR *path,
                                                 const ULONG *characteristics,
                                                 const UNICODE_STRING *name, HMODULE *out)
{
    ULONG known = LDR_GET_DLL_HANDLE_EX_UNCHANGED_REFCOUNT | LDR_GET_DLL_HANDLE_EX_PIN;
    if ((flags & ~known) || flags == known || !name)
        return STATUS_INVALID_PARAMETER;
    WCHAR *copy = name_of(name);
    if (!copy)
        return STATUS_NO_MEMORY;
    ldr_lock();
    struct ldr_module *module = win32_library_find(copy);
    if (module && (flags & LDR_GET_DLL_HANDLE_EX_PIN))
        ldr_module_pin(module);
    else if (module && !flags)
        ldr_module_addref(module);
    if (out)
        *out = module ? win32_module_handle(module) : NULL;
    ldr_unlock();
    free(copy);
    return module ? STATUS_SUCCESS : (nt_status)STATUS_DLL_NOT_FOUND;
}

static nt_status WINAPI_DEF nt_LdrGetDllHandle(const WCHAR *path, const ULONG *characteristics,
                                               const UNICODE_STRING *name, HMODULE *out)
{
    return nt_LdrGetDllHandleEx(LDR_GET_DLL_HANDLE_EX_UNCHANGED_REFCOUNT, path, characteristics,
                                name, out);
}

static struct ldr_module *module_of(HMODULE handle)
{
    return handle ? win32_module_of(handle) : NULL;
}

static nt_status WINAPI_DEF nt_LdrAddRefDll(ULONG flags, HMODULE handle)
{
    enum { LDR_ADDREF_DLL_PIN = 1 };
    if (flags & ~(ULONG)LDR_ADDREF_DLL_PIN)
        return STATUS_INVALID_PARAMETER;
    ldr_lock();
    struct ldr_module *module = module_of(handle);
    if (module && flags)
        ldr_module_pin(module);
    else if (module)
        ldr_module_addref(module);
    ldr_unlock();
    return module ? STATUS_SUCCESS : STATUS_INVALID_PARAMETER;
}

static nt_status WINAPI_DEF nt_LdrDisableThreadCalloutsForDll(HMODULE handle)
{
    struct ldr_module *module = module_of(handle);
    return module ? ldr_disable_thread_calls(module) : (nt_status)STATUS_DLL_NOT_FOUND;
}

/* By name, or by ordinal when there is none. */
static nt_status WINAPI_DEF nt_LdrGetProcedureAddress(HMODULE handle, const ANSI_STRING *name,
                                                      ULONG ordinal, void **out)
{
    uint64_t address = 0;
    char *copy = NULL;
    struct ldr_module *module = module_of(handle);
    *out = NULL;
    if (!module)
        return (nt_status)STATUS_DLL_NOT_FOUND;
    if (!name && (!ordinal || ordinal > 0xFFFF))
        return STATUS_INVALID_PARAMETER;
    if (name && !(copy = strndup(name->Buffer, name->Length)))
        return STATUS_NO_MEMORY;
    nt_status status = ldr_symbol(module, copy, (uint16_t)ordinal, &address, NULL);
    free(copy);
    *out = (void *)(uintptr_t)address;
    return status;
}

static nt_status WINAPI_DEF nt_LdrGetProcedureAddressEx(HMODULE handle, const ANSI_STRING *name,
                                                        ULONG ordinal, void **out, ULONG flags)
{
    return nt_LdrGetProcedureAddress(handle, name, ordinal, out);
}

/* ---- the loader lock ----------------------------------------------------------------------------
 */

enum {
    LDR_LOCK_LOADER_LOCK_FLAG_RAISE_ON_ERRORS = 1,
    LDR_LOCK_LOADER_LOCK_FLAG_TRY_ONLY = 2,
    LOCK_ACQUIRED = 1,
    LOCK_NOT_ACQUIRED = 2,
};

/* Raised instead of returned when the caller asked for that. */
static nt_status lock_error(ULONG flags, nt_status status)
{
    if (flags & LDR_LOCK_LOADER_LOCK_FLAG_RAISE_ON_ERRORS)
        ke_raise(status, 0, 0, NULL);
    return status;
}

/* The cookie names the thread that holds the lock, so that another one cannot release it. */
static ULONG_PTR lock_cookie(void)
{
    return ke_thread_id();
}

static nt_status WINAPI_DEF nt_LdrLockLoaderLock(ULONG flags, ULONG *state, ULONG_PTR *cookie)
{
    bool try_only = flags & LDR_LOCK_LOADER_LOCK_FLAG_TRY_ONLY;
    if (state)
        *state = 0;
    if (cookie)
        *cookie = 0;
    if (flags & ~3u)
        return lock_error(flags, (nt_status)STATUS_INVALID_PARAMETER_1);
    if (!cookie)
        return lock_error(flags, (nt_status)STATUS_INVALID_PARAMETER_3);
    if (try_only && !state)
        return lock_error(flags, (nt_status)STATUS_INVALID_PARAMETER_2);
    if (!try_only)
        ldr_lock();
    else if (!ldr_trylock()) {
        *state = LOCK_NOT_ACQUIRED;
        return STATUS_SUCCESS;
    }
    if (state)
        *state = LOCK_ACQUIRED;
    *cookie = lock_cookie();
    return STATUS_SUCCESS;
}

static nt_status WINAPI_DEF nt_LdrUnlockLoaderLock(ULONG flags, ULONG_PTR cookie)
{
    if (flags & ~1u)
        return lock_error(flags, (nt_status)STATUS_INVALID_PARAMETER_1);
    if (!cookie) /* a lock that was only tried for */
        return STATUS_SUCCESS;
    if (cookie != lock_cookie())
        return lock_error(flags, (nt_status)STATUS_INVALID_PARAMETER_2);
    ldr_unlock();
    return STATUS_SUCCESS;
}

/* ---- resources ----------------------------------------------------------------------------------
 */

struct ldr_resource_info {
    ULONG_PTR Type, Name, Language;
};

/* Level 3 is a resource's data entry; tables of directories are not handed out. */
static nt_status WINAPI_DEF nt_LdrFindResource_U(HMODULE module,
                                                 const struct ldr_resource_info *info, ULONG level,
                                                 HRSRC *out)
{
    if (level != 3)
        return (nt_status)STATUS_NOT_SUPPORTED;
    return win32_resource_find(module, (const WCHAR *)info->Type, (const WCHAR *)info->Name,
                               (uint16_t)info->Language, out);
}

static nt_status WINAPI_DEF nt_LdrAccessResource(HMODULE module, HRSRC entry, const void **data,
                                                 ULONG *size)
{
    uint32_t bytes = 0;
    const void *found = win32_resource_data(module, entry, &bytes);
    if (!found)
        return (nt_status)STATUS_RESOURCE_DATA_NOT_FOUND;
    if (data)
        *data = found;
    if (size)
        *size = bytes;
    return STATUS_SUCCESS;
}

const struct ldr_builtin_export ntdll_ldr_exports[] = {
    LDR_FN(nt_, LdrLoadDll),
    LDR_FN(nt_, LdrUnloadDll),
    LDR_FN(nt_, LdrGetDllHandle),
    LDR_FN(nt_, LdrGetDllHandleEx),
    LDR_FN(nt_, LdrAddRefDll),
    LDR_FN(nt_, LdrDisableThreadCalloutsForDll),
    LDR_FN(nt_, LdrGetProcedureAddress),
    LDR_FN(nt_, LdrGetProcedureAddressEx),
    LDR_FN(nt_, LdrLockLoaderLock),
    LDR_FN(nt_, LdrUnlockLoaderLock),
    LDR_FN(nt_, LdrFindResource_U),
    LDR_FN(nt_, LdrAccessResource),
};
const size_t ntdll_ldr_count = sizeof(ntdll_ldr_exports) / sizeof(*ntdll_ldr_exports);
