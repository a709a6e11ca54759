/*
 * Module handles (win32/modhandle.h).
 */
#include "loader/win32/modhandle.h"

#include <pthread.h>
#include <stdlib.h>

#include "loader/ke/ke.h"
#include "loader/ke/teb.h"
#include "loader/win32/strings.h"

/* A library loaded as data: one entry a load, since each has an address of its own. */
struct data_library {
    HMODULE handle;
    struct ldr_module *module;
    struct data_library *next;
};

static struct data_library *data_libraries;
static pthread_mutex_t data_lock = PTHREAD_MUTEX_INITIALIZER;

#define DATA_BITS ((uintptr_t)3)

static bool is_data_handle(HMODULE handle)
{
    return ((uintptr_t)handle & DATA_BITS) != 0;
}

HMODULE win32_module_handle(const struct ldr_module *module)
{
    return (HMODULE)(uintptr_t)ldr_module_base(module);
}

struct ldr_module *win32_module_of(HMODULE handle)
{
    if (!handle)
        handle = ke_peb()->ImageBaseAddress;
    struct ldr_module *module = ldr_find_by_address((uintptr_t)handle);
    return module && win32_module_handle(module) == handle ? module : NULL;
}

/* Takes the entry of a handle off the list, or only looks at it. */
static struct ldr_module *data_module(HMODULE handle, bool remove)
{
    struct ldr_module *module = NULL;
    pthread_mutex_lock(&data_lock);
    for (struct data_library **link = &data_libraries; *link; link = &(*link)->next) {
        struct data_library *entry = *link;
        if (entry->handle != handle)
            continue;
        module = entry->module;
        if (remove) {
            *link = entry->next;
            free(entry);
        }
        break;
    }
    pthread_mutex_unlock(&data_lock);
    return module;
}

const struct pe_image *win32_module_image(HMODULE handle)
{
    struct ldr_module *module =
        is_data_handle(handle) ? data_module(handle, false) : win32_module_of(handle);
    return module ? ldr_module_image(module) : NULL;
}

static nt_status remember(struct ldr_module *module, uint32_t flags, HMODULE *out)
{
    struct data_library *entry = malloc(sizeof(*entry));
    if (!entry) {
        ldr_unload(module, NULL);
        return (nt_status)STATUS_NO_MEMORY;
    }
    uintptr_t bit = flags & LDR_AS_IMAGE_RESOURCE ? 2 : 1;
    entry->handle = (HMODULE)((uintptr_t)win32_module_handle(module) | bit);
    entry->module = module;
    pthread_mutex_lock(&data_lock);
    entry->next = data_libraries;
    data_libraries = entry;
    pthread_mutex_unlock(&data_lock);
    *out = entry->handle;
    return STATUS_SUCCESS;
}

nt_status win32_library_load(const WCHAR *name, uint32_t flags, HMODULE *out)
{
    /* What peldr adds to Windows's flags is not for images. */
    uint32_t known = LDR_DONT_RESOLVE | LDR_AS_DATAFILE | LDR_ALTERED_SEARCH |
                     LDR_AS_IMAGE_RESOURCE | LDR_AS_DATAFILE_EXCLUSIVE | LDR_SEARCH_DLL_LOAD_DIR |
                     LDR_SEARCH_APPLICATION_DIR | LDR_SEARCH_USER_DIRS | LDR_SEARCH_SYSTEM32 |
                     LDR_SEARCH_DEFAULT_DIRS;
    uint32_t as_data = LDR_AS_DATAFILE | LDR_AS_DATAFILE_EXCLUSIVE | LDR_AS_IMAGE_RESOURCE;
    char *utf8 = win32_utf8_of_wide(name, SIZE_MAX);
    if (!utf8)
        return (nt_status)STATUS_NO_MEMORY;
    struct ldr_load_options options = {.name = utf8, .flags = flags & known};
    struct ldr_module *module = NULL;
    nt_status status = ldr_load(&options, &module, NULL);
    free(utf8);
    if (!nt_ok(status))
        return status;
    /* A library that is loaded as a module already is returned as that, even when data was asked.
     */
    if ((flags & as_data) && win32_module_of(win32_module_handle(module)) != module)
        return remember(module, flags, out);
    *out = win32_module_handle(module);
    return STATUS_SUCCESS;
}

nt_status win32_library_free(HMODULE handle)
{
    struct ldr_module *module = NULL;
    if (handle)
        module = is_data_handle(handle) ? data_module(handle, true) : win32_module_of(handle);
    return module ? ldr_unload(module, NULL) : (nt_status)STATUS_DLL_NOT_FOUND;
}

struct ldr_module *win32_library_find(const WCHAR *name)
{
    char *utf8 = win32_utf8_of_wide(name, SIZE_MAX);
    struct ldr_module *module = utf8 ? ldr_find(utf8) : NULL;
    free(utf8);
    return module;
}
