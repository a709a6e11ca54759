/*
 * LdrResolveDelayLoadedAPI (delayloadhandler.h): what a delay-load stub calls to fill its slot.
 *
 * The descriptor and its tables are read through pe/, which checks them; a stub that names another
 * descriptor or slot than its image has gets the error that a missing function gets.
 */
#include <stdlib.h>
#include <string.h>

#include "loader/win32/errors.h"
#include "loader/win32/modhandle.h"
#include "loader/win32/ntdll/families.h"
#include "pe/imports.h"

#define DELAYLOAD_MODULE_NOT_FOUND    0xC06D007Eu /* VcppException(ERROR_SEVERITY_ERROR, 126) */
#define DELAYLOAD_PROCEDURE_NOT_FOUND 0xC06D007Fu

/* DELAYLOAD_INFO: what the image's failure hook gets, and the exception's parameter. */
typedef struct {
    ULONG Size;
    const void *DelayloadDescriptor;
    uintptr_t *ThunkAddress;
    const char *TargetDllName;
    struct {
        ULONG ImportDescribedByName;
        union {
            const char *Name;
            ULONG Ordinal;
        } Description;
    } TargetApiDescriptor;
    void *TargetModuleBase;
    void *Unused;
    ULONG LastError;
} DELAYLOAD_INFO;

typedef void *(WINAPI *failure_dll_hook)(ULONG reason, DELAYLOAD_INFO *info);
typedef void *(WINAPI *failure_system_hook)(const char *dll, const char *procedure);
enum { DELAYLOAD_GPA_FAILURE = 4 };

/* The descriptor at that RVA, and in it the import that belongs to that slot. */
static bool find_import(const struct pe_image *image, uint32_t descriptor, uint32_t slot,
                        struct pe_import_module *module, struct pe_import *import)
{
    struct pe_import_module_iter modules;
    struct pe_import_iter imports;
    if (!pe_delay_import_modules(image, &modules))
        return false;
    while (pe_import_module_next(&modules, module) == 1) {
        if (module->descriptor_rva != descriptor)
            continue;
        pe_imports(image, module, &imports);
        while (pe_import_next(&imports, import) == 1)
            if (import->thunk_rva == slot)
                return true;
        return false;
    }
    return false;
}

/* Slots lie in memory that the linker may have made read-only. */
static bool store(uintptr_t *slot, uintptr_t value)
{
    uint64_t base = (uintptr_t)slot, size = sizeof(*slot);
    uint32_t old;
    if (!nt_ok(mm_protect(&base, &size, PAGE_READWRITE, &old, NULL)))
        return false;
    __atomic_store_n(slot, value, __ATOMIC_RELEASE);
    mm_protect(&base, &size, old, &old, NULL);
    return true;
}

/* The DLL is loaded once for the image: its handle is kept where the descriptor says. */
static nt_status load(struct ldr_module *parent, const struct pe_import_module *from,
                      const char *name, struct ldr_module **out)
{
    uint64_t base = ldr_module_base(parent);
    uint32_t room = ldr_module_image(parent)->h.size_of_image, at = from->module_handle_rva;
    uintptr_t *handle = NULL;
    if (at && at < room && room - at >= sizeof(*handle) && at % sizeof(*handle) == 0)
        handle = (uintptr_t *)(uintptr_t)(base + at);
    uintptr_t known = handle ? __atomic_load_n(handle, __ATOMIC_ACQUIRE) : 0;
    *out = known ? win32_module_of((HMODULE)known) : NULL;
    if (*out)
        return STATUS_SUCCESS;
    struct ldr_load_options options = {.name = name};
    nt_status status = ldr_load(&options, out, NULL);
    if (nt_ok(status) && handle)
        store(handle, (uintptr_t)win32_module_handle(*out));
    return status;
}

/* The hooks' word, or the exception that the compilers' own helper raises. */
static void *WINAPI_DEF fail(DELAYLOAD_INFO *info, failure_dll_hook hook,
                             failure_system_hook system_hook)
{
    void *result = NULL;
    uintptr_t parameter = (uintptr_t)info;
    if (hook)
        result = hook(DELAYLOAD_GPA_FAILURE, info);
    if (!result && system_hook) {
        bool by_name = info->TargetApiDescriptor.ImportDescribedByName;
        uintptr_t ordinal = info->TargetApiDescriptor.Description.Ordinal;
        result =
            system_hook(info->TargetDllName, by_name ? info->TargetApiDescriptor.Description.Name
                                                     : (const char *)ordinal);
    }
    if (!result)
        ke_raise(info->TargetModuleBase ? DELAYLOAD_PROCEDURE_NOT_FOUND
                                        : DELAYLOAD_MODULE_NOT_FOUND,
                 0, 1, &parameter);
    return result;
}

/* The function, or the status of what is missing. */
static nt_status resolve(HMODULE parent_base, DELAYLOAD_INFO *info, uint64_t *address)
{
    struct pe_import_module from;
    struct pe_import import;
    struct ldr_module *parent = win32_module_of(parent_base), *module;
    uintptr_t base = (uintptr_t)parent_base;
    const struct pe_image *image = parent ? ldr_module_image(parent) : NULL;
    if (!image || !find_import(image, (uint32_t)((uintptr_t)info->DelayloadDescriptor - base),
                               (uint32_t)((uintptr_t)info->ThunkAddress - base), &from, &import))
        return STATUS_INVALID_PARAMETER;
    info->TargetDllName = from.name.ptr;
    info->TargetApiDescriptor.ImportDescribedByName = !import.by_ordinal;
    if (import.by_ordinal)
        info->TargetApiDescriptor.Description.Ordinal = import.ordinal;
    else
        info->TargetApiDescriptor.Description.Name = import.name.ptr;
    nt_status status = load(parent, &from, from.name.ptr, &module);
    if (!nt_ok(status))
        return status;
    info->TargetModuleBase = win32_module_handle(module);
    return ldr_symbol(module, import.by_ordinal ? NULL : import.name.ptr, import.ordinal, address,
                      NULL);
}

static void *WINAPI_DEF nt_LdrResolveDelayLoadedAPI(HMODULE parent, const void *descriptor,
                                                    failure_dll_hook hook,
                                                    failure_system_hook system_hook,
                                                    uintptr_t *slot, ULONG flags)
{
    DELAYLOAD_INFO info = {
        .Size = sizeof(info), .DelayloadDescriptor = descriptor, .ThunkAddress = slot};
    uint64_t address = 0;
    nt_status status = resolve(parent, &info, &address);
    void *result = (void *)(uintptr_t)address;
    if (!nt_ok(status)) {
        info.LastError = win32_error_of_status(status);
        result = fail(&info, hook, system_hook);
    }
    if (result && status != (nt_status)STATUS_INVALID_PARAMETER) /* it is a slot */
        store(slot, (uintptr_t)result);
    return result;
}

const struct ldr_builtin_export ntdll_delayload_exports[] = {
    LDR_FN(nt_, LdrResolveDelayLoadedAPI),
};
const size_t ntdll_delayload_count =
    sizeof(ntdll_delayload_exports) / sizeof(*ntdll_delayload_exports);
